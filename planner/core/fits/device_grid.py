"""A model on devices that many people have: every quant with its verdict and speed, and the best quant of each."""

from collections.abc import Sequence
from typing import NamedTuple

from planner.core.fits.fitting import Fit, best_fit, fit_on
from planner.core.machines.hardware import DeviceSpec, Hardware
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.models.model import Model, Variant
from planner.core.speed.calibration import GENERIC, Calibration
from planner.units import GIB


class CommonDevice(NamedTuple):
    """A device of the grid: its row in devices.json (None: no GPU) and the memory of its host in GiB."""

    label: str
    slug: str | None
    ram_gib: int


HOST_RAM_GIB = 32
"""The host around a card, and the machine without one: a desktop with two modules of 16 GiB."""

COMMON_DEVICES = (
    CommonDevice("RTX 4060 8 GB", "geforce-rtx-4060", HOST_RAM_GIB),
    CommonDevice("RTX 3060 12 GB", "geforce-rtx-3060-12gb", HOST_RAM_GIB),
    CommonDevice("RTX 4060 Ti 16 GB", "geforce-rtx-4060-ti-16gb", HOST_RAM_GIB),
    CommonDevice("RTX 3090 24 GB", "geforce-rtx-3090", HOST_RAM_GIB),
    CommonDevice("RTX 4090 24 GB", "geforce-rtx-4090", HOST_RAM_GIB),
    CommonDevice("RX 7900 XTX 24 GB", "radeon-rx-7900-xtx", HOST_RAM_GIB),
    CommonDevice("RTX 5090 32 GB", "geforce-rtx-5090", HOST_RAM_GIB),
    CommonDevice("L4 24 GB", "l4", HOST_RAM_GIB),
    CommonDevice("A100 80 GB", "a100-sxm4-80gb", HOST_RAM_GIB),
    CommonDevice("H100 80 GB", "h100-sxm5-80gb", HOST_RAM_GIB),
    CommonDevice("Apple M2 16 GB", "apple-m2-10c", 16),
    CommonDevice("Apple M4 Pro 48 GB", "apple-m4-pro-20c", 48),
    CommonDevice("Apple M2 Ultra 192 GB", "apple-m2-ultra-76c", 192),
    CommonDevice("Ryzen AI Max+ 395 128 GB", "radeon-8060s", 128),
    CommonDevice("CPU only, 32 GiB", None, HOST_RAM_GIB),
)
"""Cards by memory, then data centre, then machines whose memory GPU and CPU share."""

_REFERENCE_SLUG = "geforce-rtx-4090"
REFERENCE_NAME = "RTX 4090"
_ROOM_BYTES = 4096 * GIB


class DeviceRow(NamedTuple):
    """A device with every quant on it; None in `fits` where nothing can be said. `best` is None if none runs."""

    device: CommonDevice
    hardware: Hardware
    fits: tuple[Fit | None, ...]
    best: Fit | None


def device_rows(
    model: Model,
    variants: Sequence[Variant],
    context: int,
    specs: Sequence[DeviceSpec],
    *,
    calibration: Calibration = GENERIC,
) -> tuple[DeviceRow, ...]:
    """The grid, each device at its capacity; those that the device table lacks are left out."""
    rows: list[DeviceRow] = []
    known = {spec.slug for spec in specs}
    for device in COMMON_DEVICES:
        if device.slug is not None and device.slug not in known:
            continue
        hardware = virtual_hardware(Overrides(gpu=device.slug, ram_bytes=device.ram_gib * GIB), specs)
        fits = tuple(fit_on(model, variant, hardware, context, calibration=calibration) for variant in variants)
        rows.append(DeviceRow(device, hardware, fits, best_fit(model, [fit for fit in fits if fit is not None])))
    return tuple(rows)


def reference_hardware(specs: Sequence[DeviceSpec]) -> Hardware:
    """A CUDA card with room for every model, to say what one takes and to compare two: else an RTX 4090."""
    gpu = _REFERENCE_SLUG if any(spec.slug == _REFERENCE_SLUG for spec in specs) else None
    return virtual_hardware(Overrides(gpu=gpu, vram=(_ROOM_BYTES,), ram_bytes=_ROOM_BYTES), specs)
