"""Enforces the jaxtyping annotations of `helpers` in every test and keeps torch to one thread."""
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("helpers", "beartype.beartype")
