"""Embeddings: what is refused before it is sent, what is added to it, and which vectors get through."""

from __future__ import annotations

import base64
import json
import math
import struct
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from planner.core.models.model import Pooling, Prompts, Role
from planner.serve.gateway.upstream import RoleState

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack, StartStack

LENGTH = 16


def unit(*values: float) -> list[float]:
    norm = math.hypot(*values)
    return [value / norm for value in values]


async def sent(stack: Stack) -> list[str]:
    return [text for body in stack.embedder.bodies("/v1/embeddings") for text in body["input"]]


async def test_one_text_in_the_openai_shape(stack: Stack) -> None:
    response = await stack.embed(input="two words", model="embedding", user="somebody")
    assert response.status_code == 200
    answer = response.json()
    assert answer["object"] == "list"
    assert answer["model"] == "example/tiny-embed"
    assert answer["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    (item,) = answer["data"]
    assert (item["object"], item["index"], len(item["embedding"])) == ("embedding", 0, LENGTH)
    assert math.hypot(*item["embedding"]) == pytest.approx(1)
    assert stack.embedder.bodies("/v1/embeddings") == [{"input": ["two words"], "encoding_format": "float"}]


@pytest.mark.parametrize("count", [1, 32, 33, 300])
async def test_many_texts_keep_their_order_and_add_up(stack: Stack, count: int) -> None:
    texts = [f"text {number}" for number in range(count)]
    answer = (await stack.embed(input=texts)).json()
    assert [item["index"] for item in answer["data"]] == list(range(count))
    assert await sent(stack) == texts
    assert answer["usage"]["prompt_tokens"] == 4 * count
    last = (await stack.embed(input=texts[-1])).json()["data"][0]["embedding"]
    assert answer["data"][-1]["embedding"] == last


async def test_too_many_texts_are_refused_with_the_limit(start_stack: StartStack) -> None:
    stack = await start_stack(max_inputs=3)
    response = await stack.embed(input=["a"] * 4)
    assert response.status_code == 400
    assert "3" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ("", "input"),
        ("  \n\t", "input"),
        (["fine", ""], "input[1]"),
        (["fine", "also fine", "\u2003 "], "input[2]"),
        ("\u200b\u200b", "input"),
        (["fine", "\u200b"], "input[1]"),
    ],
)
async def test_text_without_content_is_refused_by_index(stack: Stack, given: Any, param: str) -> None:
    """The engine would answer 200, with the vector of its special tokens."""
    response = await stack.embed(input=given)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.json()["error"]["code"] == "empty_input"
    assert stack.embedder.bodies("/v1/embeddings") == []


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]], [[]], ["text", [1]], [True]])
async def test_token_ids_are_refused_with_the_way_out(stack: Stack, given: Any) -> None:
    response = await stack.embed(input=given)
    assert response.status_code == 400
    assert "check_embedding_ctx_length=False" in response.json()["error"]["message"]
    assert stack.embedder.seen == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": {"text": "x"}}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", None]}, "input[1]"),
        ({"input": ["a", {"text": "b"}]}, "input[1]"),
        ({"input": "a", "input_type": "passage"}, "input_type"),
        ({"input": "a", "input_type": 1}, "input_type"),
        ({"input": "a", "task": ["x"]}, "task"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": True}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
        ({"input": "a", "model": 7}, "model"),
    ],
)
async def test_wrong_fields_are_named(stack: Stack, body: dict[str, Any], param: str) -> None:
    response = await stack.embed(**body)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert stack.embedder.seen == []


async def test_prompts_of_the_catalog_are_put_before_the_text(stack: Stack) -> None:
    default = "Given a web search query, retrieve relevant passages that answer the query"
    await stack.embed(input="what is {task}?", input_type="query")
    await stack.embed(input=["a", "b"], input_type="query", task="Find {poems}")
    await stack.embed(input="a", input_type="document", task="ignored for documents")
    await stack.embed(input="a")
    assert await sent(stack) == [
        f"Instruct: {default}\nQuery: what is {{task}}?",
        "Instruct: Find {poems}\nQuery: a",
        "Instruct: Find {poems}\nQuery: b",
        "passage: a",
        "a",
    ]


async def test_a_prompt_may_hold_braces_of_its_own(stack: Stack) -> None:
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(msgspec.structs.replace(upstream.model, prompts=Prompts(query='{"task": {task}} {x} ')))
    await stack.embed(input="a", input_type="query", task="t")
    assert await sent(stack) == ['{"task": t} {x} a']


async def test_input_type_changes_nothing_for_a_model_without_prompts(stack: Stack) -> None:
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(msgspec.structs.replace(upstream.model, prompts=Prompts()))
    await stack.embed(input="a", input_type="query")
    assert await sent(stack) == ["a"]


@pytest.mark.parametrize("counts_lists", [True, False])
async def test_too_long_text_is_refused_with_both_counts(stack: Stack, *, counts_lists: bool) -> None:
    """Special tokens and prompts count too, whichever way the engine can count."""
    stack.embedder.counts_lists = counts_lists
    fits = "x " * 62
    assert (await stack.embed(input=[fits, fits])).status_code == 200
    for given, kind, param, tokens in (
        (fits + "x", None, "input", 65),
        (["short", fits + "x x", fits + "x"], None, "input[1]", 66),
        (fits, "document", "input", 65),
    ):
        extra = {} if kind is None else {"input_type": kind}
        response = await stack.embed(input=given, **extra)
        error = response.json()["error"]
        assert response.status_code == 400
        assert error["code"] == "context_length_exceeded"
        assert (error["param"], error["n_prompt_tokens"], error["n_ctx"]) == (param, tokens, 64)
        assert str(tokens) in error["message"]
        assert "64" in error["message"]


async def test_too_long_text_is_cut_when_the_client_says_so(stack: Stack) -> None:
    """By the engine's own tokens, with the special ones at both ends, and the answer says which texts it were."""
    response = await stack.embed(input=["short", "x " * 70], input_type="document", truncate=True)
    assert response.status_code == 200
    assert response.json()["truncated"] == [1]
    (body,) = stack.embedder.bodies("/v1/embeddings")
    assert body["input"][0] == "passage: short"
    cut = body["input"][1]
    assert len(cut) == 64
    assert cut[:2] == [101, 1000 + len("passage:")]
    assert cut[-1] == 102


async def test_nothing_is_cut_that_fits(stack: Stack) -> None:
    response = await stack.embed(input=["short", "x " * 62], truncate=True)
    assert response.json()["truncated"] == []
    assert "truncated" not in (await stack.embed(input="short")).json()
    assert (await stack.embed(input="short", truncate="yes")).status_code == 400


async def test_the_refusal_says_that_it_could_be_cut(stack: Stack) -> None:
    assert '"truncate": true' in (await stack.embed(input="x " * 70)).json()["error"]["message"]


async def test_the_engine_is_asked_to_count_only_what_might_be_too_long(stack: Stack) -> None:
    """A short text cannot have more tokens than bytes. Other writing may grow when it is normalised."""
    await stack.embed(input=["short and plain"])
    assert stack.embedder.bodies("/tokenize") == []
    for doubtful in ("x" * 60, "\ufdfa" * 6, "\u200b", "..."):
        stack.embedder.seen.clear()
        await stack.embed(input=["short", doubtful])
        counted = stack.embedder.bodies("/tokenize")[0]["content"]
        assert [part for part in counted if isinstance(part, str)] == ["", doubtful]


@pytest.mark.parametrize(
    ("trained", "batch", "pooling", "causal", "limit"),
    [
        (512, 64, Pooling.MEAN, False, 64),
        (32, 64, Pooling.MEAN, False, 32),
        (512, 16, Pooling.MEAN, False, 16),
        (512, 16, Pooling.LAST, True, 64),
        (512, 16, Pooling.LAST, False, 16),
        (512, 16, Pooling.MEAN, True, 16),
    ],
)
async def test_the_limit_is_the_smallest_that_holds(
    stack: Stack, trained: int, batch: int, pooling: Pooling, limit: int, *, causal: bool
) -> None:
    """A causal model that pools the last token can take its input in several batches; no other can."""
    stack.embedder.ubatch = 10_000
    upstream = stack.upstreams.get(Role.EMBEDDING)
    generation = stack.upstreams.get(Role.GENERATION)
    assert upstream is not None
    assert generation is not None
    architecture = stack.causal if causal else msgspec.structs.replace(stack.causal, causal=False)
    model = msgspec.structs.replace(
        upstream.model, context_length=trained, pooling=pooling, architecture=architecture, prompts=Prompts()
    )
    stack.set_embedder(model, context=64, batch=batch)
    assert (await stack.embed(input="x " * (limit - 2))).status_code == 200
    assert (await stack.embed(input="x " * (limit - 1))).status_code == 400
    card = (await stack.client.get("/v1/models/embedding")).json()
    assert card["context_length"] == limit


async def test_an_engine_that_refuses_by_itself_becomes_a_400_too(stack: Stack) -> None:
    """Some engines have no /tokenize; llama.cpp's answer to over-long input is a 500."""
    message = "input (602 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    stack.embedder.fails_with = (500, {"error": {"code": 500, "message": message, "type": "server_error"}})
    response = await stack.embed(input="x")
    assert response.status_code == 400
    assert (response.json()["error"]["n_prompt_tokens"], response.json()["error"]["n_ctx"]) == (602, 512)


BAD = {
    "NaN": [math.nan] * LENGTH,
    "null": [None, *[0.5] * (LENGTH - 1)],
    "infinite": [math.inf, *[0.5] * (LENGTH - 1)],
    "zero": [0.0] * LENGTH,
    "short": [1.0] * (LENGTH - 1),
    "long": [1.0] * (LENGTH + 1),
    "empty": [],
    "nested": [[1.0] * LENGTH],
    "words": ["a"] * LENGTH,
    "missing": None,
}


@pytest.mark.parametrize("name", BAD)
async def test_unusable_vectors_are_a_502_and_the_supervisor_learns_of_them(
    start_stack: StartStack, name: str
) -> None:
    told: list[tuple[Role, str]] = []
    stack = await start_stack(on_bad_vectors=lambda role, reason: told.append((role, reason)))
    good = stack.embedder.vector
    stack.embedder.vector = lambda text: BAD[name] if text == "bad" else good(text)
    assert (await stack.embed(input=["good", "fine"])).status_code == 200
    response = await stack.embed(input=["good", "bad"])
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "bad_vectors"
    ((role, reason),) = told
    assert role is Role.EMBEDDING
    assert reason in response.json()["error"]["message"]


async def test_a_text_that_spoils_a_sound_engine_gets_it_started_again_once(stack: Stack) -> None:
    """Three tries of one client, which clients make by themselves, ended in giving it up for everybody."""
    good = stack.embedder.vector
    stack.embedder.vector = lambda text: [math.nan] * LENGTH if text == "bad" else good(text)
    answers = [await stack.embed(input=["fine", "bad"]) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [502] * 4
    assert "being restarted" in answers[0].json()["error"]["message"]
    assert all("one by one" in answer.json()["error"]["message"] for answer in answers[1:])
    assert len(stack.upstreams.take_restarts()) == 1
    stack.embedder.vector = lambda _text: [math.nan] * LENGTH
    assert "being restarted" in (await stack.embed(input="fine")).json()["error"]["message"]
    assert len(stack.upstreams.take_restarts()) == 1


async def test_without_a_callback_a_restart_is_requested(stack: Stack) -> None:
    stack.embedder.vector = lambda _text: [0.0] * LENGTH
    await stack.embed(input="x")
    assert stack.upstreams.take_restarts() == ((Role.EMBEDDING, "a vector is zero"),)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b'{"data": []}',
        b'{"data": [{"index": 1, "embedding": [1.0]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}]}',
        b'{"data": [{"index": 0, "embedding": "?"}]}',
        b'{"data": {"0": 1}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
async def test_answers_of_another_shape_never_reach_the_client(stack: Stack, raw: bytes) -> None:
    stack.embedder.raw_embeddings = raw
    response = await stack.embed(input="x")
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "bad_vectors"


async def test_an_engine_may_answer_in_base64(stack: Stack) -> None:
    values = [0.25] * LENGTH
    packed = base64.b64encode(struct.pack(f"<{LENGTH}f", *values)).decode()
    stack.embedder.raw_embeddings = json.dumps({"data": [{"index": 0, "embedding": packed}]}).encode()
    response = await stack.embed(input="x")
    assert response.json()["data"][0]["embedding"] == values


@pytest.mark.parametrize("value", [math.nan, math.inf])
async def test_base64_hides_no_nan(stack: Stack, value: float) -> None:
    packed = base64.b64encode(struct.pack(f"<{LENGTH}f", value, *[0.25] * (LENGTH - 1))).decode()
    stack.embedder.raw_embeddings = json.dumps({"data": [{"index": 0, "embedding": packed}]}).encode()
    assert (await stack.embed(input="x", encoding_format="base64")).status_code == 502


async def test_base64_is_little_endian_float32(stack: Stack) -> None:
    plain = (await stack.embed(input="hello")).json()["data"][0]["embedding"]
    coded = (await stack.embed(input="hello", encoding_format="base64")).json()["data"][0]["embedding"]
    assert list(struct.unpack(f"<{LENGTH}f", base64.b64decode(coded))) == pytest.approx(plain)


async def test_vectors_are_cut_where_the_model_was_trained_for_it(stack: Stack) -> None:
    full = (await stack.embed(input="hello")).json()["data"][0]["embedding"]
    cut = (await stack.embed(input="hello", dimensions=8)).json()["data"][0]["embedding"]
    assert cut == pytest.approx(unit(*full[:8]))
    assert (await stack.embed(input="hello", dimensions=16)).json()["data"][0]["embedding"] == full


@pytest.mark.parametrize("dimensions", [4, 12, 17, 1024])
async def test_and_nowhere_else(stack: Stack, dimensions: int) -> None:
    response = await stack.embed(input="hello", dimensions=dimensions)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "dimensions"
    assert "8, 16" in response.json()["error"]["message"]


async def test_a_length_the_catalog_does_not_know_is_learned_from_the_engine(stack: Stack) -> None:
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(msgspec.structs.replace(upstream.model, embedding_length=None, matryoshka=()))
    assert (await stack.embed(input=["a", "b"], dimensions=16)).status_code == 200
    assert (await stack.embed(input=["a", "b"], dimensions=8)).status_code == 400


@pytest.mark.parametrize(
    "name",
    [None, "", "embedding", "EMBEDDING", "example/tiny-embed", "tiny-embed", "te", "te:F16", "gpt-4", "default"],
)
async def test_names_that_may_mean_this_model(stack: Stack, name: str | None) -> None:
    assert (await stack.embed(input="x", model=name)).status_code == 200


@pytest.mark.parametrize("name", ["example/tiny-chat", "generation", "BAAI/bge-m3", "bge-m3", "BGE-M3:Q8_0"])
async def test_names_that_are_another_models(start_stack: StartStack, name: str) -> None:
    """Vectors of two models cannot be compared, so one must not answer for the other."""
    stack = await start_stack(known_models=frozenset({"bge-m3"}))
    response = await stack.embed(input="x", model=name)
    assert response.status_code == 404
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "example/tiny-embed" in error["message"]


@pytest.mark.parametrize("state", [RoleState.LOADING, RoleState.FAILED, RoleState.STOPPED])
async def test_a_model_that_is_not_ready(stack: Stack, state: RoleState) -> None:
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.upstreams.announce(Role.EMBEDDING, upstream.model, state=state, detail="/var/log/secret.log")
    response = await stack.embed(input="x")
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) > 0
    assert "secret" not in response.text
    assert stack.embedder.seen == []


async def test_a_role_nobody_started(stack: Stack) -> None:
    stack.upstreams.remove(Role.EMBEDDING)
    response = await stack.embed(input="x")
    assert response.status_code == 501
    assert "planner" in response.json()["error"]["message"]


async def test_an_engine_that_is_gone(wire: Stack) -> None:
    upstream = wire.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    wire.upstreams.set(msgspec.structs.replace(upstream, url="http://127.0.0.1:9"))
    response = await wire.embed(input="x")
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "engine_unreachable"
    assert "127.0.0.1" not in response.text


async def test_a_proxy_in_the_environment_is_not_for_loopback(
    start_wire: StartStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    wire = await start_wire()
    assert (await wire.embed(input="x")).status_code == 200


async def test_an_engine_that_still_loads_by_its_own_account(stack: Stack) -> None:
    error = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}
    stack.embedder.fails_with = (503, error)
    response = await stack.embed(input="x")
    assert response.status_code == 503
    assert "retry-after" in response.headers


async def test_legacy_clients_get_the_shapes_they_parse(stack: Stack) -> None:
    """LangChain reads `embedding` of one text; LlamaIndex also `results[i].embedding` of a list."""
    full = (await stack.embed(input="hello")).json()["data"][0]["embedding"]
    one = await stack.client.post("/embedding", json={"content": "hello"})
    assert one.json() == {"embedding": full}
    two = await stack.client.post("/embedding", json={"content": ["hello", "world"]})
    assert [list(item) for item in two.json()["results"]] == [["embedding"], ["embedding"]]
    assert two.json()["results"][0]["embedding"] == full
    single = await stack.client.post("/embedding", json={"content": ["hello"]})
    assert single.json() == {"results": [{"embedding": full}]}


async def test_legacy_embedding_is_checked_like_the_other(stack: Stack) -> None:
    for content, param in (("", "content"), (["a", ""], "content[1]"), ("x " * 70, "content"), (None, "content")):
        response = await stack.client.post("/embedding", json={"content": content})
        assert response.status_code == 400
        assert response.json()["error"]["param"] == param


async def test_rerank_sorts_and_bounds(stack: Stack) -> None:
    documents = ["tax law", "the cat sat", {"text": "a cat"}]
    body = {"query": "the cat sat", "documents": documents, "top_n": 2, "chat_parser": "x"}
    response = await stack.client.post("/v1/rerank", json=body)
    assert response.status_code == 200
    assert len(response.json()["results"]) == 2
    assert response.json()["results"][0]["index"] == 1
    assert stack.reranker.bodies("/v1/rerank")[0] == {
        "query": "the cat sat",
        "documents": ["tax law", "the cat sat", "a cat"],
        "top_n": 2,
    }
    changes: list[dict[str, Any]] = [{"query": 1}, {"documents": []}, {"documents": ["a", 2]}, {"top_n": 0}]
    for wrong in changes:
        assert (await stack.client.post("/v1/rerank", json={**body, **wrong})).status_code == 400


@pytest.mark.parametrize(
    "results",
    [
        [{"index": 0, "relevance_score": 0.5}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.4}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 2, "relevance_score": 0.4}],
        [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": None}],
        [{"index": 0, "relevance_score": 0.5}, {"index": True, "relevance_score": 0.4}],
        None,
    ],
    ids=["one lacks", "one twice", "a stranger", "no number", "no index", "none at all"],
)
async def test_documents_that_a_reranker_loses_or_invents_are_an_error(stack: Stack, results: object) -> None:
    stack.reranker.fails_with = (200, {"results": results})
    response = await stack.client.post("/v1/rerank", json={"query": "a", "documents": ["b", "c"]})
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "bad_engine_answer"


async def test_a_reranker_may_leave_out_what_was_not_asked_for(stack: Stack) -> None:
    stack.reranker.fails_with = (200, {"results": [{"index": 1, "relevance_score": 0.5}]})
    body = {"query": "a", "documents": ["b", "c"], "top_n": 1}
    answer = (await stack.client.post("/v1/rerank", json=body)).json()
    assert answer["results"] == [{"index": 1, "relevance_score": 0.5}]


async def test_rerank_without_a_reranker_says_so(stack: Stack) -> None:
    stack.upstreams.remove(Role.RERANKER)
    response = await stack.client.post("/v1/rerank", json={"query": "a", "documents": ["b"]})
    assert response.status_code == 501
    assert "reranker" in response.json()["error"]["message"]
