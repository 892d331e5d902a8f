"""How far a client's words reach: into an engine only through the fields and routes that are meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack

DANGEROUS: dict[str, Any] = {
    "chat_parser": "x",
    "chat_format": 3,
    "n_discard": -5,
    "n_keep": -1,
    "id_slot": 0,
    "slot_id": 0,
    "cache_prompt": False,
    "slot_save_path": "/tmp/x",
    "filename": "../../x",
    "lora": [{"id": 0, "scale": 1}],
    "grammar": "root ::= root",
    "samplers": ["x"],
    "chat_template": "{{ 7 * 7 }}",
    "speculative.n_max": 1,
    "post_sampling_probs": True,
    "return_tokens": True,
    "mcp": {},
    "__proto__": {},
}
MEANT: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": "x"},
    "/embedding": {"content": "x"},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x", **DANGEROUS}]},
    "/v1/completions": {"prompt": "x"},
    "/completion": {"prompt": "x"},
    "/v1/rerank": {"query": "x", "documents": ["y", {"text": "z", **DANGEROUS}]},
}


@pytest.mark.parametrize("path", MEANT)
async def test_fields_that_reach_into_an_engine_never_get_there(stack: Stack, path: str) -> None:
    answer = await stack.client.post(path, json={**DANGEROUS, **MEANT[path]})
    assert answer.status_code == 200, answer.text
    seen = [body for engine in (stack.embedder, stack.generator, stack.reranker) for _, body in engine.seen]
    assert seen
    for body in seen:
        assert not names_in(body) & set(DANGEROUS)


def names_in(value: Any) -> set[str]:
    """Every field's name, at any depth."""
    if isinstance(value, dict):
        return {*value, *(name for item in value.values() for name in names_in(item))}
    return {name for item in value for name in names_in(item)} if isinstance(value, list) else set()


@pytest.mark.parametrize(
    "path",
    [
        "/slots",
        "/slots/0?action=save",
        "/props",
        "/lora-adapters",
        "/apply-template",
        "/infill",
        "/tokenize",
        "/detokenize",
        "/tools",
        "/mcp",
        "/models/load",
        "/v1/responses",
        "/v1/audio/transcriptions",
        "/reranking",
        "/",
        "/index.html",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_engines_other_routes_are_not_there(stack: Stack, path: str, method: str) -> None:
    answer = await stack.client.request(method, path, json=DANGEROUS)
    assert answer.status_code == 404
    assert (stack.embedder.seen, stack.generator.seen, stack.reranker.seen) == ([], [], [])


@pytest.mark.parametrize("path", MEANT)
async def test_a_query_string_says_nothing(stack: Stack, path: str) -> None:
    answer = await stack.client.post(f"{path}?action=save&n_discard=1", json=MEANT[path])
    assert answer.status_code == 200
    assert all("?" not in seen for engine in (stack.embedder, stack.generator) for seen, _ in engine.seen)
