"""AMD cards and APUs, from the amdgpu driver's files in sysfs. No program is run, nothing can hang for long."""

from collections.abc import Sequence

import msgspec

from planner.core.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device, visible_order
from planner.probe.pci import AMD, PciCard, card_name, graphics_cards, match_card
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB, printable

_CARVE_OUT_BYTES = 4 * GIB
"""An APU's own "VRAM" is a slice of host memory the firmware sets aside; by default 4 GiB at most."""

_VISIBLE = ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def probe_amd(here: Surroundings, specs: Sequence[DeviceSpec]) -> Finding:
    """The AMD devices of this machine. A file that is missing leaves its field None; never fails.

    A part with tiny VRAM and a larger GTT (host memory the GPU may map) is an APU: its memory is both together,
    so is its budget. A card's budget is what is free of it.
    """
    cards = graphics_cards(here, AMD)
    devices: list[Device] = []
    notes: list[str] = []
    for index, card in enumerate(cards):
        devices.append(_device(here, index, card, specs, notes))
    for variable in _VISIBLE:
        order = visible_order(here.environ.get(variable), [""] * len(devices))
        if order is None or not devices:
            continue
        shown = printable(here.environ.get(variable, ""))
        notes.append(f"{variable}={shown} is set: {len(order)} of {len(devices)} AMD devices are used.")
        hidden = [
            msgspec.structs.replace(d, usable=False, memory_budget_bytes=None, note=f"hidden by {variable}")
            for i, d in enumerate(devices)
            if i not in order
        ]
        devices = [
            msgspec.structs.replace(d, id=f"{d.backend.value}:{i}")
            for i, d in enumerate([*(devices[i] for i in order), *hidden])
        ]
        break
    return Finding(tuple(devices), tuple(notes))


def _device(here: Surroundings, index: int, card: PciCard, specs: Sequence[DeviceSpec], notes: list[str]) -> Device:
    """One card or APU."""
    vram = here.read_int(card.folder / "mem_info_vram_total")
    vram_used = here.read_int(card.folder / "mem_info_vram_used")
    gtt = here.read_int(card.folder / "mem_info_gtt_total")
    gtt_used = here.read_int(card.folder / "mem_info_gtt_used")
    told = card_name(here, card)
    name = told or f"AMD device {card.device:04x}"
    spec = match_card(name, specs, vram) or match_card(name, specs, None)
    small = vram is not None and gtt is not None and vram <= _CARVE_OUT_BYTES and gtt > vram
    unified = spec.kind is DeviceKind.UNIFIED if spec is not None else small
    total = vram
    free = None if vram is None else max(0, vram - vram_used) if vram_used is not None else None
    budget, rule = free, "free memory"
    if free is None:
        budget, rule = total, "all of it: use is unknown"
    if unified and vram is not None and gtt is not None:
        budget = total = vram + gtt
        free = None if free is None or gtt_used is None else free + max(0, gtt - gtt_used)
        rule = "memory set aside for the GPU, plus host memory it may map (GTT)"
    problem = ""
    if total is None:
        problem = "its memory cannot be read: is the amdgpu driver loaded?"
        notes.append(f"{name} ({card.address or 'PCI'}): {problem} Give it with --vram.")
    elif spec is None:
        notes.append(f"{name} is not in the device list: its bandwidth is unknown, give it with --bandwidth.")
    return build_device(
        index=index,
        name=spec.name if spec is not None and (told is None or "/" in told) else name,
        vendor=Vendor.AMD,
        kind=DeviceKind.UNIFIED if unified else DeviceKind.DISCRETE,
        spec=spec,
        driver="amdgpu (sysfs)",
        total_bytes=total,
        free_bytes=free,
        budget_bytes=budget,
        budget_source=rule,
        pci_id=card.address,
        usable=not problem,
        note=problem,
    )
