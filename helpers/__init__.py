"""What the notebooks import: start at `helpers.lab`."""

import os

# Read by GNU OpenMP once, when PyTorch is loaded. Its threads spin for milliseconds when they wait for each
# other; where another program takes one of their cores, each short step then lasts many times as long. So few
# turns cost nothing on idle cores; after them a thread sleeps.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
