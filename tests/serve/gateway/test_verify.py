"""Verification against a whole gateway, and against gateways that are not what they should be."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from pytest_httpserver import HTTPServer

from planner.core.models.model import Prompts, Role
from planner.serve.proof.retrieval_check import PASSAGES, QUESTIONS
from planner.serve.proof.verify import VerifyReport, verify

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack

KEY = "gateway-key-of-the-tests-0123456789"
ALL = tuple(Role)


async def report_on(stack: Stack, *roles: Role) -> VerifyReport:
    """`verify` is for callers without an event loop; the gateway under test lives in ours."""
    return await asyncio.to_thread(verify, stack.url, KEY, roles or ALL, deadline_s=20)


def failed(report: VerifyReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks if not check.ok}


def cats_apart(stack: Stack) -> None:
    """Make the fake's vectors mean something: its words for animals and furniture are all the same to it.

    A question and the passage that answers it are the same to it too.
    """
    subjects = {passage: f"subject{number}" for number, passage in enumerate(PASSAGES)}
    subjects |= {question: f"subject{number}" for question, number in QUESTIONS}
    vector = stack.embedder.vector
    animal = ("cat", "kitten", "sofa", "couch", "sleeping", "naps", "warm", "cosy")

    def meaning(text: str) -> list[float]:
        text = next((subject for known, subject in subjects.items() if text.endswith(known)), text)
        words = ["furry" if word.strip(".") in animal else word for word in text.lower().split()]
        result = vector(" ".join(words))
        assert isinstance(result, list)
        return result

    stack.embedder.vector = meaning
    stack.embedder.ubatch = 1000
    upstream = stack.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    stack.set_embedder(upstream.model, context=512, batch=512)


async def test_a_good_deployment(wire: Stack) -> None:
    cats_apart(wire)
    report = await report_on(wire)
    assert failed(report) == {}
    assert report.ok
    assert [check.name for check in report.checks] == [
        "gateway",
        "key-required",
        "embedding-vector",
        "embedding-meaning",
        "embedding-prompts",
        "retrieval",
        "embedding-speed",
        "generation-answer",
        "reranker-order",
    ]
    assert (report.tg_tokens_per_s, report.pp_tokens_per_s) == (25.25, 400.5)
    assert report.embed_tokens_per_s is not None
    assert report.embed_tokens_per_s > 0
    texts = wire.embedder.bodies("/v1/embeddings")[-1]["input"]
    assert len(texts) == 8
    assert KEY not in repr(report)


async def test_only_what_was_asked_for(wire: Stack) -> None:
    report = await report_on(wire, Role.GENERATION)
    assert report.ok
    assert wire.embedder.seen == []
    assert report.embed_tokens_per_s is None


async def test_every_run_asks_something_new(wire: Stack) -> None:
    """The same prompt again would be answered from the engine's cache, and timed as if it were free."""
    for _ in range(2):
        await report_on(wire, Role.GENERATION)
    first, second = (body["messages"][0]["content"] for body in wire.generator.bodies("/v1/chat/completions"))
    assert first[:20] != second[:20]


async def test_vectors_without_meaning_are_noticed(wire: Stack) -> None:
    """Wrong pooling gives well-formed vectors in which cats are as near to tax law as to cats."""
    cats_apart(wire)
    wire.embedder.vector = lambda _text: [1.0, *[0.0] * 15]
    report = await report_on(wire, Role.EMBEDDING)
    assert "embedding-meaning" in failed(report)
    assert not report.ok


async def test_vectors_that_are_not_normalised_are_noticed(wire: Stack) -> None:
    cats_apart(wire)
    meaning = wire.embedder.vector
    wire.embedder.vector = lambda text: [3 * value for value in meaning(text)]
    assert "3.000" in failed(await report_on(wire, Role.EMBEDDING))["embedding-vector"]


async def test_a_question_that_finds_the_wrong_passage_is_named_with_what_it_found(wire: Stack) -> None:
    cats_apart(wire)
    meaning = wire.embedder.vector
    confused = (QUESTIONS[1][0], PASSAGES[5])
    wire.embedder.vector = lambda text: meaning("bicycle" if text.endswith(confused) else text)
    problem = failed(await report_on(wire, Role.EMBEDDING))["retrieval"]
    assert problem.startswith("2 of 3 questions")
    assert all(text in problem for text in confused)


async def test_questions_and_passages_are_asked_with_their_own_prompts(wire: Stack) -> None:
    cats_apart(wire)
    await report_on(wire, Role.EMBEDDING)
    sent = [text for body in wire.embedder.bodies("/v1/embeddings") for text in body["input"]]
    assert [text for text in sent if text.endswith(PASSAGES[0])] == [f"passage: {PASSAGES[0]}"]
    assert [text.startswith("Instruct: ") for text in sent if text.endswith(QUESTIONS[0][0])] == [True]


async def test_prompts_that_make_no_difference_are_noticed(wire: Stack) -> None:
    cats_apart(wire)
    meaning = wire.embedder.vector
    wire.embedder.vector = lambda text: meaning(text.removeprefix("passage: "))
    assert "document" in failed(await report_on(wire, Role.EMBEDDING))["embedding-prompts"]


async def test_a_model_without_prompts_needs_none(wire: Stack) -> None:
    cats_apart(wire)
    upstream = wire.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    wire.set_embedder(msgspec.structs.replace(upstream.model, prompts=Prompts()), context=512, batch=512)
    assert (await report_on(wire, Role.EMBEDDING)).ok


async def test_short_contexts_get_short_texts(wire: Stack) -> None:
    cats_apart(wire)
    upstream = wire.upstreams.get(Role.EMBEDDING)
    assert upstream is not None
    wire.set_embedder(upstream.model, context=64, batch=64)
    assert "embedding-speed" not in failed(await report_on(wire, Role.EMBEDDING))


async def test_nan_and_broken_streams_are_reported_in_their_own_words(wire: Stack) -> None:
    wire.embedder.vector = lambda _text: [math.nan] * 16
    wire.generator.stream_fault = "end"
    problems = failed(await report_on(wire, Role.EMBEDDING, Role.GENERATION))
    assert "NaN" in problems["embedding-vector"]
    assert "generation-answer" in problems


async def test_an_empty_answer_is_none(wire: Stack) -> None:
    wire.generator.words = ()
    assert "empty" in failed(await report_on(wire, Role.GENERATION))["generation-answer"]


async def test_control_characters_of_a_model_do_not_reach_the_terminal(wire: Stack) -> None:
    wire.generator.words = ("\x1b[31m", "red", "\u202e")
    (answer,) = [c for c in (await report_on(wire, Role.GENERATION)).checks if c.name == "generation-answer"]
    assert answer.ok
    assert answer.detail.isprintable()


def test_nobody_there() -> None:
    report = verify("http://127.0.0.1:9", KEY, ALL, deadline_s=5)
    assert not report.ok
    assert "connection" in failed(report)["gateway"]


@pytest.mark.parametrize("url", ["", "nonsense", "http://", "ftp://127.0.0.1", "http://127.0.0.1:99999"])
def test_not_an_address(url: str) -> None:
    assert not verify(url, KEY, ALL, deadline_s=5).ok


async def test_the_wrong_key(wire: Stack) -> None:
    report = await asyncio.to_thread(verify, wire.url, "wrong-key", ALL, deadline_s=20)
    assert "key is wrong" in failed(report)["gateway"]


def test_a_gateway_without_a_lock_is_noticed(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/v1/models").respond_with_json({"data": []})
    assert "200" in failed(verify(httpserver.url_for(""), KEY, ()))["key-required"]


def test_time_runs_out() -> None:
    times = iter([0.0, 0.0, *[1000.0] * 50])
    report = verify("http://127.0.0.1:9", KEY, ALL, deadline_s=5, clock=lambda: next(times))
    assert "time" in failed(report)["key-required"]


HOSTILE: list[Any] = [
    None,
    [],
    {},
    "x",
    5,
    {"data": 5},
    {"data": [5]},
    {"data": [{"role": []}]},
    {"data": [{"embedding": [None]}]},
]


@pytest.mark.parametrize("answer", HOSTILE)
def test_answers_of_any_shape_are_survived(httpserver: HTTPServer, answer: Any) -> None:
    """Whatever sits at that port, verification reports and does not raise."""
    httpserver.expect_request("/v1/models").respond_with_json(answer)
    httpserver.expect_request("/v1/embeddings").respond_with_json(answer)
    httpserver.expect_request("/v1/rerank").respond_with_json(answer)
    stream = (
        f"data: {json.dumps(answer)}\n\ndata: {json.dumps({'choices': answer, 'usage': answer})}\n\ndata: [DONE]\n\n"
    )
    httpserver.expect_request("/v1/chat/completions").respond_with_data(stream, content_type="text/event-stream")
    assert not verify(httpserver.url_for("/v1"), KEY, ALL, deadline_s=10).ok
