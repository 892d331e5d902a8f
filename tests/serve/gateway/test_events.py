"""Events of an engine's stream: translated one by one, or by the mould of the one before, with the same outcome."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.serve.gateway.app import GatewayConfig
from planner.serve.gateway.context import Gateway
from planner.serve.gateway.engine import EngineTalk
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.events import Events
from planner.serve.gateway.upstream import Upstreams
from tests.serve.gateway.conftest import ENGINE_KEY, GATEWAY_KEY, GENERATOR, FakeEngine, upstream_for

TALK = EngineTalk(
    Gateway(GatewayConfig(api_key=GATEWAY_KEY, upstreams=Upstreams())),
    upstream_for(FakeEngine("generation", url="http://127.0.0.1:1"), GENERATOR, context=64, batch=64),
    param="messages",
)


class Shapes:
    """Renames the model, and counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(answer)
        return {**answer, "model": "ours"}


def events(shape: Shapes) -> Events:
    return Events(TALK, shape=shape, is_last=lambda event: event.get("stop") is True, done=True)


def chat(text: str, **other: Any) -> dict[str, Any]:
    choice = {"finish_reason": None, "index": 0, "delta": {"content": text}}
    return {"choices": [choice], "created": 7, "model": "generation", **other}


def raw(event: dict[str, Any], *, ascii_only: bool = False) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=ascii_only, separators=(",", ":")).encode() + b"\n\n"


def said(ready: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(part.removeprefix(b"data: ")) for part in b"".join(ready).split(b"\n\n") if part]


TEXTS = st.lists(st.text(st.characters(codec="utf-8")), max_size=12)
LIKELY = st.sampled_from(
    ['","model":"x', '\\"content\\":\\"', "}}]", "the text of an event stands here", "\\", "\u2028"]
)


@given(texts=TEXTS | st.lists(LIKELY, max_size=12), ascii_only=st.booleans(), size=st.integers(1, 400))
def test_every_text_comes_through_as_it_was(texts: list[str], ascii_only: bool, size: int) -> None:
    sent = b"".join(raw(chat(text), ascii_only=ascii_only) for text in texts)
    ready: list[bytes] = []
    stream = events(Shapes())
    for start in range(0, len(sent), size):
        stream.feed(sent[start : start + size], ready)
    assert said(ready) == [{**chat(text), "model": "ours"} for text in texts]


def test_events_that_differ_in_their_text_alone_are_not_taken_apart() -> None:
    shape = Shapes()
    ready: list[bytes] = []
    stream = events(shape)
    for number in range(100):
        stream.feed(raw(chat(f"word {number}")), ready)
    assert len(shape.asked) == 3
    assert [event["choices"][0]["delta"]["content"] for event in said(ready)] == [f"word {n}" for n in range(100)]
    stream.feed(raw(chat("later", created=8)), ready)
    assert said(ready)[-1] == {**chat("later", created=8), "model": "ours"}


@pytest.mark.parametrize("report", [{"usage": {"prompt_tokens": 1}}, {"timings": {"predicted_n": 1}}])
def test_every_report_of_usage_is_counted(report: dict[str, Any]) -> None:
    shape = Shapes()
    stream = events(shape)
    for number in range(5):
        stream.feed(raw(chat(f"{number}", **report)), [])
    assert len(shape.asked) == 5


def test_the_last_event_of_a_stream_without_done_is_seen() -> None:
    stream = events(Shapes())
    for number in range(5):
        stream.feed(raw({"content": f"{number}", "stop": False}), [])
    assert not stream.ended
    stream.feed(raw({"content": "", "stop": True}), [])
    assert stream.ended


@pytest.mark.parametrize(
    "text", [b'"\xff"', b'"a\x01b"', b'"\\x"', b'"a" "b"', b"null x", b'"a"},{"b":"c"', b""], ids=repr
)
def test_a_mould_takes_nothing_but_a_text(text: bytes) -> None:
    stream = events(Shapes())
    before, _, behind = raw(chat("PLACE")).partition(b'"PLACE"')
    for number in range(5):
        stream.feed(before + b'"%d"' % number + behind, [])
    with pytest.raises(ApiError):
        stream.feed(before + text + behind, [])


def test_other_than_texts_in_the_same_place_is_translated_as_ever() -> None:
    stream = events(Shapes())
    ready: list[bytes] = []
    for text in ("a", "b", "c", None, {"model": "x"}, "d"):
        stream.feed(raw(chat(text)), ready)  # type: ignore[arg-type]
    assert [event["choices"][0]["delta"]["content"] for event in said(ready)] == [
        "a",
        "b",
        "c",
        None,
        {"model": "x"},
        "d",
    ]


def test_an_error_among_events_is_an_error() -> None:
    stream = events(Shapes())
    ready: list[bytes] = []
    for number in range(5):
        stream.feed(raw(chat(f"{number}")), ready)
    with pytest.raises(ApiError) as caught:
        stream.feed(raw(chat("5")) + raw({"error": {"message": f"boom {ENGINE_KEY}", "code": 500}}), ready)
    assert ENGINE_KEY not in caught.value.message
    assert len(said(ready)) == 6


def test_an_event_without_end_is_given_up() -> None:
    stream = events(Shapes())
    for _ in range(60):
        stream.feed(b"x" * 2**16, [])
    with pytest.raises(ApiError):
        stream.feed(b"x" * 2**20, [])
