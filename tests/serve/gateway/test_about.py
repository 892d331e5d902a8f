"""What the gateway tells about the deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from planner.core.models.model import Role
from planner.serve.gateway.upstream import RoleState

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack


async def test_models_are_listed_with_what_a_client_needs(stack: Stack) -> None:
    listing = (await stack.client.get("/v1/models")).json()
    assert listing["object"] == "list"
    cards = {card["role"]: card for card in listing["data"]}
    assert list(cards) == ["embedding", "generation", "reranker"]
    embedding = cards["embedding"]
    assert embedding["id"] == "example/tiny-embed"
    assert embedding["object"] == "model"
    assert embedding["owned_by"] == "example"
    assert embedding["context_length"] == 64
    assert embedding["context_length_trained"] == 512
    assert embedding["embedding_length"] == 16
    assert embedding["dimensions"] == [8, 16]
    assert embedding["input_types"] == ["query", "document"]
    assert {"embedding", "tiny-embed", "te"} == set(embedding["aliases"])
    assert cards["generation"]["embedding_length"] is None
    assert (cards["generation"]["engine"], cards["generation"]["engine_version"]) == ("llama-server", "b11434")


@pytest.mark.parametrize("name", ["example/tiny-chat", "generation", "Tiny-Chat"])
async def test_one_model_by_any_of_its_names(stack: Stack, name: str) -> None:
    assert (await stack.client.get(f"/v1/models/{name}")).json()["id"] == "example/tiny-chat"


async def test_a_model_that_is_not_here(stack: Stack) -> None:
    response = await stack.client.get("/v1/models/gpt-4")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_health_follows_the_states(stack: Stack) -> None:
    upstream = stack.upstreams.get(Role.GENERATION)
    assert upstream is not None
    detail = "see /home/ann/log"
    for state, word in ((RoleState.LOADING, "loading"), (RoleState.FAILED, "failed"), (RoleState.STOPPED, "loading")):
        stack.upstreams.announce(Role.GENERATION, upstream.model, state=state, detail=detail)
        response = await stack.bare.get("/health")
        assert response.status_code == 503
        assert response.json()["roles"]["generation"] == state.value
        assert response.json()["roles"]["embedding"] == "ready"
        assert response.json()["status"] == word
        assert "ann" not in response.text
        listed = (await stack.client.get("/v1/models/generation")).json()
        assert (listed["state"], listed["context_length"]) == (state.value, None)
    stack.upstreams.set(upstream)
    assert (await stack.bare.get("/health")).status_code == 200


async def test_a_gateway_without_engines_is_not_healthy(stack: Stack) -> None:
    for role in Role:
        stack.upstreams.remove(role)
    assert (await stack.bare.get("/health")).status_code == 503
    assert (await stack.client.get("/v1/models")).json()["data"] == []


async def test_metrics_count_requests_errors_tokens_and_time(stack: Stack) -> None:
    await stack.embed(input=["two words", "three more words"])
    await stack.embed(input="")
    await stack.chat()
    await stack.chat(stream=True)
    await stack.client.get("/v1/models/example/tiny-chat")
    await stack.client.get("/made/up/by/a/stranger")
    response = await stack.client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    for line in (
        'planner_gateway_requests_total{route="/v1/embeddings",role="embedding",status="200"} 1',
        'planner_gateway_requests_total{route="/v1/embeddings",role="embedding",status="400"} 1',
        'planner_gateway_errors_total{route="/v1/embeddings",role="embedding"} 1',
        'planner_gateway_requests_total{route="other",status="404"} 1',
        'planner_gateway_requests_total{route="/v1/models",status="200"} 1',
        'planner_gateway_tokens_total{role="embedding",kind="prompt",key="owner"} 9',
        'planner_gateway_tokens_total{role="generation",kind="prompt",key="owner"} 82',
        'planner_gateway_tokens_total{role="generation",kind="completion",key="owner"} 6',
        'planner_gateway_request_seconds_count{route="/v1/chat/completions",role="generation"} 2',
        'planner_gateway_role_ready{role="embedding"} 1',
        "planner_gateway_in_flight 1",
    ):
        assert line in lines
    assert "stranger" not in response.text
    sample = re.compile(r'[a-z_]+(\{([a-z]+="[^"\\\n]*",?)*\})? [0-9.e+-]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
