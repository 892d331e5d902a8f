"""Bounded forward reading: every number is compared with the bytes that are left before it is used."""

import struct

from planner.errors import GgufError
from planner.gguf.source import ByteSource
from planner.units import KIB, MIB, printable

FIRST_WINDOW = 64 * KIB
"""Answers most questions: architecture keys come before the tokenizer."""
LARGEST_WINDOW = MIB
HEADER_LIMIT = 512 * MIB

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


def shown(text: str) -> str:
    """A name from a file, fit for one line of an error."""
    line = printable(text).replace("\n", " ").replace("\t", " ")
    return line if len(line) <= 80 else f"{line[:77]}…"


class Cursor:
    """A position in a source and a window of bytes around it.

    The window starts small and doubles: reading remotely costs few requests and little beyond the header.
    All failures are GgufErrors that name source, byte and field.
    """

    def __init__(self, source: ByteSource) -> None:
        self.source = source
        self.size = source.size
        self.position = 0
        self._window = b""
        self._window_start = 0
        self._window_length = FIRST_WINDOW

    @property
    def left(self) -> int:
        """Bytes between the position and the end of the source."""
        return self.size - self.position

    def fail(self, field: str, what: str, *, at: int | None = None, hint: str = "") -> GgufError:
        """The error to raise: “model.gguf, byte 24, general.name: …”."""
        where = self.position if at is None else at
        return GgufError(f"{self.source.name}, byte {where}, {field}: {what}", hint=hint)

    def take(self, length: int, field: str) -> bytes:
        """The next `length` bytes."""
        offset = self._hold(length, field)
        self.position += length
        return self._window[offset : offset + length]

    def skip(self, length: int, field: str) -> None:
        """Move on without reading."""
        self._check(length, field)
        self.position += length

    def u32(self, field: str) -> int:
        """The next unsigned 32-bit number."""
        return int(_U32.unpack(self.take(4, field))[0])

    def u64(self, field: str) -> int:
        """The next unsigned 64-bit number."""
        return int(_U64.unpack(self.take(8, field))[0])

    def length(self, field: str, *, item_bytes: int = 1) -> int:
        """The next 64-bit count of items of at least `item_bytes`, which must fit into what is left."""
        at = self.position
        count = self.u64(field)
        if count * item_bytes > self.left:
            raise self.fail(
                field,
                f"says {count:,} of at least {item_bytes} bytes each, but only {self.left:,} bytes are left.",
                at=at,
                hint="The file is cut short or damaged: fetch it again.",
            )
        return count

    def skip_strings(self, count: int, field: str) -> None:
        """Skip strings (64-bit length, then bytes) by hopping from length to length inside each window.

        A vocabulary has hundreds of thousands: this loop is what a header's reading time is made of.
        """
        unpack_from = _U64.unpack_from
        while count:
            offset = self._hold(8, field)
            window = self._window
            last = len(window) - 8
            start = offset
            while count and offset <= last:
                start = offset
                offset += 8 + unpack_from(window, offset)[0]
                count -= 1
            end = self._window_start + offset
            if end > self.size:
                self.position = self._window_start + start
                raise self.fail(
                    field,
                    f"a text of {end - self.position - 8:,} bytes does not fit into the {self.left:,} bytes left.",
                )
            self.position = end

    def _check(self, length: int, field: str) -> None:
        if length > self.left:
            raise self.fail(
                field,
                f"needs {length:,} bytes, but the file ends after {max(0, self.left):,}.",
                hint="The file is cut short or damaged: fetch it again.",
            )
        if self.position + length > HEADER_LIMIT:
            raise self.fail(field, f"the header is larger than {HEADER_LIMIT // MIB} MiB; no real model's is.")

    def _hold(self, length: int, field: str) -> int:
        """Make the window cover the next `length` bytes; returns where they begin in it."""
        offset = self.position - self._window_start
        if offset >= 0 and offset + length <= len(self._window):
            return offset
        self._check(length, field)
        wanted = max(length, self._window_length)
        self._window = self.source.read_at(self.position, min(wanted, self.left))
        self._window_start = self.position
        self._window_length = min(self._window_length * 2, LARGEST_WINDOW)
        if len(self._window) < length:
            raise self.fail(
                field, f"the file ended after {len(self._window):,} of {length:,} bytes while it was read."
            )
        return 0
