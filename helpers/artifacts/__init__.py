"""The cache of results: declared artifacts, found again by a fingerprint of all that went into them."""

from helpers.artifacts.declared import Declared
from helpers.artifacts.files import DiskFull, disk_full_said, seal, unseal, write_json, write_whole
from helpers.artifacts.fingerprint import fingerprint
from helpers.artifacts.store import Artifact, Store, StoreWarning, cache_folder

__all__ = [
    "Artifact", "Declared", "DiskFull", "Store", "StoreWarning", "cache_folder", "disk_full_said",
    "fingerprint", "seal", "unseal", "write_json", "write_whole",
]  # fmt: skip
