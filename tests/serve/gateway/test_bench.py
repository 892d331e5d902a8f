"""Measuring a deployment through a whole gateway, and through one that does not answer."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import pytest
from pytest_httpserver import HTTPServer

from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.proof.bench import Measured, measure

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack

KEY = "gateway-key-of-the-tests-0123456789"
PAIR = (Role.EMBEDDING, Role.GENERATION)


async def measured(stack: Stack, *roles: Role, repeats: int = 2) -> dict[str, Measured]:
    stack.embedder.ubatch = 1000
    stack.generator.timings["predicted_n"] = 64
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(upstream.model, context=512, batch=512)
    ticks = itertools.count()  # every run takes equally long, however busy the machine of the tests is
    found = await asyncio.to_thread(
        measure, stack.url, KEY, roles or PAIR, repeats=repeats, deadline_s=20, clock=lambda: next(ticks) / 1000
    )
    return {item.metric: item for item in found}


async def test_each_speed_is_the_median_of_runs_after_one_that_warms_up(wire: Stack) -> None:
    found = await measured(wire, repeats=3)
    assert found.keys() == {"embed", "pp", "tg"}
    assert (found["tg"].tokens_per_s, found["pp"].tokens_per_s) == (25.25, 400.5)
    assert [len(item.runs) for item in found.values()] == [3, 3, 3]
    assert len(wire.embedder.bodies("/v1/embeddings")) == 4
    assert len(wire.generator.bodies("/v1/chat/completions")) == 4


async def test_runs_are_repeated_until_the_fastest_agree_and_slow_ones_do_not_count(wire: Stack) -> None:
    wire.generator.speeds = iter([99.0, 9.0, 25.0, 14.0, 26.0, 3.0, *[25.5] * 50])
    found = await measured(wire, Role.GENERATION, repeats=3)
    assert found["tg"].runs == (26.0, 25.5, 25.0)
    assert found["tg"].steady


async def test_runs_that_never_agree_are_told_by_their_spread(wire: Stack) -> None:
    wire.generator.speeds = iter([float(2**n) for n in range(60)])
    found = await measured(wire, Role.GENERATION)
    assert not found["tg"].steady
    assert found["tg"].spread == 2.0


async def test_the_conditions_are_those_the_engine_counted(wire: Stack) -> None:
    found = await measured(wire)
    assert (found["pp"].n_prompt, found["pp"].depth) == (40, 0)
    assert found["tg"].depth == 40 + 32
    assert found["embed"].n_prompt > 0


async def test_no_text_is_sent_twice(wire: Stack) -> None:
    """A prompt that the engine has in its cache would be timed as if it were free."""
    await measured(wire)
    texts = [text for body in wire.embedder.bodies("/v1/embeddings") for text in body["input"]]
    prompts = [body["messages"][0]["content"] for body in wire.generator.bodies("/v1/chat/completions")]
    assert len(set(texts)) == len(texts)
    assert len(set(prompts)) == len(prompts)


async def test_only_what_runs_is_measured(wire: Stack) -> None:
    assert (await measured(wire, Role.EMBEDDING)).keys() == {"embed"}
    assert wire.generator.seen == []


async def test_answers_that_are_too_short_to_time_are_said_to_be(wire: Stack) -> None:
    wire.generator.timings["predicted_n"] = 3
    with pytest.raises(EngineError, match="long enough"):
        await asyncio.to_thread(measure, wire.url, KEY, [Role.GENERATION], deadline_s=20)


def test_a_gateway_that_refuses_is_an_error_with_its_reason(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"error": {"message": "the engine died"}}, status=503)
    with pytest.raises(EngineError, match="the engine died") as failure:
        measure(httpserver.url_for("/"), KEY, PAIR, deadline_s=5)
    assert failure.value.reference == "bench-failed"
    assert KEY not in str(failure.value)


def test_nobody_listening_is_an_error_too() -> None:
    with pytest.raises(EngineError, match="connection failed"):
        measure("http://127.0.0.1:9", KEY, PAIR, deadline_s=5)
