"""Where conversations are kept: in memory, or in files that survive the relay."""

from acprelay.storage.disk import Disk, SystemDisk
from acprelay.storage.files import FileStorage
from acprelay.storage.limits import StorageLimits
from acprelay.storage.memory import MemoryStorage
from acprelay.storage.state_directory import StateDirectory, default_state_directory

__all__ = [
    "Disk",
    "FileStorage",
    "MemoryStorage",
    "StateDirectory",
    "StorageLimits",
    "SystemDisk",
    "default_state_directory",
]
