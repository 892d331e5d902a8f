"""Passing an engine's event stream on: event by event as they come, ended at once when the client leaves.

A stream that merely stops looks like a finished answer to most clients; one that is cut gets an error event.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from planner.serve.gateway.engine import EngineTalk, OpenStream, decode_object
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.limits import ClientGoneError, first_of, gone
from planner.serve.gateway.record import note_error

_MAX_EVENT_BYTES = 4 * 2**20

Shape = Callable[[dict[str, Any]], dict[str, Any]]
"""From an engine's JSON object to the client's; also the place to count tokens."""
IsLast = Callable[[dict[str, Any]], bool]
"""Whether an event is a complete answer's last one, for streams without `[DONE]`."""


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
        self._shape = shape
        self._is_last = is_last
        self._done = _DONE if done else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the end, an error, or the client's leaving."""
        try:
            await first_of(self._pump(send), gone(receive))
        except (ClientGoneError, OSError):
            note_error("client_gone")
        finally:
            await self._answer.aclose()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        unread_s = self._talk.gateway.config.unread_timeout_s
        try:
            async with aclosing(self._events()) as events:
                async for event in events:
                    # A client that does not read blocks the engine for everybody.
                    async with asyncio.timeout(unread_s):
                        await send({"type": "http.response.body", "body": event, "more_body": True})
        except ApiError as error:
            self._talk.gateway.metrics.broken_stream(self._talk.upstream.role)
            note_error(error.code)
            await send({"type": "http.response.body", "body": _event(error.body()), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes, None]:
        """The client's events as they came together. Raises ApiError when the engine's stream is not a whole one."""
        async with aclosing(self._blocks()) as arrivals:
            async for blocks in arrivals:
                ready: list[bytes] = []
                try:
                    ended = any(self._translate(lines, ready) for lines in blocks)
                except ApiError:
                    if ready:
                        yield b"".join(ready)
                    raise
                yield b"".join(ready)
                if ended:
                    return
        raise self._broken("stopped before the answer was complete; it may have crashed")

    def _translate(self, lines: list[bytes], ready: list[bytes]) -> bool:
        """Add the client's form of one event to `ready`; whether it was the last one. Raises ApiError."""
        data = b"\n".join(line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:"))
        if not data:
            ready.append(b":\n\n")  # a comment keeps connections open; what it says is the engine's business
            return False
        if data.strip() == b"[DONE]":
            ready.append(self._done)
            return True
        content = decode_object(data)
        if content is None:
            raise self._broken("sent something that is not JSON")
        if "error" in content:
            raise self._talk.refusal(500, data)
        ready.append(_event(self._shape(content)))
        return self._is_last is not None and self._is_last(content)

    async def _blocks(self) -> AsyncGenerator[list[list[bytes]], None]:
        """The engine's events that came together, each as a list of lines, empty line not included."""
        waiting = bytearray()
        chunks = self._answer.chunks
        stall_s = self._talk.gateway.config.stall_timeout_s
        while True:
            async with self._talk.connected(), asyncio.timeout(stall_s):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            waiting += chunk.replace(b"\r\n", b"\n")
            if (end := waiting.rfind(b"\n\n")) >= 0:
                whole = bytes(waiting[:end])
                del waiting[: end + 2]
                yield [block.split(b"\n") for block in whole.split(b"\n\n")]
            if len(waiting) > _MAX_EVENT_BYTES:
                raise self._broken("sent an event without an end")

    def _broken(self, what: str) -> ApiError:
        return ApiError(502, f"The {self._talk.upstream.role} engine {what}.", code="engine_broke_off")


_DONE = b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(content) + b"\n\n"
