"""Connections to engines: kept, replaced, given up; and what comes over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from planner.serve.gateway.http_answer import BrokenAnswerError
from planner.serve.gateway.wire import SocketWire, UnreachableError

SMALL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def engine(serve: Serve) -> AsyncIterator[tuple[SocketWire, str, list[bytes]]]:
    """A wire, the address of a program that does `serve` on each connection, and the heads of all requests."""
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await reader.readexactly(2)
                await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    wire = SocketWire(connect_timeout_s=5)
    async with server:
        yield wire, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
        await wire.aclose()


async def ask(wire: SocketWire, url: str) -> bytes:
    answer = await wire.post(url, "/x", key="k", body=b"{}")
    try:
        return await answer.read(100)
    finally:
        answer.close()


async def test_a_connection_is_used_again_and_replaced_when_the_engine_has_closed_it() -> None:
    ports: list[int] = []
    closes = False

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ports.append(writer.get_extra_info("peername")[1])
        writer.write(SMALL)
        await writer.drain()
        if closes:
            raise ConnectionResetError

    async with engine(serve) as (wire, url, heads):
        assert [await ask(wire, url) for _ in range(3)] == [b"{}"] * 3
        assert len(set(ports)) == 1
        closes = True
        assert [await ask(wire, url) for _ in range(3)] == [b"{}"] * 3
        assert len(set(ports)) == 3
    assert b"Authorization: Bearer k\r\n" in heads[0]


async def test_an_engine_that_says_nothing_is_broken_off_and_asked_once() -> None:
    async def serve(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise ConnectionResetError

    async with engine(serve) as (wire, url, heads):
        with pytest.raises(BrokenAnswerError):
            await ask(wire, url)
        assert len(heads) == 1


@pytest.mark.parametrize("said", [SMALL[:10], SMALL[:-1], b"nonsense\r\n\r\n"])
async def test_half_an_answer_is_not_asked_for_again(said: bytes) -> None:
    """The engine has done its work, or died of it."""
    answers = [SMALL, said]

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))
        await writer.drain()
        if not answers:
            raise ConnectionResetError

    async with engine(serve) as (wire, url, heads):
        await ask(wire, url)
        with pytest.raises(BrokenAnswerError):
            await ask(wire, url)
        assert len(heads) == 2


async def test_nobody_there() -> None:
    async with engine(lambda _reader, _writer: asyncio.sleep(0)) as (wire, url, _):
        pass
    with pytest.raises(UnreachableError):
        await ask(wire, url)
    with pytest.raises(UnreachableError):
        await ask(wire, "https://127.0.0.1:1")


async def test_an_answer_without_end_is_read_to_its_bound_and_the_engine_waits_meanwhile() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"a" * 2**16)
            await writer.drain()

    async with engine(serve) as (wire, url, _):
        answer = await wire.post(url, "/x", key="k", body=b"{}")
        await asyncio.sleep(0.05)
        assert len(await answer.read(100)) < 2**21
        answer.close()


async def test_a_request_that_is_given_up_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with engine(serve) as (wire, url, heads):
        asking = asyncio.create_task(ask(wire, url))
        while not heads:  # noqa: ASYNC110  # what was received has no event
            await asyncio.sleep(0.005)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(closed.wait(), 10)
