"""The queue of downloads as values: whose turn it is, what comes twice, what the next run knows."""

from dataclasses import replace

import pytest

from planner.tui.problem import Problem
from planner.tui.queue import (
    Download,
    DownloadState,
    Queue,
    added,
    changed,
    find,
    kept,
    next_one,
    recalled,
    under_way,
)

ONE, TWO = Download("acme/one", "Q4_K_M", 5), Download("acme/two", "F16")


def states(queue: Queue) -> list[DownloadState]:
    return [one.state for one in queue]


def test_one_runs_at_a_time_in_the_order_they_came() -> None:
    queue = added(added((), ONE), TWO)
    assert next_one(queue) == ONE
    running = changed(queue, ONE.reference, lambda one: replace(one, state=DownloadState.ACTIVE))
    assert next_one(running) is None
    assert under_way(running) == running
    done = changed(running, ONE.reference, lambda one: replace(one, state=DownloadState.DONE))
    assert next_one(done) == TWO


def test_the_same_twice_is_one_download() -> None:
    queue = added(added((), ONE), ONE)
    assert queue == (ONE,)


@pytest.mark.parametrize("state", [DownloadState.PAUSED, DownloadState.FAILED])
def test_what_failed_or_was_paused_waits_again_in_its_place(state: DownloadState) -> None:
    queue = (replace(ONE, state=state, problem=Problem("It broke.")), TWO)
    again = added(queue, replace(ONE, accepted=True))
    assert again == (replace(ONE, accepted=True), TWO)


def test_what_is_done_begins_anew_at_the_end() -> None:
    queue = (replace(ONE, state=DownloadState.DONE), TWO)
    assert added(queue, ONE) == (TWO, ONE)


def test_the_next_run_finds_everything_that_is_not_done_and_all_of_it_paused() -> None:
    queue = (
        replace(ONE, state=DownloadState.ACTIVE, accepted=True),
        replace(TWO, state=DownloadState.DONE),
        Download("acme/three", "Q8_0", 7, DownloadState.FAILED, problem=Problem("It broke.")),
    )
    found = recalled(kept(queue))
    assert [one.reference for one in found] == ["acme/one:Q4_K_M", "acme/three:Q8_0"]
    assert states(found) == [DownloadState.PAUSED, DownloadState.PAUSED]
    assert found[0].accepted
    assert next_one(found) is None


@pytest.mark.parametrize(
    "value", [None, 3, [], {}, {"model": "x"}, {"model": "", "quant": "F16"}, {"model": ["x"], "quant": "F16"}]
)
def test_nonsense_from_an_earlier_run_is_left_out(value: object) -> None:
    good = {"model": "acme/one", "quant": "F16", "bytes": -3, "accepted": "yes"}
    (one,) = recalled([value, good, good])
    assert (one.bytes, one.accepted) == (None, False)
    assert find((one,), "acme/one:F16") is one
