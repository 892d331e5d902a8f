"""The rental market: recent prices from the cache or the providers, dated ones for what these leave open."""

import time
from collections.abc import Callable, Sequence

from planner.config import Config
from planner.core.costs.market import Market, Origin, combined, origins_of
from planner.core.costs.offers import Quote, Staleness, judged
from planner.core.machines.hardware import DeviceSpec
from planner.prices.collect import collect
from planner.prices.job import Source
from planner.prices.keys import find_key
from planner.prices.parsing import epoch
from planner.prices.provider import Provider, Wanted
from planner.prices.registry import BRINGS, providers


def the_market(
    config: Config,
    specs: Sequence[DeviceSpec],
    wanted: Wanted,
    *,
    dated: Sequence[Quote],
    dated_note: str = "",
    ask: bool,
    note: Callable[[str], None],
    tell: Callable[[str], None] | None = None,
    refresh: bool = False,
    only: Sequence[str] = (),
    dated_only: bool = False,
    sources: Sequence[Provider] | None = None,
    now: float | None = None,
) -> Market:
    """What is for rent. Without `ask` (and offline) nobody is asked: the cache and the `dated` quotes answer at once.

    `only` names providers: others are not asked. `dated_only` leaves the cache alone too: the same at any time.
    `sources` are the providers to ask, all that are known when None. `note` hears what is wrong with keys, `tell`
    who is asked. `dated_note` says how far the dated quotes are to be trusted. `now` in seconds since 1970.
    """
    now = time.time() if now is None else now
    asked = [
        source
        for source in (providers() if sources is None else sources)
        if not dated_only and (not only or {source.name, *BRINGS.get(source.name, ())} & set(only))
    ]
    ask = ask and not config.offline
    names = {source.key_name for source in asked if ask and source.key_name is not None}
    keys = {name: find_key(name, folder=config.config_dir, note=note) for name in names}
    found = collect(
        asked,
        wanted,
        settings=config,
        cache_dir=config.cache_dir,
        keys={name: key for name, key in keys.items() if key is not None},
        refresh=refresh,
        ask=ask,
        now=now,
        tell=tell,
    )
    recent = [(quote, _staleness(quote, now)) for quote in found.quotes]
    complete = {name for source in found.sources if _whole(source) for name in BRINGS.get(source.name, ())}
    offers = combined(recent, dated, specs, complete=complete)
    ages: dict[str, int] = {}
    for quote in dated:
        if (seen := epoch(quote.observed_at)) is not None:
            age = max(0, round(now - seen))
            ages[quote.provider] = min(age, ages.get(quote.provider, age))
    lines = [
        Origin(name=source.name, status=source.status, age_s=source.age_s, note=source.note)
        for source in found.sources
    ]
    return Market(
        offers=offers,
        origins=origins_of(offers, lines, brings=BRINGS, ages_s=ages),
        as_of=max((offer.quote.observed_at for offer in offers), default=None),
        snapshot_note=dated_note if any(offer.staleness == "snapshot" for offer in offers) else "",
    )


def _whole(source: Source) -> bool:
    return not source.missing and source.status != "none"


def _staleness(quote: Quote, now: float) -> Staleness:
    """By when it was observed: what was fetched a minute ago may be a list of last month."""
    seen = epoch(quote.observed_at)
    return "snapshot" if seen is None else judged(now - seen)
