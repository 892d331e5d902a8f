"""The log of one engine: a 0600 file it writes to itself (an undrained pipe would stall its load, measured)."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

MAX_BYTES = 64 * 2**20
"""Beyond this the file is moved to `.1` and starts again."""
_MAX_LINE = 64 * 2**10
_CHUNK = 2**20


def open_log(path: Path) -> int:
    """A descriptor to append to, for the engine's stdout and stderr. The file is readable by its owner alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, flags, 0o600)


def rotate(path: Path, *, max_bytes: int = MAX_BYTES) -> bool:
    """Keep the file bounded: copy it to `.1` and cut it to nothing; the engine appends, so it goes on from there."""
    try:
        if path.stat().st_size <= max_bytes:
            return False
        kept = path.with_name(path.name + ".1")
        try:
            shutil.copyfile(path, kept)
            kept.chmod(0o600)
        except OSError:
            # No room for a copy: what is lost is old log, and the disk gets its space back.
            kept.unlink(missing_ok=True)
        os.truncate(path, 0)
    except OSError:
        return False
    return True


class LogReader:
    """Reads a growing file line by line; survives being cut, and lines without an end."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self._offset = offset
        self._partial = b""

    def read(self) -> list[str]:
        """The lines completed since the last call, at most 1 MiB of them."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self._offset:
                    self._offset, self._partial = 0, b""
                file.seek(self._offset)
                block = file.read(_CHUNK)
        except OSError:
            return []
        self._offset += len(block)
        *lines, self._partial = (self._partial + block).split(b"\n")
        if len(self._partial) > _MAX_LINE:
            lines.append(self._partial[:_MAX_LINE])
            self._partial = b""
        return [line.decode("utf-8", errors="replace") for line in lines]

    def drain(self) -> Iterator[str]:
        """Everything there is now, an unfinished last line included."""
        while True:
            before = self._offset
            yield from self.read()
            if self._offset == before:
                break
        if self._partial:
            last, self._partial = self._partial, b""
            yield last.decode("utf-8", errors="replace")

    @property
    def offset(self) -> int:
        """How far the file was read; grows when the engine writes."""
        return self._offset


def log_tail(path: Path, lines: int, *, max_bytes: int = _CHUNK) -> list[str]:
    """The last lines of a log; empty when there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - max_bytes))
        return file.read(max_bytes).decode("utf-8", errors="replace").splitlines()[-lines:]
    return []
