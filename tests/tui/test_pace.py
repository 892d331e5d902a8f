"""Rate and time left of a fetch, from what it tells."""

from planner.core.launch.events import ProgressTold
from planner.tui.pace import Pace, moved

GB = 10**9


def after(*told: tuple[float, str, int, int | None]) -> Pace:
    """The pace after (second, phase, done, total) each."""
    pace: Pace | None = None
    for now_s, phase, done, total in told:
        pace = moved(pace, ProgressTold("x", phase, done, total), now_s)
    assert pace is not None
    return pace


def test_a_rate_is_told_after_a_second_and_the_time_left_follows_from_it() -> None:
    early = after((0.0, "downloading", 0, 10 * GB), (0.5, "downloading", GB, 10 * GB))
    assert (early.rate_bytes_per_s, early.left_s) == (None, None)
    later = after((0.0, "downloading", 0, 10 * GB), (2.0, "downloading", 2 * GB, 10 * GB))
    assert later.rate_bytes_per_s == GB
    assert later.left_s == 8
    assert later.figures == "20 %, 2.00 GB of 10.00 GB, 1000.0 MB/s, 8 s left"


def test_a_rate_is_that_of_the_last_seconds_not_of_the_whole_download() -> None:
    fast = [(float(s), "downloading", s * GB, None) for s in range(10)]
    slow = [(10.0 + s, "downloading", 9 * GB + s * GB // 10, None) for s in range(20)]
    rate = after(*fast, *slow).rate_bytes_per_s
    assert rate is not None
    assert 0.09 * GB < rate < 0.11 * GB


def test_a_download_that_stands_still_says_so_and_promises_no_end() -> None:
    stuck = after(*((float(s), "downloading", 5, 10) for s in range(20)))
    assert stuck.rate_bytes_per_s == 0
    assert stuck.left_s is None
    assert "nothing comes at the moment" in stuck.figures


def test_another_phase_or_fewer_bytes_begin_anew() -> None:
    checked = after((0.0, "downloading", 0, 10), (5.0, "downloading", 10, 10), (5.1, "checking", 3, 10))
    assert checked.samples == ((5.1, 3),)
    assert (checked.words, checked.figures) == ("checking", "30 %, 0 MB of 0 MB")
    again = after((0.0, "downloading", 8, 10), (5.0, "downloading", 2, 10))
    assert again.rate_bytes_per_s is None


def test_a_resumed_download_is_not_as_fast_as_what_was_there_already() -> None:
    resumed = after((0.0, "downloading", 5 * GB, 10 * GB), (2.0, "downloading", 5 * GB + GB // 10, 10 * GB))
    assert resumed.rate_bytes_per_s == GB // 20


def test_many_events_leave_few_samples() -> None:
    pace = after(*((s / 100, "downloading", s, None) for s in range(5000)))
    assert len(pace.samples) < 100
    assert pace.share is None
    assert pace.figures.startswith("0 MB, 0.0 MB/s")


def test_a_phase_nobody_knows_is_shown_as_it_is() -> None:
    assert after((0.0, "defrosting", 0, None)).words == "defrosting"
