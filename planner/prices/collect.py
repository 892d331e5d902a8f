"""Collecting prices: from the cache what is fresh, from the providers what is not, all of them at once."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from planner.core.costs.offers import Quote
from planner.prices.cache import read_cache, write_cache
from planner.prices.job import Job, Source
from planner.prices.provider import Provider, Wanted

if TYPE_CHECKING:
    from planner.net.http import NetworkSettings
    from planner.prices.asking import ClientMaker

DEADLINE_S = 5.0


class Collected(msgspec.Struct, frozen=True):
    """Quotes of the parts that were asked for, and how each provider did."""

    quotes: tuple[Quote, ...]
    sources: tuple[Source, ...]


def collect(
    providers: Sequence[Provider],
    wanted: Wanted,
    *,
    settings: "NetworkSettings",
    cache_dir: Path,
    keys: Mapping[str, str],
    refresh: bool = False,
    ask: bool = True,
    now: float | None = None,
    deadline_s: float = DEADLINE_S,
    make_client: "ClientMaker | None" = None,
    tell: Callable[[str], None] | None = None,
) -> Collected:
    """What providers offer now, or lately. Never raises for a provider: that is its status.

    `keys` has the key by its name. Without `ask` (and with `settings.offline`) the cache is read and nobody is asked.
    `tell` hears who is asked before there is a pause.
    """
    now = time.time() if now is None else now
    jobs = [Job(provider, wanted, read_cache(cache_dir, provider.name), now) for provider in providers]
    asked: list[Job] = []
    for job in jobs:
        name = job.provider.key_name
        if not ask or settings.offline:
            continue
        if name is not None and name not in keys:
            job.notes.append(f"not asked: there is no {name}")
            continue
        job.plan(refresh=refresh)
        if job.due:
            asked.append(job)
    if asked and tell is not None:
        tell(f"Asking {', '.join(job.provider.name for job in asked)} for prices, {deadline_s:g} s at most.")
    late: set[str] = set()
    if asked:
        from planner.prices.asking import Asking  # noqa: PLC0415  # 20 ms that answers from the cache need not pay

        late = Asking(settings=settings, keys=keys, now=now, deadline_s=deadline_s, make_client=make_client).ask(
            asked
        )
    for job in asked:
        if job.changed:
            write_cache(cache_dir, job.provider.name, job.kept())
    sources = tuple(job.source(late=job.provider.name in late, deadline_s=deadline_s) for job in jobs)
    return Collected(_merged(jobs), sources)


def _merged(jobs: Sequence[Job]) -> tuple[Quote, ...]:
    """All quotes, each once; a source's uninterruptible ones give way to those of the source that replaces it."""
    replaced = {job.provider.instead_of for job in jobs if any(part.quotes for part in job.known.values())}
    quotes = []
    for job in jobs:
        for part in (job.known[name] for name in job.parts if name in job.known):
            quotes += [q for q in part.quotes if q.interruptible or job.provider.name not in replaced]
    return tuple(dict.fromkeys(quotes))
