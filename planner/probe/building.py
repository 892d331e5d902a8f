"""From what a driver tells and what the data sheet says to a `Device`."""

import re
from collections.abc import Mapping, Sequence

from planner.core.machines.devices import DRIVER_MEMORY_TOLERANCE
from planner.core.machines.hardware import (
    NATIVE_BACKEND,
    Backend,
    Device,
    DeviceKind,
    DeviceSpec,
    MemoryHolder,
    PcieLink,
    Vendor,
)
from planner.units import GIB

_FIGURES = ("memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops")
_TARGETS = ("compute_capability", "gfx_target")
_WHOLE_CARD_ONLY = ("gpu_cores", "tdp_w")
"""What a data sheet says of a card, and not of a part of it."""


def build_device(
    *,
    index: int,
    name: str,
    vendor: Vendor,
    kind: DeviceKind,
    spec: DeviceSpec | None,
    driver: str,
    total_bytes: int | None,
    free_bytes: int | None,
    budget_bytes: int | None,
    budget_source: str = "",
    compute_capability: str | None = None,
    gpu_cores: int | None = None,
    pci_id: str | None = None,
    note: str = "",
    usable: bool = True,
    share: float = 1.0,
    compute_share: float | None = None,
    told_by: str = "",
    used_bytes: int | None = None,
    power_limit_w: float | None = None,
    pcie_link: PcieLink | None = None,
    holders: tuple[MemoryHolder, ...] = (),
    gfx_target: str | None = None,
    backend: Backend | None = None,
) -> Device:
    """A found device. `driver` names who told its memory, `told_by` who told the rest (the same if not given).

    `backend` is what drives it here, the vendor's native one if it is not given.

    `share` is the part of the card's memory an instance is, `compute_share` that of its processors (the same if
    it is not given). `used_bytes` is what `holders` and others have of the memory, `power_limit_w` is in watts.
    """
    source = {}
    if total_bytes is not None:
        source["memory_total_bytes"] = driver
    if free_bytes is not None:
        source["memory_free_bytes"] = f"{driver}, at the time of asking"
    if used_bytes is not None:
        source["memory_used_bytes"] = f"{driver}, at the time of asking"
    if budget_bytes is not None:
        source["memory_budget_bytes"] = budget_source or "free memory"
    told = {
        "compute_capability": compute_capability, "gpu_cores": gpu_cores, "power_limit_w": power_limit_w,
        "pcie_link": pcie_link, "holders": holders or None, "gfx_target": gfx_target,
    }  # fmt: skip
    source.update({field: told_by or driver for field, value in told.items() if value is not None})
    shares = dict.fromkeys(_FIGURES[1:], share if compute_share is None else compute_share)
    shares[_FIGURES[0]] = share
    sheet = _sheet(spec, shares)
    figures = {field: sheet.get(field) for field in _FIGURES}
    how = f"devices.json ({spec.slug})" if spec is not None else ""
    for field in sheet:
        if told.get(field) is None:
            part = shares.get(field, 1.0)
            source[field] = how + (f", {part:.0%} of the card" if part < 1 else "")
    if spec is not None and share >= 1 and kind is DeviceKind.DISCRETE and _other_size(total_bytes, spec.memory_gib):
        source["memory_bandwidth_gbps"] = f"{how}; that row has {spec.memory_gib:g} GiB"
    backend = backend or NATIVE_BACKEND[vendor]
    return Device(
        id=f"{backend.value}:{index}",
        name=name,
        slug=spec.slug if spec is not None else slug_of(name),
        vendor=vendor,
        backend=backend,
        kind=kind,
        memory_total_bytes=total_bytes,
        memory_free_bytes=free_bytes,
        memory_budget_bytes=budget_bytes,
        memory_bandwidth_gbps=figures["memory_bandwidth_gbps"],
        fp32_tflops=figures["fp32_tflops"],
        fp16_tflops=figures["fp16_tflops"],
        compute_capability=compute_capability or (spec.compute_capability if spec is not None else None),
        gpu_cores=gpu_cores or (spec.gpu_cores if spec is not None and share >= 1 else None),
        pci_id=pci_id,
        usable=usable,
        note=note,
        source=source,
        memory_used_bytes=used_bytes,
        gfx_target=gfx_target or (spec.gfx_target if spec is not None else None),
        tdp_w=sheet.get("tdp_w"),
        power_limit_w=power_limit_w,
        pcie_link=pcie_link,
        holders=holders,
        listed=spec is not None,
    )


def _sheet(spec: DeviceSpec | None, shares: Mapping[str, float]) -> dict[str, float]:
    """The figures of the data sheet that are known, each for its share of the card."""
    whole = shares["memory_bandwidth_gbps"] >= 1
    known = {field: getattr(spec, field, None) for field in (*_FIGURES, *_TARGETS, *_WHOLE_CARD_ONLY)}
    return {
        field: round(value * shares[field], 2) if shares.get(field, 1.0) < 1 else value
        for field, value in known.items()
        if value is not None and (whole or field not in _WHOLE_CARD_ONLY)
    }


def _other_size(total_bytes: int | None, memory_gib: float | None) -> bool:
    """Whether a card has another memory size than its row: a modified or unlisted edition."""
    if total_bytes is None or memory_gib is None:
        return False
    return abs(total_bytes / GIB - memory_gib) > DRIVER_MEMORY_TOLERANCE * memory_gib


def slug_of(name: str) -> str:
    """Lower case with dashes, for a device no data sheet is known of."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower())) or "gpu"


def visible_order(value: str | None, uuids: Sequence[str]) -> list[int] | None:
    """Indices a `…_VISIBLE_DEVICES` variable leaves, in its order; None if it is not set.

    Entries are indices or the beginnings of UUIDs; the first that is neither ends the list, as in CUDA.
    """
    if value is None:
        return None
    order: list[int] = []
    for raw in value.split(","):
        entry = raw.strip()
        if re.fullmatch(r"\d{1,4}", entry):
            matches = [int(entry)] if int(entry) < len(uuids) else []
        else:
            matches = [i for i, uuid in enumerate(uuids) if entry and uuid.lower().startswith(entry.lower())]
        if len(matches) != 1 or matches[0] in order:
            break
        order.append(matches[0])
    return order
