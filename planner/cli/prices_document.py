"""Rentals as a document: what `planner prices --json` prints."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from planner.cli.pricing import Pricer
from planner.core.market import Market, Origin
from planner.core.model import Role
from planner.core.offer_view import number, offer_view, spread_view
from planner.core.own_device import Own
from planner.core.priced import Priced
from planner.core.views import rate_view


def document(
    market: Market, rows: Sequence[Priced], pricer: Pricer, *, left_out: int, total: int
) -> dict[str, object]:
    """The answer for scripts (docs/json.md)."""
    load = pricer.load
    return {
        "schema": 1,
        "as_of": market.as_of,
        "offers": [_row_view(row, pricer) for row in rows],
        "matching": total,
        "left_out": left_out,
        "providers": [_origin_view(origin) for origin in market.origins],
        "models": [] if load is None else [{"model": m.id, "variant": v.quant} for m, v in load.models],
        "inputs": _inputs_view(pricer),
        "own": None if pricer.own is None else _own_view(pricer, pricer.own),
    }


def _row_view(row: Priced, pricer: Pricer) -> dict[str, object]:
    view = offer_view(row.offer, row.per_million, row.job)
    if pricer.load is not None:
        speeds = None if row.running is None else row.running.speeds
        view |= {
            "usd_per_million_generated": spread_view(row.generated),
            "usd_per_million_embedded": spread_view(row.embedded),
            "tg": None if speeds is None else rate_view(speeds.write),
            "pp": None if speeds is None else rate_view(speeds.read),
            "embed": None if speeds is None else rate_view(speeds.embed),
        }
    if pricer.own is not None:
        view["break_even_hours"] = number(row.break_even_hours)
    return view


def _origin_view(origin: Origin) -> dict[str, object]:
    return {"name": origin.name, "status": origin.status, "age_s": origin.age_s, "note": origin.note}


def _inputs_view(pricer: Pricer) -> dict[str, object] | None:
    if pricer.load is None and not pricer.wants_job:
        return None
    job = msgspec.structs.asdict(pricer.job)
    return {
        "context": None if pricer.load is None else pricer.load.context,
        "parallel": None if pricer.load is None else pricer.load.parallel,
        "kv_type": None if pricer.load is None else pricer.load.kv_type,
        **{name: number(value) if isinstance(value, Decimal) else value for name, value in job.items()},
        "given": sorted(pricer.costing.given),
    }


def _own_view(pricer: Pricer, own: Own) -> dict[str, object]:
    running = own.running
    return {
        "name": own.name,
        "watts": number(own.watts),
        "watts_source": own.watts_source,
        "idle_watts": number(own.idle_watts),
        "idle_source": own.idle_source,
        "kwh_usd": number(own.kwh_usd),
        "kwh_assumed": own.kwh_assumed,
        "electricity_usd_hour": number(own.hour_usd),
        "idle_usd_hour": number(own.idle_hour_usd),
        "device_usd": number(own.price_usd),
        "verdict": None if running is None else running.verdict.value,
        "tg": rate_view(own.speeds.write),
        "pp": rate_view(own.speeds.read),
        "embed": rate_view(own.speeds.embed),
        "usd_per_million_generated": spread_view(own.per_million(Role.GENERATION, pricer.job.utilisation)),
        "usd_per_million_embedded": spread_view(own.per_million(Role.EMBEDDING, pricer.job.utilisation)),
        "job_usd": spread_view(own.job_usd(pricer.job)) if pricer.wants_job else None,
    }
