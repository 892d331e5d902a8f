"""The gateway as it listens, against bytes that are no proper requests: smuggling, floods, silence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from planner.serve.gateway.access_log import AccessEntry
from planner.serve.gateway.app import GatewayConfig, create_app
from planner.serve.gateway.protocol import GatewayProtocol
from planner.serve.gateway.server import GatewayServer, bind_gateway
from planner.serve.gateway.upstream import Upstreams

KEY = "gateway-key-of-the-tests-0123456789"
HEAD = f"Host: localhost\r\nX-Api-Key: {KEY}\r\n"
HIDDEN = f"GET /v1/models HTTP/1.1\r\n{HEAD}\r\n"


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[int]:
    """The gateway's own server on a free port."""
    bound = bind_gateway(0, wanted=False)
    server = GatewayServer(create_app(GatewayConfig(api_key=KEY, upstreams=Upstreams(), **settings)), bound)
    server.start()
    try:
        yield bound.getsockname()[1]
    finally:
        await server.stop()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, closed at the end whichever side was first."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def say(port: int, text: str) -> bytes:
    """Everything that comes back until the connection ends. We end our side, so that a kept one ends too."""
    async with connected(port) as (reader, writer):
        writer.write(text.encode("latin-1"))
        writer.write_eof()
        return await asyncio.wait_for(reader.read(), 20)


def post(fields: str, body: str) -> str:
    return f"POST /v1/embeddings HTTP/1.1\r\n{HEAD}{fields}\r\n\r\n{body}"


SMUGGLING = {
    "both lengths": post("Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + HIDDEN),
    "both, the other way round": post("Transfer-Encoding: chunked\r\nContent-Length: 60", "0\r\n\r\n" + HIDDEN),
    "two lengths": post("Content-Length: 2\r\nContent-Length: 5", "{}" + HIDDEN),
    "a signed length": post("Content-Length: +2", "{}" + HIDDEN),
    "a negative length": post("Content-Length: -1", HIDDEN),
    "a length of many digits": post(f"Content-Length: {'9' * 30}", HIDDEN),
    "an encoding nobody knows": post("Transfer-Encoding: xchunked", HIDDEN),
    "two encodings": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + HIDDEN),
    "a list of encodings": post("Transfer-Encoding: chunked, identity", "0\r\n\r\n" + HIDDEN),
    "a space before the colon": post("Transfer-Encoding : chunked", "0\r\n\r\n" + HIDDEN),
    "a chunk that is none": post("Transfer-Encoding: chunked", "zz\r\n" + HIDDEN),
    "a chunk without an end": post("Transfer-Encoding: chunked", "f" * 24 + "\r\n" + HIDDEN),
    "a zero byte in a header": f"GET /v1/models HTTP/1.1\r\n{HEAD}X-A: a\0b\r\n\r\n{HIDDEN}",
    "two hosts": f"GET /v1/models HTTP/1.1\r\n{HEAD}Host: evil.example\r\n\r\n{HIDDEN}",
    "no version": f"GET /v1/models\r\n\r\n{HIDDEN}",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00" + HIDDEN,
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_a_request_that_can_be_read_in_two_ways_is_refused_and_the_rest_not_read(name: str) -> None:
    entries: list[AccessEntry] = []
    async with listening(access_log=entries.append) as port:
        answer = await say(port, SMUGGLING[name])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer.lower()
    assert [entry for entry in entries if entry.route == "/v1/models"] == []


async def test_two_plain_requests_on_one_connection_are_two_answers() -> None:
    async with listening() as port:
        assert (await say(port, HIDDEN + HIDDEN)).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET /v1/models HTTP/1.1\r\n{HEAD}X-A: {'a' * 33_000}\r\n\r\n",
        f"GET /v1/models HTTP/1.1\r\n{HEAD}{''.join(f'X-{n}: a{chr(13)}{chr(10)}' for n in range(4000))}\r\n",
        f"GET /{'a' * 33_000} HTTP/1.1\r\n{HEAD}\r\n",
        f"GET /v1/models?{'a' * 33_000} HTTP/1.1\r\n{HEAD}\r\n",
    ],
    ids=["one header", "many headers", "path", "query"],
)
async def test_a_long_head_is_refused_when_it_comes_in_one_piece_too(request_text: str) -> None:
    async with listening() as port:
        answer = await say(port, request_text)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))  # however many pieces the system made of it
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET http://evil.example/v1/models HTTP/1.1", 404),
        ("CONNECT evil.example:80 HTTP/1.1", 404),
        ("TRACE /v1/models HTTP/1.1", 405),
        ("GET /v1/../metrics HTTP/1.1", 404),
        ("GET /%76%31/models%2f.. HTTP/1.1", 404),
        ("GET //v1/models HTTP/1.1", 404),
    ],
)
async def test_other_ways_to_name_things_lead_nowhere(request_line: str, status: int) -> None:
    async with listening() as port:
        answer = await say(port, f"{request_line}\r\n{HEAD}\r\n")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


async def test_a_request_for_a_web_socket_gets_none() -> None:
    fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHl6\r\n"
    async with listening() as port:
        answer = await say(port, f"GET /v1/models HTTP/1.1\r\n{HEAD}{fields}\r\n")
    assert b" 101 " not in answer.partition(b"\r\n")[0]


async def test_a_head_that_grows_without_end_is_cut_off() -> None:
    sent = 0
    async with listening() as port, connected(port) as (_, writer):
        writer.write(f"GET /v1/models HTTP/1.1\r\n{HEAD}X-A: ".encode())
        with contextlib.suppress(ConnectionError):
            while sent < 2**22:
                writer.write(b"a" * 4096)
                await writer.drain()
                sent += 4096
                await asyncio.sleep(0)
    assert sent < 2**22


@pytest.mark.parametrize(("before", "begun"), [("", ""), ("", "GET /v1/mod"), (HIDDEN, "GET /v1/mod")])
async def test_whoever_never_finishes_a_request_is_shown_out(
    before: str, begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatewayProtocol, "head_deadline_s", 0.05)
    async with listening() as port, connected(port) as (reader, writer):
        if before:
            writer.write(before.encode())
            await asyncio.wait_for(reader.readuntil(b'"data":[]}'), 20)
        writer.write(begun.encode())
        assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_a_body_has_more_time_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GatewayProtocol, "head_deadline_s", 0.05)
    async with listening() as port, connected(port) as (reader, writer):
        writer.write(post("Content-Length: 2", "{").encode())
        await asyncio.sleep(0.2)
        writer.write(b"}")
        assert b" 400 " in await asyncio.wait_for(reader.readline(), 20)


async def test_nonsense_writes_no_lines_into_our_log(capfd: pytest.CaptureFixture[str]) -> None:
    async with listening() as port:
        await say(port, "nonsense\r\n\r\n")
    assert capfd.readouterr().err == ""
