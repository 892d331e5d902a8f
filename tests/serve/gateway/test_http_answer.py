"""Answers of engines, in whatever pieces they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.serve.gateway.http_answer import BrokenAnswerError, HttpAnswer

BODY = b'data: {"a": 1}\n\ndata: [DONE]\n\n'
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"10\r\n" + BODY[:16] + b"\r\nE;part=2\r\n" + BODY[16:] + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
COUNTED = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nContent-Type: text/event-stream\r\n\r\n%b" % (len(BODY), BODY)
OPEN = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + BODY


def read(raw: bytes, cuts: list[int]) -> tuple[HttpAnswer, bytes]:
    """Feed an answer, cut at some places."""
    answer = HttpAnswer()
    body = b""
    places = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    for start, stop in pairwise(places):
        body += answer.feed(raw[start:stop])
    return answer, body


@pytest.mark.parametrize("raw", [CHUNKED, COUNTED, OPEN], ids=["chunked", "counted", "open"])
@given(cuts=st.lists(st.integers(0, 400), max_size=400))
def test_an_answer_is_the_same_however_it_is_cut(raw: bytes, cuts: list[int]) -> None:
    answer, body = read(raw, cuts)
    assert (answer.status, answer.content_type, body) == (200, "text/event-stream", BODY)
    assert answer.whole == answer.keepable == (raw is not OPEN)
    answer.end()
    assert answer.whole


def test_an_event_is_handed_over_with_its_last_byte_not_with_its_chunks_end() -> None:
    answer, body = read(CHUNKED[: CHUNKED.index(b"\r\nE;")], [])
    assert body == BODY[:16]
    assert not answer.whole


@pytest.mark.parametrize("raw", [CHUNKED, COUNTED], ids=["chunked", "counted"])
def test_an_answer_that_is_cut_anywhere_is_not_whole(raw: bytes) -> None:
    for length in range(len(raw)):
        answer = HttpAnswer()
        answer.feed(raw[:length])
        with pytest.raises(BrokenAnswerError):
            answer.end()
        assert answer.begun == bool(length)


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 yes\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2**17,
        HEAD + b"zz\r\n",
        HEAD + b"-1\r\n",
        HEAD + b"0x1\r\n",
        HEAD + b"\r\n",
        HEAD + b"1" * 20 + b"\r\n",
        HEAD + b"2\r\nabcd\r\n",
        HEAD + b"1" * 2**17,
        HEAD + b"0\r\n" + b"a" * 2**17,
    ],
)
def test_what_is_no_answer_is_refused(raw: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        HttpAnswer().feed(raw)


@pytest.mark.parametrize("raw", [CHUNKED + b"HTTP/1.1 200", COUNTED + b"x"])
def test_after_an_answer_that_is_followed_by_more_the_connection_is_not_used_again(raw: bytes) -> None:
    answer, body = read(raw, [])
    assert body == BODY
    assert answer.whole
    assert not answer.keepable


def test_an_engine_that_asks_to_close_is_heard() -> None:
    answer, _ = read(COUNTED.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n", 1), [])
    assert answer.whole
    assert not answer.keepable
