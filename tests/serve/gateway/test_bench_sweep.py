"""Measuring under many conditions, through a whole gateway in front of fake engines."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from pytest_httpserver import HTTPServer

from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.proof.bench_sweep import Point, Sweep

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack

KEY = "gateway-key-of-the-tests-0123456789"
PAIR = (Role.EMBEDDING, Role.GENERATION)


async def swept(stack: Stack, *roles: Role, **settings: Any) -> tuple[tuple[Point, ...], bool]:
    stack.embedder.ubatch = 10_000
    stack.generator.timings |= {"prompt_n": 1500, "predicted_n": 32}
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(upstream.model, context=512, batch=512)
    sweep = Sweep(stack.url, KEY, **{"repeats": 1, "deadline_s": 60.0, **settings})
    return await asyncio.to_thread(sweep.run, roles or PAIR)


async def test_all_conditions_that_fit_the_context_are_measured(wire: Stack) -> None:
    points, whole = await swept(wire)
    assert whole
    kinds = {kind: [point for point in points if point.kind == kind] for kind in {point.kind for point in points}}
    assert [point.clients for point in kinds["generation-clients"]] == [1, 2, 4, 8]
    assert [point.clients for point in kinds["embedding-clients"]] == [1, 2, 4, 8]
    assert [point.batch for point in kinds["embedding"]] == [1, 8, 32] * 4  # lengths 32, 128, 256, 512
    assert all(point.tokens_per_s > 0 for point in points)
    assert all(point.first_s is not None and point.first_s > 0 for point in kinds["generation-clients"])
    # 64 tokens of context have no room for the least depth.
    assert "generation" not in kinds


async def test_depths_are_those_the_engine_counted(wire: Stack) -> None:
    upstream = wire.upstreams.get(Role.GENERATION)
    assert upstream is not None
    from tests.serve.gateway.conftest import upstream_for

    wire.upstreams.set(upstream_for(wire.generator, upstream.model, context=2048, batch=512))
    points, _ = await swept(wire, Role.GENERATION)
    deep = [(point.depth, point.tokens_per_s) for point in points if point.kind == "generation"]
    assert deep == [(1501, 25.25)] * 2  # asked for 256 and 1024; the fake says what it says
    assert [point.tokens_per_s for point in points if point.kind == "prompt"] == [400.5] * 2


async def test_no_text_is_sent_twice(wire: Stack) -> None:
    await swept(wire)
    texts = [text for body in wire.embedder.bodies("/v1/embeddings") for text in body["input"]]
    prompts = [body["messages"][0]["content"] for body in wire.generator.bodies("/v1/chat/completions")]
    assert len(set(texts)) == len(texts)
    assert len(set(prompts)) == len(prompts)


async def test_when_the_time_is_over_what_was_measured_is_kept(wire: Stack) -> None:
    ticks = itertools.count()
    points, whole = await swept(wire, deadline_s=60.0, clock=lambda: float(next(ticks)))
    assert not whole
    assert points
    assert {point.clients for point in points} == {1}  # what matters most comes first


async def test_a_sweep_that_is_cut_short_knows_something_of_every_kind(wire: Stack) -> None:
    """Depths came last once, and a slow machine never got to them."""
    upstream = wire.upstreams.get(Role.GENERATION)
    assert upstream is not None
    from tests.serve.gateway.conftest import upstream_for

    wire.upstreams.set(upstream_for(wire.generator, upstream.model, context=4096, batch=512))
    steps: list[str] = []
    await swept(wire, tell=steps.append)
    first = steps[:6]
    assert first == [
        "1 generating at a time …",
        "1 embedding at a time …",
        "generating after 256 tokens …",
        *(f"embedding {batch} texts of 32 tokens …" for batch in (1, 8, 32)),
    ]
    assert steps[-1] == "embedding 32 texts of 512 tokens …"


def test_a_gateway_that_refuses_is_an_error_with_its_reason(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"error": {"message": "the engine died"}}, status=503)
    with pytest.raises(EngineError, match="the engine died") as failure:
        Sweep(httpserver.url_for("/"), KEY, deadline_s=20).run(PAIR)
    assert failure.value.reference == "bench-failed"
