"""Where header bytes come from: a file, an HTTP range (`planner.net.ranges`), a member of a llamafile.

A source knows its size before anything is read: no number inside a file is believed that does not fit into it.
"""

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from planner.errors import GgufError, UsageError


class ByteSource(Protocol):
    """Random access to bytes of a known number."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the source ends."""


class LocalSource:
    """A file on this machine; a context manager.

    Raises UsageError when it is made for something that is not a readable file, GgufError when reading fails later.
    """

    def __init__(self, path: Path) -> None:
        # A name that is not Unicode must still be printable in an error.
        self.name = os.fsencode(path).decode("utf-8", "replace")
        try:
            mode = path.stat().st_mode
            # Checked before it is opened: opening a pipe would wait for a writer.
            if not stat.S_ISREG(mode):
                kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
                raise UsageError(
                    f"{self.name} is {kind}.",
                    hint="Give the path of a .gguf file or a llamafile.",
                    reference="not-a-file",
                )
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise UsageError(
                f"{self.name} cannot be opened: {reason}.",
                hint="Give the path of a .gguf file or a llamafile.",
                reference="file-missing" if isinstance(error, FileNotFoundError) else "file-unreadable",
            ) from error
        self.size = os.fstat(self._file.fileno()).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        """See ByteSource."""
        try:
            self._file.seek(offset)
            data = self._file.read(length) or b""
            while len(data) < length and (more := self._file.read(length - len(data))):
                data += more
        except (OSError, ValueError, OverflowError) as error:
            raise GgufError(
                f"{self.name}, byte {offset}: reading failed: {error}.", reference="gguf-unreadable"
            ) from error
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class MemberSource:
    """A slice of another source: the GGUF that is stored inside a llamafile. The outer source stays its owner's."""

    def __init__(self, outer: ByteSource, *, name: str, offset: int, size: int) -> None:
        self.name = f"{outer.name}!{name}"
        self.size = size
        self._outer = outer
        self._offset = offset

    def read_at(self, offset: int, length: int) -> bytes:
        """See ByteSource."""
        return self._outer.read_at(self._offset + offset, max(0, min(length, self.size - offset)))
