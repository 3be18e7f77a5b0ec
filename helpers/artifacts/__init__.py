"""The cache of results: declared artifacts, found again by a fingerprint of all that went into them."""

from helpers.artifacts.declared import Declared
from helpers.artifacts.fingerprint import fingerprint
from helpers.artifacts.store import Artifact, Store, StoreFull, StoreWarning, cache_folder

__all__ = ["Artifact", "Declared", "Store", "StoreFull", "StoreWarning", "cache_folder", "fingerprint"]
