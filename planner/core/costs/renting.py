"""A model, or an embedder and a generator together, on some machine: does it fit there whole, and how fast is it?"""

from collections.abc import Sequence

import msgspec

from planner.core.costs.cost import Speeds
from planner.core.costs.offers import Offer
from planner.core.costs.running import Load, Running
from planner.core.estimates.estimator import estimate, settings_for
from planner.core.fits.fitting import file_bytes_of, shown_context
from planner.core.machines.hardware import DeviceSpec, Hardware
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings, Workload
from planner.core.models.model import Model, Role, Variant
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import NoResultError
from planner.units import GIB

RENTED_RAM_BYTES = 64 * GIB
"""Host memory assumed of a rental; it holds next to nothing when a model is whole on its GPUs."""
_MOST_GPUS = 16


def load_bytes(load: Load) -> int | None:
    """Size of all files of a load; None where one is not known."""
    sizes = [file_bytes_of(model, variant) for model, variant in load.models]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def running_on(load: Load, hardware: Hardware, *, calibration: Calibration = GENERIC) -> Running | None:
    """The load on a machine at its capacity, the embedder placed first. None where a size or architecture is unknown.

    Speeds are those of a process that has the machine to itself.
    """
    machine = machine_of(hardware, live=False)
    verdicts = list(Verdict)
    estimates, worst = [], Verdict.FITS
    rates = Speeds()
    for model, variant, settings in sorted(_started(load), key=lambda item: item[0].role is Role.GENERATION):
        try:
            found = estimate(model, variant, settings, hardware, machine, calibration=calibration)
        except NoResultError:
            return None
        estimates.append(found)
        worst = max(worst, found.placement.verdict, key=verdicts.index)
        machine = machine.less(found.memory)
        throughput = found.throughput
        if model.role is Role.GENERATION:
            rates = msgspec.structs.replace(rates, write=throughput.tg_slots or throughput.tg, read=throughput.pp)
        elif model.role is Role.EMBEDDING or rates.embed is None:
            rates = msgspec.structs.replace(rates, embed=throughput.embed)
    return Running(tuple(estimates), worst, rates)


def _started(load: Load) -> list[tuple[Model, Variant, Settings]]:
    """The models of a load with what each is started with; where its layers go is left to the machine."""
    if load.settings:
        free = [msgspec.structs.replace(item, n_gpu_layers=None, n_cpu_moe=None) for item in load.settings]
        return [(*model, settings) for model, settings in zip(load.models, free, strict=True)]
    workload = Workload(parallel=load.parallel, kv_type=load.kv_type)
    return [
        (model, variant, settings_for(model, workload, shown_context(model, load.context)))
        for model, variant in load.models
    ]


def rented_machine(spec: DeviceSpec, vram_each_gib: float, count: int) -> Hardware | None:
    """The machine of an offer, with the host memory that is assumed of one; None for more GPUs than anyone plans."""
    if count > _MOST_GPUS:
        return None
    named = Overrides(gpu=f"{count}x {spec.slug}", vram=(round(vram_each_gib * GIB),), ram_bytes=RENTED_RAM_BYTES)
    return virtual_hardware(named, (spec,))


class Rented:
    """The load on offers; each kind of machine is estimated once."""

    def __init__(self, load: Load, specs: Sequence[DeviceSpec], *, calibration: Calibration = GENERIC) -> None:
        self.load = load
        self._specs = {spec.slug: spec for spec in specs}
        self._calibration = calibration
        self._known: dict[tuple[str, float, int], Running | None] = {}

    def on(self, offer: Offer) -> Running | None:
        """The load on an offer; None where it does not fit whole, or its GPU or memory is not known."""
        count = offer.quote.gpu_count
        if offer.device is None or offer.vram_each_gib is None:
            return None
        key = (offer.device, offer.vram_each_gib, count)
        if key not in self._known:
            self._known[key] = self._estimate(*key)
        return self._known[key]

    def _estimate(self, slug: str, vram_gib: float, count: int) -> Running | None:
        hardware = rented_machine(self._specs[slug], vram_gib, count)
        found = None if hardware is None else running_on(self.load, hardware, calibration=self._calibration)
        return found if found is not None and found.verdict is Verdict.FITS else None
