"""From the options of `planner prices` to the question that is put to offers."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from planner.cli.cost_options import Costing
from planner.cli.session import Session
from planner.core.costs.cost import Job
from planner.core.costs.own_device import IDLE_SOURCE, KWH_USD, Own, idle_watts_of, machine_name, watts_of
from planner.core.costs.priced import Priced, Pricing
from planner.core.costs.running import Load
from planner.core.machines.hardware import DeviceSpec
from planner.core.models.model import Role
from planner.core.speed.calibration import GENERIC
from planner.errors import UsageError
from planner.units import GB

if TYPE_CHECKING:
    from planner.core.costs.renting import Rented
    from planner.core.costs.where import Place

_ROOM_GB = 10
"""Disk beside the models: system image and documents (assumed)."""
_A_JOB = frozenset({"tokens_in", "tokens_out", "documents", "hours", "egress_gb"})
"""Options that describe one: work to do or time to be kept."""


class Pricer(Pricing):
    """The question of a command: its models, its job with the defaults filled in, one's own device."""

    def __init__(self, session: Session, costing: Costing, specs: Sequence[DeviceSpec]) -> None:
        load = _load(session, costing) if costing.models else None
        super().__init__(
            load=load,
            rented=None if load is None else _rented(session, load, specs),
            job=_job(costing, load),
            wants_job=bool(costing.given & _A_JOB),
            own=_own(session, costing, load, specs),
        )
        self.costing = costing
        self._calibration = GENERIC if load is None else session.catalog.speed

    @property
    def kwh_usd(self) -> Decimal:
        """Of a kilowatt-hour, said or assumed."""
        return KWH_USD if self.costing.kwh_usd is None else self.costing.kwh_usd

    def places(self, rows: Sequence[Priced], specs: Sequence[DeviceSpec]) -> list["Place"]:
        """One's own device, common ones and the rentals given, the cheapest per token first; none without a model."""
        from planner.core.costs.where import places

        return places(self, rows, specs, kwh_usd=self.kwh_usd, calibration=self._calibration)


def _rented(session: Session, load: Load, specs: Sequence[DeviceSpec]) -> "Rented":
    from planner.core.costs.renting import Rented

    return Rented(load, specs, calibration=session.catalog.speed)


def _load(session: Session, costing: Costing) -> Load:
    """The models named, in the quant named or the usual one. Raises UsageError for two of a role."""
    from planner.core.fits.need import wanted_variant

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
    return Load(models=tuple(models), context=costing.context, parallel=costing.parallel, kv_type=costing.kv_type)


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
        from planner.core.costs.renting import load_bytes

        size = load_bytes(load)
        if size is not None:
            changes["download_gb"] = round(Decimal(size) / GB, 2)
    if "storage_gb" not in costing.given and (load is not None or "download_gb" in costing.given):
        changes["storage_gb"] = Decimal(str(changes.get("download_gb", job.download_gb))) + _ROOM_GB
    return msgspec.structs.replace(job, **changes)


def _own(session: Session, costing: Costing, load: Load | None, specs: Sequence[DeviceSpec]) -> Own | None:
    """The device of one's own to compare with: the one named, else this machine where it was asked for."""
    asked = any(value is not None for value in (costing.device_usd, costing.watts, costing.idle_watts))
    here = costing.here if costing.here is not None else (asked or (load is not None and not session.as_json))
    if costing.device is None and not here:
        return None
    from planner.cli.machine import asked_machine
    from planner.core.costs.renting import RENTED_RAM_BYTES, running_on
    from planner.core.machines.overrides import Overrides, virtual_hardware

    if costing.device is not None:
        hardware = virtual_hardware(Overrides(gpu=costing.device, ram_bytes=RENTED_RAM_BYTES), specs)
    else:
        hardware = asked_machine(session)
    mine = session.calibration_for(hardware) if costing.device is None else session.catalog.speed
    watts, source = watts_of(hardware)
    if costing.watts is not None:
        watts, source = costing.watts, "--watts"
    idle, idle_source = idle_watts_of(watts), "" if watts is None else IDLE_SOURCE
    if costing.idle_watts is not None:
        idle, idle_source = costing.idle_watts, "--idle-watts"
    if watts is not None and idle is not None and idle > watts:
        raise UsageError(
            f"{idle:f} W without work are more than the {watts:f} W at work.",
            hint="Give both: --watts and --idle-watts.",
            reference="contradiction",
        )
    return Own(
        name=machine_name(hardware),
        running=None if load is None else running_on(load, hardware, calibration=mine),
        watts=watts,
        watts_source=source,
        kwh_usd=KWH_USD if costing.kwh_usd is None else costing.kwh_usd,
        kwh_assumed=costing.kwh_usd is None,
        price_usd=costing.device_usd,
        idle_watts=idle,
        idle_source=idle_source,
    )
