"""`--limit-rate`: the average stays below it, and nothing is made up for."""

import pytest

from planner.fetch.rate import RateLimit


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ticks = 0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def tick(self) -> None:
        self.ticks += 1


def limited(clock: Clock, rate: float | None) -> RateLimit:
    return RateLimit(rate, clock=clock, sleep=clock.sleep)


def test_the_average_is_the_rate() -> None:
    clock = Clock()
    limit = limited(clock, 1_000_000)
    for _ in range(40):
        limit.take(250_000, clock.tick)
    assert clock.now == pytest.approx(10.0, abs=0.01)
    assert clock.ticks >= 40


def test_a_pause_is_not_followed_by_a_burst() -> None:
    clock = Clock()
    limit = limited(clock, 1_000_000)
    limit.take(1_000_000, clock.tick)
    clock.now += 100
    before = clock.now
    for _ in range(4):
        limit.take(500_000, clock.tick)
    assert clock.now - before == pytest.approx(2.0, abs=0.01)


def test_without_a_rate_nobody_sleeps() -> None:
    clock = Clock()
    limited(clock, None).take(10**12, clock.tick)
    assert clock.now == 0


def test_a_sleep_can_be_cancelled() -> None:
    clock = Clock()

    def cancel() -> None:
        if clock.now > 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        limited(clock, 1).take(1_000_000, cancel)
    assert clock.now < 2
