"""The way to the engines: a small HTTP/1.1 client for one kind of request, POST of JSON on loopback.

A general client costs about two milliseconds of processor time a request and 0.3 an event (measured with httpx2),
as much as an engine takes for a short text. Here bytes go on within the call that brings them: no task is awakened
and no coroutine entered for an event. Connections are kept for a moment only: an engine gives each a thread of its
few, and closes idle ones after some seconds.
"""

import asyncio
from typing import Protocol, cast
from urllib.parse import urlsplit

from planner.serve.gateway.http_answer import BrokenAnswerError, HttpAnswer

_KEPT = 2
_KEPT_S = 1.0
_SMALL_BYTES = 2**20
_EARLY_BYTES = 2**18


class UnreachableError(Exception):
    """Nobody accepts connections at the engine's address."""


class Sink(Protocol):
    """Where a body goes. Called from the event loop; must not raise and not wait."""

    def take(self, data: bytes) -> None:
        """Bytes of the body, as soon as they have come."""
        ...

    def end(self, error: BrokenAnswerError | None) -> None:
        """No more will come; `error` if some should have."""
        ...


class Answer(Protocol):
    """An engine's answer: status and type are known, the body is still to be read. Whoever got it closes it."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def content_type(self) -> str:
        """The media type, with its parameters."""
        ...

    async def read(self, max_bytes: int) -> bytes:
        """The whole body, or somewhat more than `max_bytes` of it. Raises BrokenAnswerError."""
        ...

    def deliver(self, sink: Sink) -> None:
        """Let the body go to `sink`, from now on and as it comes."""
        ...

    def pause(self) -> None:
        """Let the engine wait before it sends more."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...

    def close(self) -> None:
        """Done with it; an unread rest makes the engine stop. What comes now goes nowhere."""
        ...


class Wire(Protocol):
    """How requests reach engines; tests put something without sockets here."""

    async def post(self, url: str, path: str, *, key: str, body: bytes) -> Answer:
        """Send JSON to `url` + `path`. Raises UnreachableError, BrokenAnswerError and TimeoutError (connecting)."""
        ...

    async def aclose(self) -> None:
        """Close what is kept."""
        ...


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
            answer = SocketAnswer(self, place, line)
            try:
                await answer.ask(request)
            except BrokenAnswerError:
                answer.close()
                if not line.used or answer.begun:
                    raise
            except BaseException:
                answer.close()
                raise
            else:
                return answer

    async def aclose(self) -> None:
        """Close what is kept, now and from now on."""
        self._closed = True
        for lines in self._kept.values():
            for line in lines:
                line.transport.close()
        self._kept.clear()

    async def _connect(self, place: tuple[str, int]) -> "_Line":
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, line = await asyncio.get_running_loop().create_connection(_Line, *place)
        except TimeoutError:
            raise
        except OSError as error:
            raise UnreachableError(str(error)) from error
        return line

    def _take(self, place: tuple[str, int]) -> "_Line | None":
        lines = self._kept.get(place, [])
        while lines:
            line = lines.pop()
            if not line.transport.is_closing():
                line.used = True
                return line
        return None

    def keep(self, place: tuple[str, int], line: "_Line") -> None:
        """Take back a connection whose answer was read to its end."""
        lines = self._kept.setdefault(place, [])
        if self._closed or len(lines) >= _KEPT:
            line.transport.close()
            return
        lines.append(line)
        asyncio.get_running_loop().call_later(_KEPT_S, self._drop, place, line)

    def _drop(self, place: tuple[str, int], line: "_Line") -> None:
        lines = self._kept.get(place, [])
        if line in lines:
            lines.remove(line)
            line.transport.close()
        if not lines:
            self._kept.pop(place, None)


class _Line(asyncio.Protocol):
    """A connection; between two answers it has none."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.used = False
        self.answer: SocketAnswer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.answer is not None:
            self.answer.received(data)
        else:
            self.transport.close()  # nobody asked

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None:
            self.answer.lost()


class SocketAnswer:
    """`Answer` that comes over a connection."""

    def __init__(self, wire: SocketWire, place: tuple[str, int], line: _Line) -> None:
        self._wire, self._place, self._line = wire, place, line
        self._http = HttpAnswer()
        self._early: list[bytes] = []
        self._early_bytes = 0
        self._asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sink: Sink | None = None
        self._error: BrokenAnswerError | None = None
        self._paused = False
        self._ended = False
        line.answer = self

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._http.status

    @property
    def content_type(self) -> str:
        """The media type, with its parameters."""
        return self._http.content_type

    @property
    def begun(self) -> bool:
        """Whether anything of it has come."""
        return self._http.begun

    async def ask(self, request: bytes) -> None:
        """Send the request, wait for the head of the answer. Raises BrokenAnswerError."""
        self._line.transport.write(request)
        await self._asked
        if self._error is not None and not self.status:
            raise self._error

    async def read(self, max_bytes: int) -> bytes:
        """As the protocol says."""
        reading = _Reading(max_bytes)
        self.deliver(reading)
        return await reading.whole

    def deliver(self, sink: Sink) -> None:
        """As the protocol says."""
        early, self._early = b"".join(self._early), []
        self._sink = sink
        if early:
            sink.take(early)
        if self._ended:
            sink.end(self._error)
        else:
            self.resume()

    def pause(self) -> None:
        """As the protocol says."""
        if not self._paused and not self._line.transport.is_closing():
            self._paused = True
            self._line.transport.pause_reading()

    def resume(self) -> None:
        """As the protocol says."""
        if self._paused:
            self._paused = False
            if not self._line.transport.is_closing():
                self._line.transport.resume_reading()

    def close(self) -> None:
        """As the protocol says; after the end the connection is kept for the next request."""
        line = self._line
        if line.answer is not self:
            return
        line.answer = None
        if self._http.whole and self._http.keepable and not line.transport.is_closing():
            self.resume()
            self._wire.keep(self._place, line)
        else:
            line.transport.abort()

    def received(self, data: bytes) -> None:
        """The connection brought this."""
        if self._ended:
            self._http.keepable = False
            return
        try:
            body = self._http.feed(data)
        except BrokenAnswerError as error:
            self._end(error)
            return
        if body:
            if self._sink is not None:
                self._sink.take(body)
            else:
                self._keep_early(body)
        if self._http.whole:
            self._end(None)
        elif self.status and not self._asked.done() and not self._is_small:
            self._asked.set_result(None)

    def lost(self) -> None:
        """The connection is gone."""
        if self._ended:
            return
        try:
            self._http.end()
        except BrokenAnswerError as error:
            self._end(error)
        else:
            self._end(None)

    @property
    def _is_small(self) -> bool:
        """Whether the rest is sure to come and soon: then one awakening does for head and body."""
        return self._http.length is not None and self._http.length <= _SMALL_BYTES

    def _keep_early(self, body: bytes) -> None:
        self._early.append(body)
        self._early_bytes += len(body)
        if self._early_bytes > _EARLY_BYTES and not self._is_small:
            self.pause()

    def _end(self, error: BrokenAnswerError | None) -> None:
        self._ended, self._error = True, error
        if not self._asked.done():
            self._asked.set_result(None)
        if self._sink is not None:
            self._sink.end(error)


class _Reading:
    """`Sink` that collects."""

    def __init__(self, max_bytes: int) -> None:
        self.whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._body = bytearray()
        self._max_bytes = max_bytes

    def take(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._max_bytes:
            self.end(None)

    def end(self, error: BrokenAnswerError | None) -> None:
        if self.whole.done():
            return
        if error is not None:
            self.whole.set_exception(error)
        else:
            self.whole.set_result(bytes(self._body))


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.port is None:
        raise UnreachableError("not an address of an engine")
    return parts.hostname, parts.port
