"""HTTP as the gateway speaks it: uvicorn's strict parser, without patience for clients that never say what they want.

A connection on which a request is not complete costs a descriptor; some hundreds of them, opened by one program and
left alone, would shut everybody else out.
"""

import asyncio
import time
from email.utils import formatdate
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

HEAD_DEADLINE_S = 20.0
"""For a request's head, from the connection or, on a kept one, from its first byte. Bodies have their own."""
MAX_CONNECTIONS = 1000
"""More are answered 503 before anything of them is read."""
SEND_NOW = "planner.send_now"
"""ASGI extension: a function that sends a part of an answer's body without being awaited, between the start of a
streamed answer (one without a length) and its last message. It returns False, and has sent nothing, where only the
ordinary way can say what to do: the client has to read first, or has gone."""


class GatewayProtocol(H11Protocol):
    """One connection."""

    head_deadline_s = HEAD_DEADLINE_S
    _waiting: asyncio.TimerHandle | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        app = self.app

        async def with_shortcuts(scope: Any, receive: Any, send: Any) -> None:
            if scope["http_version"] == "1.1":
                scope["extensions"] = {SEND_NOW: self._send_now}
            await app(scope, receive, self._in_one_piece(send))

        self.app = with_shortcuts

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected."""
        self._gathering = _Gathering(transport)
        super().connection_made(self._gathering)  # type: ignore[arg-type]
        self._wait()

    def data_received(self, data: bytes) -> None:
        """A client sent something."""
        self._set_date()
        super().data_received(data)
        cycle = self.cycle  # None before the first request, whatever its annotation says
        if cycle is not None and not cycle.response_complete:  # type: ignore[redundant-expr]
            self._wait_no_more()
        elif self._waiting is None:
            self._wait()

    def on_response_complete(self) -> None:
        """An answer is out; the rest is what uvicorn does with kept connections."""
        self._wait_no_more()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _in_one_piece(self, send: Any) -> Any:
        """Let a whole answer go out with its head: each piece costs a call of the system, and wakes the client."""
        head: Any = None

        async def send_together(message: Any) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and any(
                n == b"content-length" for n, _ in message["headers"]
            ):
                head = message
                return
            if head is None:
                await send(message)
                return
            self._gathering.hold()
            try:
                await send(head)
                head = None
                await send(message)
            finally:
                self._gathering.release()

        return send_together

    def _set_date(self) -> None:
        """Let answers say when they were made, to the second. The first in a second sets it for all."""
        state, second = self.server_state, int(time.time())
        if second != getattr(state, "second_of_headers", None):
            state.second_of_headers = second  # type: ignore[attr-defined]
            date = (b"date", formatdate(second, usegmt=True).encode())
            state.default_headers = [date, *self.config.encoded_headers]

    def _send_now(self, data: bytes) -> bool:
        """See SEND_NOW. What h11 would do takes no note of a chunk either: its framing is the same for each."""
        cycle = self.cycle
        if (
            not data
            or not cycle.response_started
            or cycle.response_complete
            or cycle.disconnected
            or self.flow.write_paused
        ):
            return False
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        return True

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(self.head_deadline_s, self._give_up)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self.transport.close()


class _Gathering:
    """A transport that can hold back what is written until more of it is there."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or hold."""
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def close(self) -> None:
        """Send what is held, then close: an answer may be the last of its connection."""
        self.release()
        self._transport.close()

    def hold(self) -> None:
        """Hold what is written from now on."""
        self._held = []

    def release(self) -> None:
        """Send what is held, and again everything that is written."""
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))
