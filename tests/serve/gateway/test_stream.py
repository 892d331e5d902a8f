"""Streams as bytes on the wire: by the gateway's own server, which sends events at once, and by any other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from planner.core.models.model import Role
from tests.serve.gateway.conftest import GATEWAY_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from planner.serve.gateway.access_log import AccessEntry
    from tests.serve.gateway.conftest import Stack, StartStack

BODY = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
OURS = pytest.mark.parametrize("ours", [True, False], ids=["our server", "another server"])


@dataclass
class Said:
    """What an engine of bytes has done so far."""

    url: str = ""
    parts: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def engine_that_says(parts: Iterable[bytes]) -> AsyncIterator[Said]:
    """Answers with an event stream of these bytes, as fast as they are read."""
    said = Said()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in parts:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                said.parts += 1
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        writer.close()
        said.left.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        said.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield said


def point_at(stack: Stack, said: Said) -> None:
    """Let that be the engine that chats."""
    upstream = stack.upstreams.get(Role.GENERATION)
    assert upstream is not None
    stack.upstreams.set(msgspec.structs.replace(upstream, url=said.url))


async def send(url: str, body: dict[str, Any], *, version: str = "1.1") -> tuple[asyncio.StreamReader, Any]:
    """Ask for a stream by hand."""
    raw = json.dumps(body)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=2**10)
    head = f"Host: localhost\r\nX-Api-Key: {GATEWAY_KEY}\r\nContent-Length: {len(raw)}\r\n\r\n"
    writer.write(f"POST /v1/chat/completions HTTP/{version}\r\n{head}{raw}".encode())
    return reader, writer


def words_of(text: str) -> str:
    """What the events say."""
    events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in events)


@OURS
async def test_a_slow_client_gets_every_event_once_and_in_order(start_wire: StartStack, ours: bool) -> None:
    wire = await start_wire(ours=ours)
    words = tuple(f"<{number}>" + "x" * 2**14 for number in range(400))  # more than buffers on the way take
    wire.generator.words = words
    reader, writer = await send(wire.url, BODY)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    text = b""
    while not text.endswith(b"0\r\n\r\n"):
        if len(text) % 7 == 0:
            await asyncio.sleep(0.01)
        text += await asyncio.wait_for(reader.read(2**16), 20)
    writer.close()
    body = b""
    while text:
        size, _, text = text.partition(b"\r\n")
        body, text = body + text[: int(size, 16)], text[int(size, 16) + 2 :]
    assert words_of(body.decode()) == "".join(words)
    assert body.endswith(b"data: [DONE]\n\n")


@OURS
async def test_an_engine_waits_for_a_client_that_does_not_read(start_wire: StartStack, ours: bool) -> None:
    """Else the gateway would have to hold the whole answer."""
    async with engine_that_says(itertools.repeat(b'data: {"choices":["%b"]}\n\n' % (b"x" * 2**16))) as said:
        wire = await start_wire(ours=ours)
        point_at(wire, said)
        reader, writer = await send(wire.url, BODY)
        await asyncio.wait_for(reader.readline(), 20)
        before = -1
        while before != said.parts:
            before = said.parts
            await asyncio.sleep(0.5)
        assert 0 < said.parts < 1000
        writer.transport.abort()
        await asyncio.wait_for(said.left.wait(), 20)


@OURS
async def test_bytes_and_tokens_are_counted_for_the_request_they_belong_to(
    start_wire: StartStack, ours: bool
) -> None:
    """Requests one after the other use the same connection to the engine."""
    entries: list[AccessEntry] = []
    wire = await start_wire(ours=ours, access_log=entries.append)
    await wire.chat()
    streamed = await wire.chat(stream=True, stream_options={"include_usage": True})
    async with asyncio.timeout(20):
        while len(entries) < 2:  # noqa: ASYNC110  # a line is written after its answer
            await asyncio.sleep(0.01)
    assert [(entry.prompt_tokens, entry.completion_tokens) for entry in entries] == [(41, 3), (41, 3)]
    assert entries[1].response_bytes == len(streamed.content)
    assert entries[1].id == streamed.headers["x-request-id"]


async def test_an_old_client_gets_a_stream_without_chunks(start_wire: StartStack) -> None:
    wire = await start_wire()
    reader, writer = await send(wire.url, BODY, version="1.0")
    head, _, body = (await asyncio.wait_for(reader.read(-1), 20)).partition(b"\r\n\r\n")
    writer.close()
    assert b"chunked" not in head
    assert body.startswith(b"data: {")
    assert words_of(body.decode()) == "Hello there."


@OURS
async def test_an_engines_comments_keep_the_connection_and_say_nothing(start_wire: StartStack, ours: bool) -> None:
    raw = b': 17 slots busy\n\nevent: x\ndata: {"choices":\r\ndata: []}\r\n\r\ndata: [DONE]\n\n'
    async with engine_that_says([raw[:50], raw[50:]]) as said:
        wire = await start_wire(ours=ours)
        point_at(wire, said)
        response = await wire.chat(stream=True)
    assert response.text == ':\n\ndata: {"choices":[],"model":"example/tiny-chat"}\n\ndata: [DONE]\n\n'


async def test_a_stream_after_its_end_is_not_read(start_wire: StartStack) -> None:
    async with engine_that_says([b"data: [DONE]\n\ndata: <html>\n\n"]) as said:
        wire = await start_wire()
        point_at(wire, said)
        assert (await wire.chat(stream=True)).text == "data: [DONE]\n\n"


async def test_events_before_the_one_that_is_broken_are_passed_on(start_wire: StartStack) -> None:
    async with engine_that_says([b'data: {"choices":[]}\n\ndata: <html>\n\n']) as said:
        wire = await start_wire()
        point_at(wire, said)
        text = (await wire.chat(stream=True)).text
    assert text.startswith('data: {"choices":[],')
    assert '"code":"engine_broke_off"' in text
