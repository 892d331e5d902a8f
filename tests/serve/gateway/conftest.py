"""A fake llama-server on loopback, and the gateway in front of two of them, all in the test's event loop.

The fake answers in the shapes measured at llama-server b11434; its attributes switch the faults on.
"""

import asyncio
import hashlib
import json
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from planner.core.models.model import Architecture, Commercial, Licence, Model, Pooling, Prompts, Role
from planner.serve.gateway.app import create_app
from planner.serve.gateway.context import GatewayConfig
from planner.serve.gateway.protocol import GatewayProtocol
from planner.serve.gateway.upstream import Upstream, Upstreams
from planner.serve.gateway.wire import Sink

GATEWAY_KEY = "gateway-key-of-the-tests-0123456789"
ENGINE_KEY = "engine-key-of-the-tests-9876543210"
LENGTH = 16
TIMINGS = {"cache_n": 1, "prompt_n": 40, "prompt_per_second": 400.5, "predicted_n": 3, "predicted_per_second": 25.25}
USAGE = {"completion_tokens": 3, "prompt_tokens": 41, "total_tokens": 44}


def word_vector(text: str) -> list[float]:
    """A unit vector of the text's words: texts that share words are close."""
    sums = [0.0] * LENGTH
    for word in text.lower().replace(".", " ").split():
        digest = hashlib.sha256(word.encode()).digest()
        sums = [total + byte - 127.5 for total, byte in zip(sums, digest, strict=False)]
    norm = math.hypot(*sums) or 1.0
    return [total / norm for total in sums]


@dataclass
class FakeEngine:
    """One engine. `seen` holds (path, body) of every request that carried the right key."""

    role: str
    url: str = ""
    ubatch: int = 64
    words: tuple[str, ...] = ("Hello", " there", ".")
    timings: dict[str, float] = field(default_factory=lambda: dict(TIMINGS))
    speeds: Iterator[float] | None = None
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    vector: Callable[[str], Any] = word_vector
    raw_embeddings: bytes | None = None
    counts_lists: bool = True
    fails_with: tuple[int, dict[str, Any]] | None = None
    stream_fault: str = ""
    gate: asyncio.Event | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [body for seen, body in self.seen if seen == path]

    def app(self) -> Starlette:
        handlers: dict[str, Callable[[Request, dict[str, Any]], Awaitable[Response]]] = {
            "/tokenize": self._tokenize,
            "/v1/embeddings": self._embeddings,
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._completions,
            "/completion": self._native,
            "/v1/rerank": self._rerank,
        }

        async def answer(request: Request) -> Response:
            if request.headers.get("authorization") != f"Bearer {ENGINE_KEY}":
                return _error(401, "Invalid API Key", "authentication_error")
            body = await request.json()
            self.seen.append((request.url.path, body))
            if self.fails_with is not None:
                return JSONResponse(self.fails_with[1], status_code=self.fails_with[0])
            return await handlers[request.url.path](request, body)

        return Starlette(routes=[Route(path, answer, methods=["POST"]) for path in handlers])

    async def _tokenize(self, _request: Request, body: dict[str, Any]) -> Response:
        content = body["content"]
        if isinstance(content, str):
            return JSONResponse({"tokens": _tokens(content, first=True)})
        if not self.counts_lists:
            return _error(500, "type must be string, but is array", "server_error")
        tokens: list[int] = []
        first = True
        for item in content:
            tokens += [item] if isinstance(item, int) else _tokens(item, first=first)
            first = False
        return JSONResponse({"tokens": tokens})

    async def _embeddings(self, request: Request, body: dict[str, Any]) -> Response:
        await self._pass_gate(request)
        if self.raw_embeddings is not None:
            return Response(self.raw_embeddings, media_type="application/json")
        texts = body["input"]
        lengths = [len(text) if isinstance(text, list) else len(_tokens(text, first=True)) for text in texts]
        longest = max(lengths)
        if longest > self.ubatch:
            message = f"input ({longest} tokens) is too large to process. increase the physical batch size "
            return _error(500, f"{message}(current batch size: {self.ubatch})", "server_error")
        used = sum(lengths)
        data = [{"embedding": self.vector(str(t)), "index": i, "object": "embedding"} for i, t in enumerate(texts)]
        answer = {"model": self.role, "object": "list", "usage": {"prompt_tokens": used, "total_tokens": used}}
        # Python writes NaN as NaN, as some engines do; others write null.
        return Response(json.dumps({**answer, "data": data[::-1]}), media_type="application/json")

    async def _chat(self, request: Request, body: dict[str, Any]) -> Response:
        if self.speeds is not None:
            self.timings["predicted_per_second"] = next(self.speeds)
        head = {"id": "chatcmpl-1", "created": 1, "model": self.role, "system_fingerprint": "b0-unknown"}
        if body.get("stream"):
            events = [
                {**head, "choices": [{"index": 0, "finish_reason": None, "delta": {"content": word}}]}
                for word in self.words
            ]
            end = {**head, "choices": [{"index": 0, "finish_reason": "stop", "delta": {}}], "timings": self.timings}
            if (body.get("stream_options") or {}).get("include_usage"):
                return self._stream([*events, end, {**head, "choices": [], "usage": USAGE, "timings": self.timings}])
            return self._stream([*events, end])
        await self._pass_gate(request)
        message = {"role": "assistant", "content": "".join(self.words)}
        choices = [{"finish_reason": "stop", "index": 0, "message": message}]
        return JSONResponse({**head, "choices": choices, "usage": USAGE, "timings": self.timings})

    async def _completions(self, _request: Request, body: dict[str, Any]) -> Response:
        head = {"id": "cmpl-1", "created": 1, "model": self.role, "object": "text_completion"}
        if body.get("stream"):
            return self._stream(
                [{**head, "choices": [{"index": 0, "text": w, "finish_reason": None}]} for w in self.words]
            )
        choices = [{"index": 0, "text": "".join(self.words), "finish_reason": "length", "logprobs": None}]
        return JSONResponse({**head, "choices": choices, "usage": USAGE})

    async def _native(self, _request: Request, body: dict[str, Any]) -> Response:
        settings = {"id_slot": 0, "model": "/home/somebody/model.gguf", "generation_settings": {"seed": 1}}
        if body.get("stream"):
            events = [{"index": 0, "content": word, "stop": False, "id_slot": -1} for word in self.words]
            end = {"index": 0, "content": "", "stop": True, "stop_type": "eos", "timings": self.timings, **settings}
            return self._stream([*events, end], done=False)
        answer = {"content": "".join(self.words), "stop": True, "tokens_predicted": 3, "tokens_evaluated": 2}
        return JSONResponse({**answer, "prompt": body["prompt"], "timings": self.timings, **settings})

    async def _rerank(self, _request: Request, body: dict[str, Any]) -> Response:
        query = word_vector(body["query"])
        scores = [sum(a * b for a, b in zip(query, word_vector(d), strict=True)) for d in body["documents"]]
        results = [{"index": i, "relevance_score": s} for i, s in enumerate(scores)]
        return JSONResponse({"model": self.role, "object": "list", "usage": {"prompt_tokens": 9}, "results": results})

    def _stream(self, events: list[dict[str, Any]], *, done: bool = True) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                for number, event in enumerate(events):
                    if number == 1:
                        self.started.set()
                        if self.gate is not None:
                            await self.gate.wait()
                        if self.stream_fault == "cut":
                            raise ConnectionAbortedError
                        if self.stream_fault:
                            yield _STREAM_FAULTS[self.stream_fault]
                            return
                    raw = b"data: " + json.dumps(event).encode() + b"\n\n"
                    # Events arrive in arbitrary pieces.
                    yield raw[:9]
                    yield raw[9:]
                if done:
                    yield b"data: [DONE]\n\n"
            except asyncio.CancelledError:
                self.cancelled.set()
                raise

        return StreamingResponse(chunks(), media_type="text/event-stream")

    async def _pass_gate(self, request: Request) -> None:
        self.started.set()
        while self.gate is not None and not self.gate.is_set():
            if await request.is_disconnected():
                self.cancelled.set()
                return
            await asyncio.sleep(0.01)


_STREAM_FAULTS = {
    "end": b'data: {"half": ',
    "error": b'data: {"error": {"code": 500, "message": "boom in /opt/engine/x.cpp"}}\n\n',
    "garbage": b"data: <html>\n\n",
}


def _error(status: int, message: str, kind: str) -> JSONResponse:
    return JSONResponse({"error": {"code": status, "message": message, "type": kind}}, status_code=status)


def _tokens(text: str, *, first: bool) -> list[int]:
    """Like a BERT tokenizer: 101 and 102 around the first text; invisible characters yield nothing."""
    words = [1000 + len(word) for word in text.replace("\u200b", " ").split()]
    return [101, *words, 102] if first else words


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave pytest's own Ctrl-C alone."""
        yield


@asynccontextmanager
async def run_server(app: Starlette, together: list[_Server], *, ours: bool = False) -> AsyncIterator[str]:
    """The app on a free loopback port, for as long as the block lasts; `ours`: served by the gateway's protocol.

    All servers in the list `together` stop with the first, so that their shutdowns overlap.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        http: Any = GatewayProtocol if ours else "auto"
        config = uvicorn.Config(
            app, http=http, log_config=None, log_level="critical", ws="none", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        together.append(server)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn offers a flag, not an event
                    await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in together:
                one.should_exit = True
            await task


Serving = Callable[[Starlette, list[_Server]], AbstractAsyncContextManager[str]]


@pytest.fixture(name="serving")
def _serving() -> Serving:
    """`run_server`, for tests with an application of their own."""
    return run_server


LICENCE = Licence("Apache-2.0", Commercial.YES)
EMBEDDER = Model(
    id="example/tiny-embed",
    family="tiny",
    role=Role.EMBEDDING,
    parameters=1_000_000,
    context_length=512,
    licence=LICENCE,
    aliases=("te",),
    embedding_length=LENGTH,
    matryoshka=(8,),
    pooling=Pooling.MEAN,
    prompts=Prompts(query="Instruct: {task}\nQuery: ", document="passage: "),
)
GENERATOR = Model(
    id="example/tiny-chat",
    family="tiny",
    role=Role.GENERATION,
    parameters=1_000_000,
    context_length=2048,
    licence=LICENCE,
)
RERANKER = Model(
    id="example/tiny-rank",
    family="tiny",
    role=Role.RERANKER,
    parameters=1_000_000,
    context_length=512,
    licence=LICENCE,
)
CAUSAL = Architecture(
    name="llama",
    layers=1,
    embedding_length=LENGTH,
    feed_forward_length=32,
    head_count=2,
    head_count_kv=2,
    key_length=8,
    value_length=8,
    vocab_size=2000,
)


@dataclass
class Stack:
    """A running gateway. `client` sends the key; `bare` does not."""

    embedder: FakeEngine
    generator: FakeEngine
    reranker: FakeEngine
    upstreams: Upstreams
    url: str
    client: httpx2.AsyncClient
    bare: httpx2.AsyncClient
    causal: Architecture = CAUSAL

    async def embed(self, **body: Any) -> httpx2.Response:
        return await self.client.post("/v1/embeddings", json=body)

    async def chat(self, **body: Any) -> httpx2.Response:
        return await self.client.post(
            "/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}], **body}
        )

    def set_embedder(self, model: Model, *, context: int = 64, batch: int = 64) -> None:
        self.upstreams.set(upstream_for(self.embedder, model, context=context, batch=batch))


def upstream_for(engine: FakeEngine, model: Model, *, context: int, batch: int) -> Upstream:
    return Upstream(
        role=model.role,
        url=engine.url,
        api_key=ENGINE_KEY,
        model=model,
        quant="F16",
        context=context,
        batch=batch,
        engine="llama-server",
        engine_version="b11434",
    )


class _InProcessAnswer:
    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        self.content_type = response.headers.get("content-type", "")
        self._content = response.content

    async def read(self, max_bytes: int) -> bytes:
        return self._content[: max_bytes + 1]

    def deliver(self, sink: Sink) -> None:
        sink.take(self._content)
        sink.end(None)

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None: ...


class _InProcess:
    """Engines without sockets: requests go by port to the fakes. Streams arrive in one piece."""

    def __init__(self, engines: dict[int, FakeEngine]) -> None:
        self._clients = {
            port: httpx2.AsyncClient(transport=httpx2.ASGITransport(engine.app())) for port, engine in engines.items()
        }

    async def post(self, url: str, path: str, *, key: str, body: bytes) -> _InProcessAnswer:
        client = self._clients[int(url.rpartition(":")[2])]
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return _InProcessAnswer(await client.post(url + path, content=body, headers=headers))

    async def aclose(self) -> None:
        for client in self._clients.values():
            await client.aclose()


StartStack = Callable[..., Awaitable[Stack]]
ROLES = (("embedding", EMBEDDER), ("generation", GENERATOR), ("reranker", RERANKER))


def _upstreams(engines: list[FakeEngine]) -> Upstreams:
    upstreams = Upstreams()
    for engine, (_, model) in zip(engines, ROLES, strict=True):
        upstreams.set(upstream_for(engine, model, context=64, batch=64))
    return upstreams


@pytest.fixture
async def start_stack() -> AsyncIterator[StartStack]:
    """Start a gateway with settings of the test's own: all in one process, no sockets."""
    async with AsyncExitStack() as exits:

        async def start(**settings: Any) -> Stack:
            engines = [FakeEngine(role, url=f"http://127.0.0.1:{port}") for port, (role, _) in enumerate(ROLES, 1)]
            upstreams = _upstreams(engines)
            wire = _InProcess(dict(enumerate(engines, 1)))
            app = create_app(GatewayConfig(api_key=GATEWAY_KEY, upstreams=upstreams, wire=wire, **settings))
            await exits.enter_async_context(app.router.lifespan_context(app))
            url = "http://127.0.0.1:80"
            way = httpx2.ASGITransport(app)
            bare = await exits.enter_async_context(httpx2.AsyncClient(base_url=url, transport=way))
            client = await exits.enter_async_context(httpx2.AsyncClient(base_url=url, transport=way, headers=_KEY))
            return Stack(engines[0], engines[1], engines[2], upstreams, url, client, bare)

        yield start


@pytest.fixture
async def stack(start_stack: StartStack) -> Stack:
    """A gateway with default settings, without sockets."""
    return await start_stack()


_KEY = {"Authorization": f"Bearer {GATEWAY_KEY}"}


@pytest.fixture
async def start_wire() -> AsyncIterator[StartStack]:
    """As `start_stack`, over real connections: for streams, and for clients and engines that go away.

    `ours=False`: served by another web server than the gateway's own.
    """
    async with AsyncExitStack() as exits:

        async def start(*, ours: bool = True, **settings: Any) -> Stack:
            servers: list[_Server] = []
            engines = [FakeEngine(role) for role, _ in ROLES]
            for engine in engines:
                engine.url = await exits.enter_async_context(run_server(engine.app(), servers))
            upstreams = _upstreams(engines)
            app = create_app(GatewayConfig(api_key=GATEWAY_KEY, upstreams=upstreams, **settings))
            url = await exits.enter_async_context(run_server(app, servers, ours=ours))
            options: dict[str, Any] = {"base_url": url, "trust_env": False, "timeout": 20}
            bare = await exits.enter_async_context(httpx2.AsyncClient(**options))
            client = await exits.enter_async_context(httpx2.AsyncClient(**options, headers=_KEY))
            return Stack(engines[0], engines[1], engines[2], upstreams, url, client, bare)

        yield start


@pytest.fixture
async def wire(start_wire: StartStack) -> Stack:
    """A gateway with default settings over real connections."""
    return await start_wire()
