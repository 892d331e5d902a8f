"""A disk with little room."""

import errno
from pathlib import Path
from typing import BinaryIO

from planner.fetch.disk import Disk


class SmallDisk(Disk):
    """Says it has `free` bytes, and is full after `full_after`."""

    def __init__(self, *, free: int = 10**12, full_after: int = 10**12) -> None:
        self.free = free
        self.left = full_after

    def free_bytes(self, folder: Path) -> int:
        return self.free

    def write(self, file: BinaryIO, data: bytes) -> None:
        if len(data) > self.left:
            super().write(file, data[: self.left])
            self.left = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= len(data)
        super().write(file, data)
