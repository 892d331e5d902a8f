"""Many at once: nothing lost, nothing mixed up, and a clear word to those who have to come back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from planner.core.models.model import Role
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.turns import Turns
from planner.serve.gateway.upstream import RoleState
from tests.serve.gateway.conftest import word_vector

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack, StartStack


async def held_up(stack: Stack, count: int, **fields: object) -> list[asyncio.Task[int]]:
    """Requests that the engine does not answer before its gate opens, all of them inside the gateway."""
    stack.embedder.gate = asyncio.Event()

    async def ask(number: int) -> int:
        return (await stack.embed(input=f"text {number}", **fields)).status_code

    asking = [asyncio.create_task(ask(number)) for number in range(count)]
    await asyncio.wait_for(stack.embedder.started.wait(), 10)
    while len([path for path, _ in stack.embedder.seen if path == "/v1/embeddings"]) < min(count, 2):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return asking


async def test_one_more_than_can_wait_is_told_when_to_come_back(start_stack: StartStack) -> None:
    stack = await start_stack(max_requests=4)
    asking = await held_up(stack, 4)
    refused = await stack.embed(input="one too many")
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await stack.chat()).status_code == 200  # each model has a queue of its own
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert await asyncio.gather(*asking) == [200] * 4
    assert (await stack.embed(input="now there is room")).status_code == 200
    assert 'planner_gateway_refused_total{role="embedding"} 1' in (await stack.client.get("/metrics")).text


async def test_an_engine_gets_what_its_slots_can_take_and_one_to_go_on_with(stack: Stack) -> None:
    asking = await held_up(stack, 8)
    assert len(stack.embedder.bodies("/v1/embeddings")) == 2
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert await asyncio.gather(*asking) == [200] * 8


async def test_a_client_that_leaves_the_queue_frees_its_place(wire: Stack) -> None:
    asking = await held_up(wire, 4)
    asking[3].cancel()
    assert wire.embedder.gate is not None
    wire.embedder.gate.set()
    assert [task.result() for task in (await asyncio.wait(asking[:3]))[0]] == [200] * 3
    assert 'planner_gateway_role_requests{role="embedding"} 0' in (await wire.client.get("/metrics")).text


async def test_whoever_waited_while_the_engine_was_restarted_gets_the_new_one(stack: Stack) -> None:
    asking = await held_up(stack, 4)
    old = stack.upstreams.get(Role.EMBEDDING)
    assert old is not None
    # The same engine under another key stands for a new one: with the old key it would refuse.
    stack.upstreams.set(msgspec.structs.replace(old, quant="restarted"))
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert await asyncio.gather(*asking) == [200] * 4


async def test_whoever_waited_for_an_engine_that_is_gone_is_told_so(stack: Stack) -> None:
    asking = await held_up(stack, 4)
    old = stack.upstreams.get(Role.EMBEDDING)
    assert old is not None
    stack.upstreams.announce(Role.EMBEDDING, old.model, state=RoleState.LOADING)
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert sorted(await asyncio.gather(*asking)) == [200, 200, 503, 503]


async def test_nobody_waits_for_ever(start_stack: StartStack) -> None:
    stack = await start_stack(patience_s=0.05)
    asking = await held_up(stack, 3)
    done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED, timeout=10)
    assert {task.result() for task in done} == {503}
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert sorted(await asyncio.gather(*asking)) == [200, 200, 503]


async def test_all_bodies_together_are_bounded(start_stack: StartStack) -> None:
    stack = await start_stack(max_held_bytes=1000)
    asking = await held_up(stack, 1)
    refused = await stack.embed(input="x " * 600)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert await asyncio.gather(*asking) == [200]
    assert "planner_gateway_held_bytes 0" in (await stack.client.get("/metrics")).text


MANY = {"lists": "[],", "objects": "{},", "objects in objects": '{"a":{}},', "numbers": "1,"}


@pytest.mark.parametrize("kind", MANY)
async def test_a_body_that_would_grow_twentyfold_in_memory_is_refused(stack: Stack, kind: str) -> None:
    """Twelve at a time of 16 MiB made the gateway 3.6 GiB large, though their bodies stayed within its limit."""
    body = '{"input":"a cat","x":[' + MANY[kind] * 1_100_000 + "0]}"
    response = await stack.client.post("/v1/embeddings", content=body)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
    assert "planner_gateway_held_bytes 0" in (await stack.client.get("/metrics")).text


async def test_what_bodies_become_in_memory_counts_until_they_are_answered(start_stack: StartStack) -> None:
    stack = await start_stack(max_held_bytes=4_000_000)
    padding: dict[str, object] = {"x": [{}] * 20_000}  # 80 kB as JSON
    asking = await held_up(stack, 1, **padding)
    refused = await stack.embed(input="a cat", **padding)
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert stack.embedder.gate is not None
    stack.embedder.gate.set()
    assert await asyncio.gather(*asking) == [200]
    assert "planner_gateway_held_bytes 0" in (await stack.client.get("/metrics")).text


async def test_commas_and_brackets_within_texts_weigh_nothing(start_stack: StartStack) -> None:
    stack = await start_stack(max_held_bytes=8 * 2**20)
    table = 'a,"b\\",[c],{d}\n' * 100_000
    response = await stack.embed(input=["a cat"], user=table)
    assert response.status_code == 200, response.text


async def test_two_hundred_clients_each_get_their_own_answers(wire: Stack) -> None:
    """Vectors tell whose text they are of, streams end where they should, and no body is kept afterwards."""

    async def client(number: int) -> bool:
        texts = [f"client {number} text {index}" for index in range(3)]
        answer = (await wire.embed(input=texts)).json()
        right = all(
            item["embedding"] == pytest.approx(word_vector(text))
            for item, text in zip(answer["data"], texts, strict=True)
        )
        streamed = await wire.chat(stream=True) if number % 4 == 0 else None
        return right and (streamed is None or streamed.text.endswith("data: [DONE]\n\n"))

    assert await asyncio.gather(*(client(number) for number in range(200))) == [True] * 200
    page = (await wire.client.get("/metrics")).text
    assert "planner_gateway_held_bytes 0" in page
    assert 'planner_gateway_requests_total{route="/v1/embeddings",role="embedding",status="200"} 200' in page


async def test_the_time_to_come_back_follows_how_long_requests_take() -> None:
    turns = Turns(max_requests=10, max_held_bytes=1, patience_s=1)
    places = [turns.place(Role.GENERATION) for _ in range(10)]
    for place in places:
        place.__enter__()
    with pytest.raises(ApiError) as refused, turns.place(Role.GENERATION):
        pass
    assert refused.value.headers["Retry-After"] == "5"  # a second each, until one is known better
    for place in places:
        place.__exit__(None, None, None)
    assert turns.inside[Role.GENERATION] == 0
