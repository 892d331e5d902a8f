"""One market on loopback, and collecting from it without waiting."""

import calendar
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from planner.prices.client import Client
from planner.prices.collect import Collected, collect
from planner.prices.provider import Wanted
from tests.prices.price_server import PriceServer

NOW = float(calendar.timegm(time.strptime("2026-11-22 12:00", "%Y-%m-%d %H:%M")))


@dataclass
class Settings:
    offline: bool = False


@pytest.fixture
def server() -> Iterator[PriceServer]:
    found = PriceServer()
    yield found
    found.close()


Collect = Callable[..., Collected]


@dataclass
class Pauses:
    """The pauses between tries: noted, not made."""

    made: list[float]


@pytest.fixture
def pauses() -> Pauses:
    return Pauses([])


@pytest.fixture
def gather(server: PriceServer, tmp_path: Path, pauses: Pauses) -> Collect:
    """`gather("vast")` asks these providers of the server; the cache is kept between calls of a test."""

    def call(
        *names: str,
        wanted: Wanted = Wanted(),  # noqa: B008  # a frozen value
        now: float = NOW,
        offline: bool = False,
        refresh: bool = False,
        ask: bool = True,
        deadline_s: float = 20.0,
        keys: dict[str, str] | None = None,
    ) -> Collected:
        return collect(
            server.providers(*names),
            wanted,
            settings=Settings(offline),
            cache_dir=tmp_path / "cache",
            keys={} if keys is None else keys,
            refresh=refresh,
            ask=ask,
            now=now,
            deadline_s=deadline_s,
            make_client=lambda name, settings, until: Client(name, settings, until=until, sleep=pauses.made.append),
        )

    return call
