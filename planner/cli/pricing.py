"""From the options of `planner prices` to priced rows: what each offer costs for the model and the job asked for."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from planner.cli.cost_options import Costing
from planner.cli.session import Session
from planner.core.cost import Job, JobCost, Speeds, Spread, Tariff, exact, job_cost, usd_per_million
from planner.core.estimate import Rate
from planner.core.hardware import DeviceSpec
from planner.core.model import Role
from planner.core.offers import Offer
from planner.core.own_device import KWH_USD, Own, paid_off, watts_of
from planner.core.running import Load, Running
from planner.core.speed.calibration import GENERIC
from planner.errors import UsageError
from planner.units import GB

if TYPE_CHECKING:
    from planner.core.renting import Rented
    from planner.core.where import Place

_ROOM_GB = 10
"""Disk beside the models: system image and documents (assumed)."""
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


class Pricer:
    """The question, ready to be put to offers: the models, the job with its defaults filled in, one's own device."""

    def __init__(self, session: Session, costing: Costing, specs: Sequence[DeviceSpec]) -> None:
        self.costing = costing
        self.load = _load(session, costing) if costing.models else None
        self.job = _job(costing, self.load)
        self._rented = None if self.load is None else _rented(session, self.load, specs)
        self.own = _own(session, costing, self.load, specs)
        self._calibration = GENERIC if self.load is None else session.catalog.speed

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
            break_even_hours=None if self.own is None else paid_off(self.own, hour, speeds, self.role),
        )

    def places(self, rows: Sequence[Priced], specs: Sequence[DeviceSpec]) -> list["Place"]:
        """One's own device, common ones and the rentals given, the cheapest per token first; none without a model."""
        from planner.core.where import by_cost, device_places, own_place, place

        if self.load is None:
            return []
        found = device_places(self.load, specs, kwh_usd=self.kwh_usd, calibration=self._calibration)
        mine = None if self.own is None else own_place(self.own)
        rented = [
            place("rental", "", row.running, row.offer.quote.price_hour_usd, offer=row.offer,
                  utilisation=self.job.utilisation)
            for row in rows
            if row.running is not None
        ]  # fmt: skip
        return by_cost([*([] if mine is None else [mine]), *found, *rented])

    @property
    def kwh_usd(self) -> Decimal:
        """Of a kilowatt-hour, said or assumed."""
        return KWH_USD if self.costing.kwh_usd is None else self.costing.kwh_usd

    @property
    def wants_job(self) -> bool:
        """Whether a job was described: work to do or time to be kept."""
        return bool(self.costing.given & {"tokens_in", "tokens_out", "documents", "hours", "egress_gb"})

    def cost(self, order: str) -> Callable[[Priced], Decimal | None] | None:
        """The cost to sort by; None for an order that is not about cost."""
        if order == "job":
            return lambda row: row.planned
        if order == "tokens":
            return lambda row: None if row.per_million is None else row.per_million.mid
        return None


def _rented(session: Session, load: Load, specs: Sequence[DeviceSpec]) -> "Rented":
    from planner.core.renting import Rented

    return Rented(load, specs, calibration=session.catalog.speed)


def _load(session: Session, costing: Costing) -> Load:
    """The models named, in the quant named or the usual one. Raises UsageError for two of a role."""
    from planner.core.need import wanted_variant

    models = []
    for text in costing.models:
        model, variant = session.catalog.parse_model_ref(text)
        models.append((model, variant or wanted_variant(model, None)))
    roles = [model.role is Role.GENERATION for model, _ in models]
    if len(set(roles)) < len(roles):
        raise UsageError(
            "Two models of one kind were named; a pair is an embedding model and a generation model.",
            hint="For two of a kind, ask twice.",
            reference="two-of-a-role",
        )
    return Load(models=tuple(models), context=costing.context, parallel=costing.parallel)


def _job(costing: Costing, load: Load | None) -> Job:
    """The job with what follows from the models: the download, and the disk for it."""
    job = costing.job
    roles = set() if load is None else {model.role is Role.GENERATION for model, _ in load.models}
    if (job.tokens_in or job.tokens_out) and True not in roles:
        raise UsageError(
            "Tokens in and out are those of a generation model, and none was named.",
            hint="Name one with --model.",
            reference="job-without-model",
        )
    if job.documents and False not in roles:
        raise UsageError(
            "Documents are embedded by an embedding model, and none was named.",
            hint="Name one with --model; it may stand beside a generation model: --model … --model …",
            reference="job-without-model",
        )
    changes: dict[str, object] = {}
    if "download_gb" not in costing.given and load is not None:
        from planner.core.renting import load_bytes

        size = load_bytes(load)
        if size is not None:
            changes["download_gb"] = round(Decimal(size) / GB, 2)
    if "storage_gb" not in costing.given and (load is not None or "download_gb" in costing.given):
        changes["storage_gb"] = Decimal(str(changes.get("download_gb", job.download_gb))) + _ROOM_GB
    return msgspec.structs.replace(job, **changes)


def _own(session: Session, costing: Costing, load: Load | None, specs: Sequence[DeviceSpec]) -> Own | None:
    """The device of one's own to compare with: the one named, else this machine where it was asked for."""
    asked = costing.device_usd is not None or costing.watts is not None
    here = costing.here if costing.here is not None else (asked or (load is not None and not session.as_json))
    if costing.device is None and not here:
        return None
    from planner.cli.machine import asked_machine, machine_name
    from planner.core.overrides import Overrides, virtual_hardware
    from planner.core.renting import RENTED_RAM_BYTES, running_on

    if costing.device is not None:
        hardware = virtual_hardware(Overrides(gpu=costing.device, ram_bytes=RENTED_RAM_BYTES), specs)
    else:
        hardware = asked_machine(session)
    mine = session.calibration_for(hardware) if costing.device is None else session.catalog.speed
    watts, source = watts_of(hardware)
    if costing.watts is not None:
        watts, source = costing.watts, "--watts"
    return Own(
        name=machine_name(hardware),
        running=None if load is None else running_on(load, hardware, calibration=mine),
        watts=watts,
        watts_source=source,
        kwh_usd=KWH_USD if costing.kwh_usd is None else costing.kwh_usd,
        kwh_assumed=costing.kwh_usd is None,
        price_usd=costing.device_usd,
    )
