"""The gateway's own cost: processor time and delay a request, with an engine and a client that do nothing but send.

    python benchmarks/gateway_cost.py [--requests 300] [--events 1200]

The engine and the client are processes of their own that write ready-made bytes, so that what this process takes is
the gateway's. Nothing is loaded and nothing computed; needs no deployment. Processor time depends on what else runs
much less than delays do.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import time
from multiprocessing.queues import Queue

from planner.catalog.loader import load
from planner.core.models.model import Role
from planner.serve.gateway.app import GatewayConfig, create_app
from planner.serve.gateway.server import GatewayServer, bind_gateway
from planner.serve.gateway.upstream import Upstream, Upstreams

_KEY = "a-key-for-this-measurement-only"
_TEXT = {"input": "The ferry to the island leaves at seven."}
_QUESTION = {"messages": [{"role": "user", "content": "Tell a story."}], "stream": True}
_LENGTH = 384
_EVENT = (
    b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":" word%d"}}],"created":%d,'
    b'"id":"chatcmpl-0123456789abcdef0123456789abcdef","model":"generation","system_fingerprint":"b0-unknown",'
    b'"object":"chat.completion.chunk"}\n\n'
)
"""Of the form that llama-server b11434 sends, number and second to be filled in."""
_VECTORS = json.dumps(
    {
        "object": "list",
        "usage": {"prompt_tokens": 10, "total_tokens": 10},
        "data": [{"index": 0, "embedding": [0.0510310363] * _LENGTH}],
    }
).encode()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, events: int) -> None:
    """Be an engine on one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            await reader.readexactly(length)
            if b"/v1/embeddings" in head:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(_VECTORS), _VECTORS))
            else:
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for number in range(events + 1):
                    event = _EVENT % (number, time.time()) if number < events else b"data: [DONE]\n\n"
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(0.002)  # one by one, as tokens come
                writer.write(b"0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _engine(port: "Queue[int]", events: int) -> None:
    async def serve() -> None:
        server = await asyncio.start_server(lambda r, w: _answer(r, w, events), "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


def _client(port: int, path: str, body: bytes, count: int, times: "Queue[float]") -> None:
    """Send the same request again and again; report the median time to the whole answer in milliseconds."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {_KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = []
        for _ in range(count):
            started = time.perf_counter()
            connection.sendall(request)
            _read_answer(connection)
            found.append((time.perf_counter() - started) * 1000)
    times.put(statistics.median(found))


def _read_answer(connection: socket.socket) -> None:
    """Read to the answer's end, and do nothing else: it runs beside what is measured."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(2**16)
    head, _, body = head.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        while not body.endswith(b"0\r\n\r\n"):
            body = connection.recv(2**16)
        return
    left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) - len(body)
    while left > 0:
        left -= len(connection.recv(2**16))


async def measure(path: str, body: dict[str, object], *, count: int, events: int) -> tuple[float, float]:
    """Milliseconds of this process' time for all requests together, and the median delay of one."""
    ports: Queue[int] = multiprocessing.Queue()
    engine = multiprocessing.Process(target=_engine, args=(ports, events), daemon=True)
    engine.start()
    url = f"http://127.0.0.1:{await asyncio.to_thread(ports.get)}"
    upstreams = Upstreams()
    for model in (model for model in load().models if model.starter and model.role is not Role.RERANKER):
        upstreams.set(
            Upstream(
                role=model.role, url=url, api_key="x", model=model, quant="", context=512, batch=512, engine="none"
            )
        )
    bound = bind_gateway(0, wanted=False)
    server = GatewayServer(create_app(GatewayConfig(api_key=_KEY, upstreams=upstreams)), bound)
    server.start()
    await asyncio.sleep(0.3)
    times: Queue[float] = multiprocessing.Queue()
    arguments = (bound.getsockname()[1], path, json.dumps(body).encode(), count, times)
    client = multiprocessing.Process(target=_client, args=arguments)
    client.start()
    before = time.process_time()
    median = await asyncio.to_thread(times.get)
    taken = (time.process_time() - before) * 1000
    await server.stop()
    engine.kill()
    return taken, median


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=300, help="short embeddings")
    parser.add_argument("--events", type=int, default=1200, help="events of a stream")
    arguments = parser.parse_args()
    taken, median = asyncio.run(measure("/v1/embeddings", dict(_TEXT), count=arguments.requests, events=1))
    print(f"embedding  {taken / arguments.requests:.2f} ms of processor time, {median:.2f} ms from request to answer")
    taken, _ = asyncio.run(measure("/v1/chat/completions", dict(_QUESTION), count=1, events=arguments.events))
    print(f"event      {taken / arguments.events:.3f} ms of processor time")
    return 0


if __name__ == "__main__":
    sys.exit(main())
