"""Passing an engine's event stream on: event by event as they come, ended at once when the client leaves.

A stream that merely stops looks like a finished answer to most clients; one that is cut gets an error event.
An event is read, translated and sent within the call that brings its bytes. Only when the client does not read as
fast as the engine writes does it wait here, and then the engine waits too.
"""

import asyncio
import contextvars
from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from planner.serve.gateway.engine import EngineTalk, OpenStream
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.events import Events, IsLast, Shape, event_of
from planner.serve.gateway.http_answer import BrokenAnswerError
from planner.serve.gateway.limits import ClientGoneError, unless_gone
from planner.serve.gateway.protocol import SEND_NOW
from planner.serve.gateway.record import current, note_error

_MAX_WAITING_BYTES = 64 * 2**10


class EventStream(Response):
    """`text/event-stream` from an open engine answer, which it closes. Nothing is held back but incomplete events."""

    media_type = "text/event-stream"

    def __init__(
        self,
        talk: EngineTalk,
        engine_answer: OpenStream,
        *,
        shape: Shape,
        is_last: IsLast | None = None,
        done: bool = True,
    ) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._talk = talk
        self._answer = engine_answer
        self._events = Events(talk, shape=shape, is_last=is_last, done=done)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end, an error, or the client's leaving."""
        send_now: Callable[[bytes], bool] | None = (scope.get("extensions") or {}).get(SEND_NOW)
        try:
            await unless_gone(receive, self._pump(send, send_now))
        except (ClientGoneError, OSError):
            note_error("client_gone")
        finally:
            await self._answer.aclose()

    async def _pump(self, send: Send, send_now: Callable[[bytes], bool] | None) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await _Passing(self._talk, self._answer, self._events, send, send_now).run()
            last = b""
        except ApiError as error:
            self._talk.gateway.metrics.broken_stream(self._talk.upstream.role)
            note_error(error.code)
            last = event_of(error.body())
        async with asyncio.timeout(self._talk.gateway.config.unread_timeout_s):
            await send({"type": "http.response.body", "body": last, "more_body": False})


class _Passing:
    """The way of one stream's events; a `Sink`.

    `send_now` sends without waiting, or returns False when the client has to read first; None: there is no such way.
    """

    def __init__(
        self,
        talk: EngineTalk,
        engine_answer: OpenStream,
        events: Events,
        send: Send,
        send_now: Callable[[bytes], bool] | None,
    ) -> None:
        config = talk.gateway.config
        self._talk = talk
        self._answer = engine_answer.answer
        self._events = events
        self._send = send
        self._send_now = send_now
        self._unread_s, self._stall_s = config.unread_timeout_s, config.stall_timeout_s
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._news = asyncio.Event()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._sending = False
        self._over = False
        self._error: ApiError | None = None
        self._record = current.get()
        # Bytes come in whatever context the connection was made in: another request's, if it was kept.
        self._context = contextvars.copy_context()

    async def run(self) -> None:
        """Until the stream's end. Raises ApiError for one that is no whole answer, OSError for an idle client."""
        self._watch = self._loop.call_later(self._stall_s, self._look)
        self._answer.deliver(self)
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._send_waiting()
                if self._error is not None:
                    raise self._error
                if self._over:
                    return
        finally:
            self._over = True
            self._watch.cancel()

    def take(self, data: bytes) -> None:
        """Pass on what came, at once if that is possible."""
        if self._over:
            return
        self._heard_at = self._loop.time()
        ready: list[bytes] = []
        try:
            self._context.run(self._events.feed, data, ready)
        except ApiError as error:
            self._error = error
        if ready:
            self._pass_on(ready[0] if len(ready) == 1 else b"".join(ready))
        if self._events.ended or self._error is not None:
            self._over = True
            self._news.set()

    def end(self, error: BrokenAnswerError | None) -> None:
        """The engine's answer is over; it should have said so before."""
        if self._over:
            return
        self._over = True
        if error is not None:
            self._error = self._talk.failure(error)
        else:
            self._error = self._events.broken("stopped before the answer was complete; it may have crashed")
        self._news.set()

    def _pass_on(self, data: bytes) -> None:
        if not self._waiting and not self._sending and self._send_now is not None and self._send_now(data):
            if self._record is not None:
                self._record.sent_bytes += len(data)
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            self._answer.pause()
        self._news.set()

    async def _send_waiting(self) -> None:
        """Send what waits, as fast as the client reads; one that does not read blocks the engine for everybody."""
        self._sending = True
        while self._waiting:
            data, self._waiting, self._waiting_bytes = b"".join(self._waiting), [], 0
            async with asyncio.timeout(self._unread_s):
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self._heard_at = self._loop.time()
            self._answer.resume()
        self._sending = False

    def _look(self) -> None:
        """Look whether the engine has been silent for too long, and if not, when it may have been."""
        left_s = self._heard_at + self._stall_s - self._loop.time()
        if self._sending or left_s > 0:
            self._watch = self._loop.call_later(max(left_s, 0.0) or self._stall_s, self._look)
            return
        if not self._over:
            self._over = True
            self._error = self._talk.failure(TimeoutError())
            self._news.set()
