"""Offers with what they cost for a question: a model or a pair, a job, beside a device of one's own. Pure."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from planner.core.costs.cost import Job, JobCost, Speeds, Spread, Tariff, exact, job_cost, usd_per_million
from planner.core.costs.offers import Offer
from planner.core.costs.own_device import Own, paid_off
from planner.core.costs.running import Load, Running
from planner.core.memory.estimate import Rate
from planner.core.models.model import Role

if TYPE_CHECKING:
    from planner.core.costs.renting import Rented

_NO_SPEEDS = Speeds()


class Priced(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with what it costs. `running` is None without a model."""

    offer: Offer
    running: Running | None = None
    generated: Spread | None = None
    embedded: Spread | None = None
    job: JobCost | None = None
    break_even_hours: Decimal | None = None

    @property
    def per_million(self) -> Spread | None:
        """USD per million tokens of the first question: those generated, else those embedded."""
        return self.generated or self.embedded

    @property
    def planned(self) -> Decimal | None:
        """What the job costs, with its interruptions where the offer can be taken away."""
        if self.job is None:
            return None
        return (self.job.interrupted if self.offer.quote.interruptible else self.job.total).mid


class Pricing:
    """A question that can be put to offers. Without `load` and `rented` offers have no cost per token.

    `wants_job`: whether `job` was described, so that it is priced.
    """

    def __init__(
        self,
        *,
        load: Load | None = None,
        rented: "Rented | None" = None,
        job: Job | None = None,
        wants_job: bool = False,
        own: Own | None = None,
    ) -> None:
        self.load = load
        self.job = Job() if job is None else job
        self.wants_job = wants_job
        self.own = own
        self._rented = rented

    @property
    def role(self) -> Role | None:
        """Whose tokens are priced first."""
        if self.load is None:
            return None
        roles = [model.role for model, _ in self.load.models]
        return Role.GENERATION if Role.GENERATION in roles else Role.EMBEDDING

    def priced(self, offers: Iterable[Offer]) -> tuple[list[Priced], int]:
        """The offers with their costs, and how many were left out: the load does not fit there, or nobody knows."""
        rows, left_out = [], 0
        for offer in offers:
            running = None if self._rented is None else self._rented.on(offer)
            if self._rented is not None and running is None:
                left_out += 1
                continue
            rows.append(self._row(offer, running))
        return rows, left_out

    def _row(self, offer: Offer, running: Running | None) -> Priced:
        quote, utilisation = offer.quote, self.job.utilisation
        hour = quote.price_hour_usd
        speeds = None if running is None else running.speeds

        def per_million(rate: Rate | None) -> Spread | None:
            return usd_per_million(hour, rate, utilisation)

        job = None
        if self.wants_job:
            down = quote.inet_down_mbps
            tariff = Tariff(
                hour_usd=hour,
                storage_usd_gb_month=quote.storage_usd_gb_month,
                paused_storage_usd_gb_month=quote.paused_storage_usd_gb_month,
                month_hours=quote.month_hours,
                ingress_usd_gb=quote.ingress_usd_gb,
                egress_usd_gb=quote.egress_usd_gb,
                network_mbps=exact(down) if down else None,
            )
            job = job_cost(self.job, tariff, _NO_SPEEDS if speeds is None else speeds)
        return Priced(
            offer=offer,
            running=running,
            generated=None if speeds is None else per_million(speeds.write),
            embedded=None if speeds is None else per_million(speeds.embed),
            job=job,
            break_even_hours=None if self.own is None else paid_off(self.own, hour, speeds, self.role, utilisation),
        )

    def cost(self, order: str) -> Callable[[Priced], Decimal | None] | None:
        """The cost to sort by; None for an order that is not about cost."""
        if order == "job":
            return lambda row: row.planned
        if order == "tokens":
            return lambda row: None if row.per_million is None else row.per_million.mid
        return None


def one_of_each(rows: Sequence[Priced]) -> list[tuple[Priced, int]]:
    """The best row of every GPU, provider and tier, no outlier if it can be helped; with the number of the others."""
    groups: dict[object, list[Priced]] = {}
    for row in rows:
        quote = row.offer.quote
        groups.setdefault((quote.provider, quote.tier, quote.plan, *row.offer.same_gpu), []).append(row)
    others = {
        id(next((row for row in group if "outlier" not in row.offer.flags), group[0])): len(group) - 1
        for group in groups.values()
    }
    return [(row, others[id(row)]) for row in rows if id(row) in others]
