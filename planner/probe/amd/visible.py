"""Which AMD devices a program gets to see, and their numbers: the variables of ROCm and HIP."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from planner.core.machines.hardware import Device
from planner.probe.building import visible_order
from planner.probe.pci.cards import NVIDIA, graphics_cards
from planner.probe.surroundings import Surroundings
from planner.units import printable

_ROCM, _HIP, _CUDA = "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Counted:
    """A device with what ROCm calls it (`GPU-…`, empty if unknown), and whether ROCm counts it at all."""

    device: Device
    uuid: str
    in_rocm: bool


def apply_visible(here: Surroundings, counted: Sequence[Counted]) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices with an engine's numbers, and what to know; hidden ones come last and are not usable.

    ROCm's variable takes numbers and UUIDs, HIP's then counts what is left. HIP reads CUDA's if its own is not set;
    beside an NVIDIA card that one is taken to mean NVIDIA's. `GPU_DEVICE_ORDINAL` never reaches an engine.
    """
    shown = [c for c in counted if c.in_rocm]
    rest = [c for c in counted if not c.in_rocm]
    notes: list[str] = []
    hip = _HIP if _HIP in here.environ or graphics_cards(here, NVIDIA) else _CUDA
    for variable in (_ROCM, hip):
        value = here.environ.get(variable)
        order = visible_order(value, [c.uuid for c in shown])
        if value is None or order is None or not shown:
            continue
        notes.append(f"{variable}={printable(value)} is set: {len(order)} of {len(shown)} AMD devices are used.")
        for position, one in enumerate(shown):
            if position not in order:
                why = one.device.note if not one.device.usable else f"hidden by {variable}"
                hidden = msgspec.structs.replace(one.device, usable=False, memory_budget_bytes=None, note=why)
                rest.append(Counted(hidden, one.uuid, in_rocm=False))
        shown = [shown[position] for position in order]
    return _numbered([c.device for c in (*shown, *rest)]), tuple(notes)


def _numbered(devices: Sequence[Device]) -> tuple[Device, ...]:
    """Numbers per backend, in order."""
    next_number: dict[str, int] = {}
    numbered = []
    for device in devices:
        backend = device.backend.value
        number = next_number[backend] = next_number.get(backend, -1) + 1
        numbered.append(msgspec.structs.replace(device, id=f"{backend}:{number}"))
    return tuple(numbered)
