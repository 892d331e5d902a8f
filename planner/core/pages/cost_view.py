"""What things cost, as text for scripts (docs/json.md): a priced offer, a device of one's own, a source of prices."""

from planner.core.costs.cost import Job
from planner.core.costs.market import Origin
from planner.core.costs.own_device import Own
from planner.core.costs.priced import Priced
from planner.core.models.model import Role
from planner.core.pages.offer_view import number, offer_view, spread_view
from planner.core.pages.views import rate_view


def priced_view(row: Priced, *, loaded: bool, owned: bool = False) -> dict[str, object]:
    """An offer with its costs; `loaded`: for a model, `owned`: beside a device of one's own."""
    view = offer_view(row.offer, row.per_million, row.job)
    if loaded:
        speeds = None if row.running is None else row.running.speeds
        view |= {
            "usd_per_million_generated": spread_view(row.generated),
            "usd_per_million_embedded": spread_view(row.embedded),
            "tg": None if speeds is None else rate_view(speeds.write),
            "pp": None if speeds is None else rate_view(speeds.read),
            "embed": None if speeds is None else rate_view(speeds.embed),
        }
    if owned:
        view["break_even_hours"] = number(row.break_even_hours)
    return view


def own_view(own: Own, job: Job, *, wants_job: bool) -> dict[str, object]:
    """A device of one's own; the job's electricity where one was described."""
    running, speeds = own.running, own.speeds
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
        "tg": rate_view(speeds.write),
        "pp": rate_view(speeds.read),
        "embed": rate_view(speeds.embed),
        "usd_per_million_generated": spread_view(own.per_million(Role.GENERATION, job.utilisation)),
        "usd_per_million_embedded": spread_view(own.per_million(Role.EMBEDDING, job.utilisation)),
        "job_usd": spread_view(own.job_usd(job)) if wants_job else None,
    }


def origin_view(origin: Origin) -> dict[str, object]:
    """How a source of prices did."""
    return {"name": origin.name, "status": origin.status, "age_s": origin.age_s, "note": origin.note}
