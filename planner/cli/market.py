"""The rental market for a command: the session's settings, its narration, and the snapshot of the catalog."""

from collections.abc import Sequence

from planner.cli.diagnostics import is_interactive
from planner.cli.session import Session
from planner.core.costs.market import Market
from planner.core.costs.offers import Quote
from planner.core.machines.hardware import DeviceSpec
from planner.errors import CatalogError
from planner.prices.market import the_market
from planner.prices.provider import Provider, Wanted


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
    """What is for rent; see `the_market`. A snapshot that cannot be read is a note."""
    dated, dated_note = _snapshot(session)
    return the_market(
        session.config,
        specs,
        wanted,
        dated=dated,
        dated_note=dated_note,
        ask=ask,
        note=session.note,
        tell=session.note if is_interactive() else None,
        refresh=refresh,
        only=only,
        dated_only=dated_only,
        sources=sources,
        now=now,
    )


def _snapshot(session: Session) -> tuple[tuple[Quote, ...], str]:
    from planner.catalog.prices import load_snapshot

    try:
        found = load_snapshot()
    except CatalogError as error:
        session.note(f"{error.message} No dated prices are known.")
        return (), ""
    return ((), "") if found is None else (found.offers, found.note)


def say_problems(session: Session, market: Market) -> None:
    """A line for every source that did not do as it should."""
    for origin in market.origins:
        if origin.note and not origin.note.startswith("not asked"):
            session.note(f"{origin.name}: {origin.note}")


def device_table(session: Session) -> tuple[DeviceSpec, ...]:
    """The devices of the catalog, without reading its models."""
    if "catalog" in vars(session):
        return session.catalog.devices
    from planner.catalog.device_table import shipped_devices
    from planner.catalog.location import data_dir

    return shipped_devices(data_dir())
