"""Rentals as a document: what `planner prices --json` prints."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from planner.cli.pricing import Pricer
from planner.core.costs.market import Market
from planner.core.costs.priced import Priced
from planner.core.pages.cost_view import origin_view, own_view, priced_view
from planner.core.pages.offer_view import number


def document(
    market: Market, rows: Sequence[Priced], pricer: Pricer, *, left_out: int, total: int
) -> dict[str, object]:
    """The answer for scripts (docs/json.md)."""
    load = pricer.load
    return {
        "schema": 1,
        "as_of": market.as_of,
        "offers": [priced_view(row, loaded=load is not None, owned=pricer.own is not None) for row in rows],
        "matching": total,
        "left_out": left_out,
        "providers": [origin_view(origin) for origin in market.origins],
        "models": [] if load is None else [{"model": m.id, "variant": v.quant} for m, v in load.models],
        "inputs": _inputs_view(pricer),
        "own": None if pricer.own is None else own_view(pricer.own, pricer.job, wants_job=pricer.wants_job),
    }


def _inputs_view(pricer: Pricer) -> dict[str, object] | None:
    if pricer.load is None and not pricer.wants_job and pricer.own is None:
        return None
    from planner.core.costs.renting import RENTED_RAM_BYTES

    job = msgspec.structs.asdict(pricer.job)
    return {
        "context": None if pricer.load is None else pricer.load.context,
        "parallel": None if pricer.load is None else pricer.load.parallel,
        "kv_type": None if pricer.load is None else pricer.load.kv_type,
        **{name: number(value) if isinstance(value, Decimal) else value for name, value in job.items()},
        "host_memory_bytes": None if pricer.load is None else RENTED_RAM_BYTES,
        "given": sorted(pricer.costing.given),
    }
