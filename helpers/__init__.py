"""What the notebooks import: start at `helpers.lab`."""
