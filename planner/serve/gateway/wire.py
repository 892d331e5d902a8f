"""The way to the engines: a small HTTP/1.1 client for one kind of request, POST of JSON on loopback.

A general client costs about two milliseconds of processor time a request and 0.3 an event (measured with httpx2),
as much as an engine takes for a short text. Connections are kept for a moment only: an engine gives each a thread of
its few, and closes idle ones after some seconds.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

_KEPT = 2
_KEPT_S = 1.0
_MAX_HEAD_BYTES = 64 * 2**10
_CHUNK_BYTES = 64 * 2**10


class UnreachableError(Exception):
    """Nobody accepts connections at the engine's address."""


class BrokenAnswerError(Exception):
    """The engine's answer is not whole, or not HTTP."""


class Answer(Protocol):
    """An engine's answer: status and type are known, the body is still to be read. Whoever got it closes it."""

    status: int
    content_type: str

    def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises BrokenAnswerError when it ends too early."""
        ...

    async def aclose(self) -> None:
        """Done with it; an unread rest makes the engine stop."""
        ...


class Wire(Protocol):
    """How requests reach engines; tests put something without sockets here."""

    async def post(self, url: str, path: str, *, key: str, body: bytes) -> Answer:
        """Send JSON to `url` + `path`. Raises UnreachableError, BrokenAnswerError and TimeoutError (connecting)."""
        ...

    async def aclose(self) -> None:
        """Close what is kept."""
        ...


@dataclass(eq=False)
class _Line:
    """A connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False

    def close(self) -> None:
        self.writer.close()


class SocketWire:
    """`Wire` over TCP. `connect_timeout_s` bounds the making of a connection; the rest is the caller's to bound."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._kept: dict[tuple[str, int], list[_Line]] = {}
        self._closed = False

    async def post(self, url: str, path: str, *, key: str, body: bytes) -> "SocketAnswer":
        """As the protocol says. A kept connection that turns out to be closed is replaced by a new one."""
        place = _place(url)
        request = (
            f"POST {path} HTTP/1.1\r\nHost: {place[0]}:{place[1]}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        while True:
            line = self._take(place) or await self._connect(place)
            try:
                return await self._ask(place, line, request)
            except _NothingCameError as error:
                if not line.used:
                    raise BrokenAnswerError("closed before an answer") from error

    async def aclose(self) -> None:
        """Close what is kept, now and from now on."""
        self._closed = True
        for lines in self._kept.values():
            for line in lines:
                line.close()
        self._kept.clear()

    async def _ask(self, place: tuple[str, int], line: _Line, request: bytes) -> "SocketAnswer":
        try:
            line.writer.write(request)
            await line.writer.drain()
            head = await line.reader.readuntil(b"\r\n\r\n")
            return SocketAnswer(self, place, line, head)
        except asyncio.IncompleteReadError as error:
            line.close()
            raise (BrokenAnswerError("cut within its head") if error.partial else _NothingCameError) from error
        except OSError as error:
            line.close()
            raise _NothingCameError from error
        except asyncio.LimitOverrunError as error:
            line.close()
            raise BrokenAnswerError("its head is too long") from error
        except BaseException:
            line.close()
            raise

    async def _connect(self, place: tuple[str, int]) -> _Line:
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                return _Line(*await asyncio.open_connection(*place, limit=_MAX_HEAD_BYTES))
        except TimeoutError:
            raise
        except OSError as error:
            raise UnreachableError(str(error)) from error

    def _take(self, place: tuple[str, int]) -> _Line | None:
        lines = self._kept.get(place, [])
        while lines:
            line = lines.pop()
            if not line.reader.at_eof() and not line.writer.is_closing():
                line.used = True
                return line
            line.close()
        return None

    def keep(self, place: tuple[str, int], line: _Line) -> None:
        """Take back a connection whose answer was read to its end."""
        lines = self._kept.setdefault(place, [])
        if self._closed or len(lines) >= _KEPT:
            line.close()
            return
        lines.append(line)
        asyncio.get_running_loop().call_later(_KEPT_S, self._drop, place, line)

    def _drop(self, place: tuple[str, int], line: _Line) -> None:
        lines = self._kept.get(place, [])
        if line in lines:
            lines.remove(line)
            line.close()
        if not lines:
            self._kept.pop(place, None)


class SocketAnswer:
    """`Answer` read from a connection."""

    def __init__(self, wire: SocketWire, place: tuple[str, int], line: _Line, head: bytes) -> None:
        status_line, *fields = head[:-4].split(b"\r\n")
        version, _, rest = status_line.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise BrokenAnswerError("not HTTP")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)
        }
        self.status = int(rest[:3])
        self.content_type = headers.get(b"content-type", b"").decode("latin-1")
        self._chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
        length = headers.get(b"content-length", b"")
        self._left = int(length) if length.isdigit() else None
        self._keepable = version == b"HTTP/1.1" and headers.get(b"connection", b"").lower() != b"close"
        self._wire, self._place, self._line = wire, place, line
        self._done = False

    async def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises BrokenAnswerError when it ends too early."""
        reader = self._line.reader
        try:
            if self._chunked:
                while size := await self._chunk_size():
                    data = await reader.readexactly(size + 2)
                    yield data[:-2]
                while (await reader.readuntil(b"\r\n")) != b"\r\n":
                    pass  # trailers
                self._done = True
            elif self._left is not None:
                while self._left:
                    data = await reader.read(min(self._left, _CHUNK_BYTES))
                    if not data:
                        raise BrokenAnswerError("cut")
                    self._left -= len(data)
                    yield data
                self._done = True
            else:
                self._keepable = False
                while data := await reader.read(_CHUNK_BYTES):
                    yield data
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError) as error:
            raise BrokenAnswerError("cut") from error

    async def _chunk_size(self) -> int:
        size = await self._line.reader.readuntil(b"\r\n")
        count = int(size.partition(b";")[0], 16)
        if not 0 <= count <= 2**31:
            raise ValueError("no chunk has this size")
        return count

    async def aclose(self) -> None:
        """Keep the connection when all was read; else close it, which makes the engine stop."""
        if self._done and self._keepable:
            self._done = False
            self._wire.keep(self._place, self._line)
        else:
            self._line.close()


class _NothingCameError(Exception):
    """The connection was closed before a byte of an answer."""


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.port is None:
        raise UnreachableError("not an address of an engine")
    return parts.hostname, parts.port
