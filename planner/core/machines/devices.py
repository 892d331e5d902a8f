"""Devices by name or by memory size: data-sheet rows to `Device` values. Pure; the rows come from the catalog."""

import contextlib
import difflib
import re
from collections.abc import Sequence
from dataclasses import replace

from planner.core.machines.device_names import (
    Reading,
    alternatives,
    index_of,
    read_name,
    same_memory,
    trailing_number_readings,
    without_memory_kind,
)
from planner.core.machines.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.errors import UsageError
from planner.units import GIB

DRIVER_MEMORY_TOLERANCE = 0.12
"""Drivers show up to 7 % less than the label (ECC, firmware: T4 15.0 of 16 GiB, A40 45.0 of 48)."""

DATA_SHEET_FIELDS = (
    "memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops", "compute_capability", "gfx_target", "gpu_cores", "tdp_w",
)  # fmt: skip
"""What a device has of its row, unless its driver knows better."""

_NUMBER = re.compile(r"[0-9]{3,}")


def resolve_device(text: str, specs: Sequence[DeviceSpec], *, memory_gib: float | None = None) -> DeviceSpec:
    """The data-sheet row of a device as people, shops and drivers write its name.

    `memory_gib` (from elsewhere, e.g. `--vram`) decides between sizes the name leaves open; a size inside the
    text must match. Raises UsageError: `unknown-gpu` with the nearest names, or `ambiguous-gpu` with the
    candidates.
    """
    index = index_of(tuple(specs))
    reading = read_name(text)
    found = rows_named(text, specs, memory_gib=memory_gib)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(spec.name for spec in found)
        raise UsageError(
            f"“{_shown(text)}” names more than one device: {names}.",
            hint="Give one of these names, or add the memory size.",
            reference="ambiguous-gpu",
        )
    siblings = index.siblings(reading)
    if siblings and reading.memory_gib is not None:
        sizes = ", ".join(spec.name + _size_of(spec) for spec in siblings)
        raise UsageError(
            f"No “{_shown(text)}” is known; there is {sizes}.",
            hint="For a modified card name it without its size and give the memory with --vram.",
            reference="unknown-gpu",
        )
    near = nearest_names(text, specs)
    raise UsageError(
        f"No device named “{_shown(text)}” is known."
        + (f" The nearest names are {', '.join(near)}." if near else ""),
        hint="Check the name, or describe the card by its memory and bandwidth: --vram 8 --bandwidth 360.",
        reference="unknown-gpu",
    )


def rows_named(text: str, specs: Sequence[DeviceSpec], *, memory_gib: float | None = None) -> tuple[DeviceSpec, ...]:
    """The rows a name can mean, none for an unknown one; `memory_gib` decides between sizes it leaves open."""
    index, reading = index_of(tuple(specs)), read_name(text)
    if found := _listed_together(text, specs, memory_gib):
        return found
    for attempt in (reading, *trailing_number_readings(reading), *without_memory_kind(reading)):
        if not attempt.base:
            continue
        if memory_gib is not None and attempt.memory_gib is None:
            found = index.candidates(replace(attempt, memory_gib=memory_gib), loose=True)
        if found := found or index.candidates(attempt, loose=True):
            return found
    return ()


def _listed_together(text: str, specs: Sequence[DeviceSpec], memory_gib: float | None) -> tuple[DeviceSpec, ...]:
    """The devices of a PCI list's line that names several, less those of another memory size."""
    names = alternatives(text) if "/" in text else ()
    found: dict[str, DeviceSpec] = {}
    for name in names if len(names) > 1 else ():
        with contextlib.suppress(UsageError):
            spec = resolve_device(name, specs)
            found[spec.slug] = spec
    rows = tuple(found.values())
    return (_of_size(rows, memory_gib) or rows) if memory_gib is not None else rows


def nearest_names(text: str, specs: Sequence[DeviceSpec], *, count: int = 5) -> tuple[str, ...]:
    """Names of devices most like `text`, best first: alike in letters, and a shared model number counts double."""
    wanted = read_name(text)
    if not wanted.base:
        return ()
    numbers = set(_NUMBER.findall(wanted.base))
    scored = []
    for spec in index_of(tuple(specs)).specs:
        reading = read_name(spec.name)
        likeness = max(
            difflib.SequenceMatcher(None, wanted.base, base).ratio() for base in (reading.base, reading.short[0])
        )
        if likeness >= 0.5:
            same_number = bool(numbers & set(_NUMBER.findall(reading.base)))
            odd = len(wanted.qualifiers ^ reading.qualifiers)
            scored.append((-likeness - 0.5 * same_number + 0.05 * odd, spec.name))
    return tuple(name for _, name in sorted(scored)[:count])


def match_driver_name(
    name: str,
    specs: Sequence[DeviceSpec],
    memory_bytes: int | None = None,
    compute_capability: str | None = None,
    *,
    gpu_cores: int | None = None,
    pci_id: str | None = None,
) -> DeviceSpec | None:
    """The row of the device a driver names, or None: an unknown device stays unknown, it is never guessed.

    `pci_id` (`10de:2684`, or with a revision `1002:744c:c8`) narrows the name down, and stands in for a name that
    says nothing. The memory in bytes (12 % tolerance), the compute capability and Apple's core count decide
    between rows of the same name; rows that still tie count as found only if their bandwidth is the same to 3 %.
    """
    reading = read_name(name)
    index = index_of(tuple(specs))
    found = index.named(reading) if reading.base else ()
    if reading.memory_gib is not None:
        found = index.candidates(reading, loose=False) or found
    if pci_id is not None:
        narrowed = _of_pci_id(found, reading, index.with_pci_id(pci_id))
        contradicted = memory_bytes and not _of_size(narrowed, memory_bytes / GIB)
        found = found if contradicted and _of_size(found, (memory_bytes or 0) / GIB) else narrowed
    if compute_capability is not None:
        found = tuple(s for s in found if s.compute_capability in (None, compute_capability))
    cores = reading.cores or gpu_cores
    if cores is not None and any(s.vendor is Vendor.APPLE for s in found):
        found = tuple(s for s in found if s.gpu_cores == cores)
    if len(found) > 1 and memory_bytes:
        found = _of_size(found, memory_bytes / GIB)
    return same_speed(found)


def same_speed(found: Sequence[DeviceSpec]) -> DeviceSpec | None:
    """The first of rows that cannot be told apart, if it does not matter: their bandwidth is the same to 3 %."""
    if not found:
        return None
    bandwidths = [s.memory_bandwidth_gbps for s in found]
    known = [b for b in bandwidths if b is not None]
    if known and (len(known) < len(bandwidths) or max(known) > 1.03 * min(known)):
        return None
    return found[0] if len({s.kind for s in found}) == 1 else None


def _of_pci_id(
    named: tuple[DeviceSpec, ...], reading: Reading, with_id: tuple[DeviceSpec, ...]
) -> tuple[DeviceSpec, ...]:
    """What name and PCI id agree on. The id tells laptop parts that drivers name like their desktop namesakes.

    A name that says more than the id (Max-Q) is believed; one that says less does not mean the Max-Q part.
    """
    if not with_id or not named:
        return named or with_id
    both = tuple(s for s in named if s in with_id)
    readings = [(s, read_name(s.name)) for s in with_id]
    namesakes = [(s, r) for s, r in readings if r.base == reading.base and r.qualifiers >= reading.qualifiers]
    plain = tuple(s for s, r in namesakes if "maxq" not in r.qualifiers)
    return both or plain or tuple(s for s, _ in namesakes) or named


def _of_size(specs: Sequence[DeviceSpec], memory_gib: float) -> tuple[DeviceSpec, ...]:
    """The rows whose memory is nearest to that size, none if all are further off than drivers' reserves explain."""
    near = [
        (abs(s.memory_gib - memory_gib), s)
        for s in specs
        if s.memory_gib is not None and same_memory(s.memory_gib, memory_gib, DRIVER_MEMORY_TOLERANCE)
    ]
    best = min((distance for distance, _ in near), default=0.0)
    return tuple(s for distance, s in near if distance == best)


def unified_budget(vendor: Vendor, host_memory_bytes: int) -> tuple[int, str]:
    """What a GPU that shares the host's memory may take of it, in bytes, and the rule in words.

    Estimates, used where the driver does not say. Apple: Metal's working-set limit was logged as 66.7 % of an
    8 GB and 75 % of a 64 GB machine, so two thirds up to 36 GiB and three quarters above. AMD: the amdgpu driver's
    default GTT size, half of memory. Intel: Mesa's heap, half up to 4 GiB, else three quarters. NVIDIA (GB10,
    Jetson): all but a tenth, at least 2 GiB, for the system.
    """
    total = host_memory_bytes
    if vendor is Vendor.APPLE:
        small = total <= 36 * GIB
        share = total * 2 // 3 if small else total * 3 // 4
        return share, f"estimated: {'2/3' if small else '3/4'} of memory, Metal's usual working-set limit"
    if vendor is Vendor.NVIDIA:
        return max(
            0, total - max(2 * GIB, total // 10)
        ), "estimated: memory less 10 % (at least 2 GiB) for the system"
    if vendor is Vendor.INTEL and total > 4 * GIB:
        return total * 3 // 4, "estimated: 3/4 of memory, the Vulkan driver's usual heap"
    return total // 2, "estimated: half of memory, the driver's usual share for graphics"


def device_from_spec(
    spec: DeviceSpec,
    *,
    index: int,
    host_memory_bytes: int | None,
    memory_bytes: int | None = None,
    memory_source: str = "",
) -> Device:
    """A device as its data sheet has it, all memory free. `memory_bytes` overrides the memory of the row.

    Discrete: total = free = budget. Unified: total and free are the host's memory, the budget is a share of it
    (`unified_budget`). `memory_source` says where an overriding size comes from.
    """
    data_sheet = f"devices.json ({spec.slug})"
    source = {field: data_sheet for field in DATA_SHEET_FIELDS if getattr(spec, field) is not None}
    if spec.kind is DeviceKind.DISCRETE:
        total = memory_bytes if memory_bytes is not None else _gib_bytes(spec.memory_gib)
        free = budget = total
        source["memory_total_bytes"] = memory_source if memory_bytes is not None else data_sheet
        source["memory_budget_bytes"] = "all of it: nothing else is assumed to use the card"
    else:
        total = memory_bytes or host_memory_bytes or _gib_bytes(spec.memory_gib)
        free = total
        budget, rule = unified_budget(spec.vendor, total) if total is not None else (None, "unknown")
        source["memory_total_bytes"] = memory_source if memory_bytes is not None else "the host's memory"
        source["memory_budget_bytes"] = rule
    return Device(
        id=f"{spec.backend.value}:{index}",
        name=spec.name,
        slug=spec.slug,
        vendor=spec.vendor,
        backend=spec.backend,
        kind=spec.kind,
        memory_total_bytes=total,
        memory_free_bytes=free,
        memory_budget_bytes=budget,
        memory_bandwidth_gbps=spec.memory_bandwidth_gbps,
        fp32_tflops=spec.fp32_tflops,
        fp16_tflops=spec.fp16_tflops,
        compute_capability=spec.compute_capability,
        gpu_cores=spec.gpu_cores,
        gfx_target=spec.gfx_target,
        tdp_w=spec.tdp_w,
        source=source,
    )


def _gib_bytes(gib: float | None) -> int | None:
    """Whole bytes of a size in GiB."""
    return None if gib is None else round(gib * GIB)


def _size_of(spec: DeviceSpec) -> str:
    """` (24 GiB)`, empty where the size depends on the machine."""
    return "" if spec.memory_gib is None else f" ({spec.memory_gib:g} GiB)"


def _shown(text: str) -> str:
    """User text fit for a message: one line, no control characters, not endless."""
    return "".join(c if c.isprintable() else " " for c in text[:80]).strip()
