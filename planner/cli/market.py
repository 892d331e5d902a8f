"""The rental market for a command: recent prices from the cache or the providers, dated ones from the catalog."""

import time
from collections.abc import Sequence

from planner.cli.diagnostics import is_interactive
from planner.cli.session import Session
from planner.core.hardware import DeviceSpec
from planner.core.market import Market, Origin, combined, origins_of
from planner.core.offers import Quote, Staleness, judged
from planner.errors import CatalogError
from planner.prices.collect import Source, collect
from planner.prices.parsing import epoch
from planner.prices.provider import Provider, Wanted
from planner.prices.registry import BRINGS, providers


def find_market(
    session: Session,
    specs: Sequence[DeviceSpec],
    wanted: Wanted,
    *,
    ask: bool,
    refresh: bool = False,
    only: Sequence[str] = (),
    dated_only: bool = False,
    sources: Sequence[Provider] | None = None,
    now: float | None = None,
) -> Market:
    """What is for rent. Without `ask` nobody is asked: the cache and the snapshot answer at once.

    `only` names providers: others are not asked. `dated_only` leaves the cache alone too: the same at any time.
    `sources` are the providers to ask, all that are known when None.
    """
    now = time.time() if now is None else now
    asked = [
        source
        for source in (providers() if sources is None else sources)
        if not dated_only and (not only or {source.name, *BRINGS.get(source.name, ())} & set(only))
    ]
    ask = ask and not session.config.offline
    found = collect(
        asked,
        wanted,
        settings=session.config,
        cache_dir=session.config.cache_dir,
        keys=_keys(session, asked) if ask else {},
        refresh=refresh,
        ask=ask,
        now=now,
        tell=session.note if is_interactive() else None,
    )
    dated, note = _snapshot(session)
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
        snapshot_note=note if any(offer.staleness == "snapshot" for offer in offers) else "",
    )


def _whole(source: Source) -> bool:
    return not source.missing and source.status != "none"


def _staleness(quote: Quote, now: float) -> Staleness:
    """By when it was observed: what was fetched a minute ago may be a list of last month."""
    seen = epoch(quote.observed_at)
    return "snapshot" if seen is None else judged(now - seen)


def _keys(session: Session, asked: Sequence[Provider]) -> dict[str, str]:
    from planner.prices.keys import find_key

    names = {source.key_name for source in asked if source.key_name is not None}
    found = {name: find_key(name, folder=session.config.config_dir, note=session.note) for name in names}
    return {name: key for name, key in found.items() if key is not None}


def _snapshot(session: Session) -> tuple[tuple[Quote, ...], str]:
    from planner.catalog.prices import load_snapshot

    try:
        found = load_snapshot()
    except CatalogError as error:
        session.note(f"{error.message} No dated prices are known.")
        return (), ""
    return ((), "") if found is None else (found.offers, found.note)


def device_table(session: Session) -> tuple[DeviceSpec, ...]:
    """The devices of the catalog, without reading its models."""
    from planner.catalog.loader import Catalog
    from planner.catalog.location import data_dir

    if "catalog" in vars(session):
        return session.catalog.devices
    return Catalog(models=(), folder=data_dir()).devices
