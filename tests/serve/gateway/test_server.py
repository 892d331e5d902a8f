"""The gateway's own server: what it does with an answer's pieces, and that it sleeps while nobody asks."""

from __future__ import annotations

import asyncio
import email.utils
import time
from typing import TYPE_CHECKING, Any

from planner.serve.gateway.server import GatewayServer, bind_gateway

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

BODY = b"x" * 1000


async def whole(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY[:400], "more_body": True})
    await send({"type": "http.response.body", "body": BODY[400:]})


async def late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": BODY})


async def ask(app: Any, *, close: bool = False) -> bytes:
    bound = bind_gateway(0, wanted=False)
    server = GatewayServer(app, bound, lifespan=False)
    server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", bound.getsockname()[1])
        writer.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\n" + (b"Connection: close\r\n" if close else b"") + b"\r\n"
        )
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        length = len(BODY) if b"content-length" in answer else len(BODY) + len(b"3e8\r\n\r\n0\r\n\r\n")
        answer += await asyncio.wait_for(reader.readexactly(length), 20)
        if close:
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        return answer
    finally:
        await asyncio.wait_for(server.stop(), 20)


async def test_an_answer_comes_whole_also_when_the_connection_is_closed_after_it() -> None:
    for close in (False, True):
        for app in (whole, late):
            assert BODY in await ask(app, close=close)


async def test_an_answer_says_when_it_was_made() -> None:
    head = (await ask(whole)).partition(b"\r\n\r\n")[0].decode()
    (date,) = [line[6:] for line in head.split("\r\n") if line.lower().startswith("date: ")]
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 60


async def test_a_failure_after_the_head_is_an_error_and_not_half_an_answer() -> None:
    """Nothing has been sent before the body is there."""

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        raise ValueError

    bound = bind_gateway(0, wanted=False)
    server = GatewayServer(fails, bound, lifespan=False)
    server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", bound.getsockname()[1])
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 500")
    writer.close()
    await server.stop()
