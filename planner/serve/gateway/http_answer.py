"""Reading an engine's HTTP/1.1 answer from bytes as they come, without sockets; nothing is held back but framing."""

import re
from collections.abc import Callable

_MAX_HEAD_BYTES = 64 * 2**10
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


class BrokenAnswerError(Exception):
    """The engine's answer is not whole, or not HTTP."""


class HttpAnswer:
    """One answer. `begun`: a byte has come; `status` is 0 until the head has; `whole`: the last byte has come.

    `keepable`: the connection can take another request after it. `length` is what is left of a body whose size in
    bytes was told, else None.
    """

    def __init__(self) -> None:
        self.begun = False
        self.status = 0
        self.content_type = ""
        self.length: int | None = None
        self.whole = False
        self.keepable = False
        self.feed: Callable[[bytes], bytes] = self._head
        """Takes bytes from the connection; returns what of the body is in them. Raises BrokenAnswerError."""
        self._waiting = b""
        self._left = 0
        self._in_chunk = False

    def end(self) -> None:
        """The connection has ended. Raises BrokenAnswerError when the answer has not."""
        if not self.whole and self.feed != self._until_the_end:
            raise BrokenAnswerError("cut" if self.status else "cut within its head")
        self.whole = True

    def _head(self, data: bytes) -> bytes:
        self.begun = self.begun or bool(data)
        head, end, rest = (self._waiting + data).partition(b"\r\n\r\n")
        if len(head) > _MAX_HEAD_BYTES:
            raise BrokenAnswerError("its head is too long")
        if not end:
            self._waiting = head
            return b""
        self._waiting = b""
        status_line, *fields = head.split(b"\r\n")
        version, _, said = status_line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not said[:3].isdigit():
            raise BrokenAnswerError("not HTTP")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)
        }
        self.content_type = headers.get(b"content-type", b"").decode("latin-1")
        self.keepable = version == b"HTTP/1.1" and headers.get(b"connection", b"").lower() != b"close"
        length = headers.get(b"content-length", b"")
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            self.feed = self._chunks
        elif length.isdigit():
            self.length = int(length)
            self.feed = self._counted
        else:
            self.keepable = False
            self.feed = self._until_the_end
        self.status = int(said[:3])
        return self.feed(rest)

    def _chunks(self, data: bytes) -> bytes:
        if self._waiting:
            data = self._waiting + data
        elif not self._in_chunk and (size := _CHUNK.match(data)) is not None:
            # As nearly always: exactly one chunk.
            stop = len(data) - 2
            if int(size[1], 16) == stop - size.end() > 0 and data.endswith(b"\r\n"):
                return data[size.end() : stop]
        body: list[bytes] = []
        place = 0
        while place < len(data):
            if self._left:
                part = data[place : place + self._left]
                body.append(part)
                place += len(part)
                self._left -= len(part)
                self._in_chunk = True
            elif (end := data.find(b"\r\n", place)) < 0:
                break
            else:
                line, place = data[place:end], end + 2
                if self._is_last(line):
                    self._waiting = b""
                    self.feed = self._trailers
                    self._trailers(data[place:])
                    return b"".join(body)
        self._waiting = data[place:]
        if len(self._waiting) > _MAX_HEAD_BYTES:
            raise BrokenAnswerError("no chunk has this size")
        return body[0] if len(body) == 1 else b"".join(body)

    def _is_last(self, line: bytes) -> bool:
        """Read a line between chunks, the end of one or the size of the next; whether it says that none follows."""
        if self._in_chunk:
            if line:
                raise BrokenAnswerError("a chunk is longer than it says")
            self._in_chunk = False
            return False
        if (size := _CHUNK_SIZE.fullmatch(line)) is None:
            raise BrokenAnswerError("no chunk has this size")
        self._left = int(size[1], 16)
        return self._left == 0

    def _trailers(self, data: bytes) -> bytes:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n")) >= 0:
            line, self._waiting = self._waiting[:end], self._waiting[end + 2 :]
            if not line:
                self.whole = True
                self.feed = self._too_much
                self.feed(self._waiting)
                break
        if len(self._waiting) > _MAX_HEAD_BYTES:
            raise BrokenAnswerError("its trailers are too long")
        return b""

    def _counted(self, data: bytes) -> bytes:
        left = self.length or 0
        body = data[:left]
        self.length = left - len(body)
        if not self.length:
            self.whole = True
            self.feed = self._too_much
            self.feed(data[left:])
        return body

    def _until_the_end(self, data: bytes) -> bytes:
        return data

    def _too_much(self, data: bytes) -> bytes:
        """Whatever comes after the end would be taken for the next answer's beginning."""
        self.keepable = self.keepable and not data
        return b""
