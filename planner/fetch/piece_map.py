"""How far each piece of a file is that comes over several connections: a few numbers beside the partial file.

One 64-bit count per piece, overwritten in place after the piece's bytes are written, so that a killed process loses
none of them. A power cut may bring the counts to the disk before the bytes; the sha256 at the end finds that.
"""

import struct
from io import FileIO
from pathlib import Path
from typing import Self

from planner.fetch.disk import Disk, write_atomically

_HEAD = struct.Struct("<8sQQ")
_COUNT = struct.Struct("<Q")
_MAGIC = b"PLNPART1"
_MAX_PIECES = 1_000_000


class PieceMap:
    """Pieces of a file by number, and how many bytes of each are there from its beginning on."""

    def __init__(self, path: Path, total_bytes: int, piece_bytes: int, done: list[int]) -> None:
        self._path = path
        self._file: FileIO | None = None
        self.total_bytes = total_bytes
        self.piece_bytes = piece_bytes
        self.done = done
        self.done_bytes = sum(done)

    @classmethod
    def begin(cls, path: Path, *, total_bytes: int, piece_bytes: int, have_bytes: int, disk: Disk) -> Self:
        """A new map; the first `have_bytes` of the file are there already."""
        count = -(-total_bytes // piece_bytes)
        done = []
        for number in range(count):
            start = number * piece_bytes
            length = min(piece_bytes, total_bytes - start)
            done.append(max(0, min(length, have_bytes - start)))
        body = _HEAD.pack(_MAGIC, total_bytes, piece_bytes) + b"".join(_COUNT.pack(number) for number in done)
        write_atomically(path, body, disk)
        return cls(path, total_bytes, piece_bytes, done)

    @classmethod
    def read(cls, path: Path, *, total_bytes: int | None, file_bytes: int) -> Self | None:
        """The map an earlier run left; None without one, and for one that contradicts itself or the file."""
        try:
            raw = path.read_bytes()
        except OSError:
            return None
        if len(raw) < _HEAD.size or (len(raw) - _HEAD.size) % _COUNT.size:
            return None
        magic, total, piece_bytes = _HEAD.unpack_from(raw)
        if magic != _MAGIC or total != total_bytes or not piece_bytes or -(-total // piece_bytes) > _MAX_PIECES:
            return None
        done = [count for (count,) in _COUNT.iter_unpack(raw[_HEAD.size :])]
        if len(done) != -(-total // piece_bytes):
            return None
        for number, count in enumerate(done):
            start = number * piece_bytes
            if count > min(piece_bytes, total - start) or (count and start + count > file_bytes):
                return None
        return cls(path, total, piece_bytes, done)

    def start(self, number: int) -> int:
        """Where a piece begins in the file."""
        return number * self.piece_bytes

    def length(self, number: int) -> int:
        """How long a piece is."""
        return min(self.piece_bytes, self.total_bytes - self.start(number))

    def add(self, number: int, count: int) -> None:
        """`count` more bytes of a piece are in the file."""
        self.done[number] += count
        self.done_bytes += count
        if self._file is None:
            self._file = FileIO(self._path, "r+")
        self._file.seek(_HEAD.size + number * _COUNT.size)
        self._file.write(_COUNT.pack(self.done[number]))

    @property
    def missing(self) -> list[int]:
        """Numbers of the pieces that are not whole, in order."""
        return [number for number, count in enumerate(self.done) if count < self.length(number)]

    @property
    def frontier_bytes(self) -> int:
        """How many bytes of the file are there without a gap."""
        for number, count in enumerate(self.done):
            if count < self.length(number):
                return self.start(number) + count
        return self.total_bytes

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """The pieces are given up, or have become a file."""
        self.close()
        self._path.unlink(missing_ok=True)
