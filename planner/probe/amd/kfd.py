"""ROCm's view of AMD GPUs, from the kernel's compute driver (`/sys/class/kfd`): order, target, who holds memory."""

import re
from dataclasses import dataclass
from pathlib import Path

from planner.core.machines.hardware import MemoryHolder
from planner.probe.pci.cards import children
from planner.probe.surroundings import Surroundings
from planner.units import printable

_KFD = "/sys/class/kfd/kfd"
_VRAM_HEAPS = {1, 2}
"""Memory of the GPU itself, seen by the host or not."""


@dataclass(frozen=True)
class KfdNode:
    """One GPU as ROCm counts them; a partition of a card where the card is cut into some.

    `address` is its card's PCI address, `uuid` what `ROCR_VISIBLE_DEVICES` takes, `vram_bytes` the sum of its
    memory banks.
    """

    gpu_id: int
    address: str
    gfx_target: str | None = None
    uuid: str = ""
    render_node: str | None = None
    vram_bytes: int | None = None


def kfd_nodes(here: Surroundings) -> tuple[KfdNode, ...]:
    """The GPUs in ROCm's order, processors left out; empty where the compute driver is not loaded."""
    folders = [f for f in children(here.path(f"{_KFD}/topology/nodes")) if f.name.isdecimal()]
    nodes = (_node(here, folder) for folder in sorted(folders, key=lambda f: int(f.name)))
    return tuple(node for node in nodes if node is not None)


def _node(here: Surroundings, folder: Path) -> KfdNode | None:
    """One node; None for a processor, or one that this process may not read (a container without the device)."""
    text = here.read(folder / "properties") or ""
    told = {key: int(value) for key, value in re.findall(r"(?m)^(\w+) (\d+)$", text)}
    gpu_id = here.read_int(folder / "gpu_id")
    if not gpu_id or not told.get("simd_count"):
        return None
    # Partitions of a card have their number in the highest four bits.
    location = told.get("location_id", 0) & 0xFFFF
    address = f"{told.get('domain', 0):04x}:{location >> 8:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"
    minor, unique = told.get("drm_render_minor", 0), told.get("unique_id", 0)
    return KfdNode(
        gpu_id=gpu_id,
        address=address,
        gfx_target=gfx_name(told.get("gfx_target_version", 0)),
        uuid=f"GPU-{unique:016x}" if unique else "",
        render_node=f"renderD{minor}" if minor else None,
        vram_bytes=_vram(here, folder),
    )


def gfx_name(version: int) -> str | None:
    """The LLVM name of a target: 110000 → gfx1100, 90010 → gfx90a (minor and stepping are hexadecimal)."""
    if version <= 0:
        return None
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def _vram(here: Surroundings, folder: Path) -> int | None:
    """The GPU's own memory in bytes, from its banks."""
    total = 0
    for bank in children(folder / "mem_banks"):
        told = dict(re.findall(r"(?m)^(\w+) (\d+)$", here.read(bank / "properties") or ""))
        if int(told.get("heap_type", 0)) in _VRAM_HEAPS:
            total += int(told.get("size_in_bytes", 0))
    return total or None


def kfd_holders(here: Surroundings, gpu_ids: frozenset[int]) -> tuple[MemoryHolder, ...]:
    """The processes that hold memory of these GPUs through ROCm, largest first. Graphics programs are not in it."""
    holders = []
    for folder in children(here.path(f"{_KFD}/proc")):
        if not folder.name.isdecimal():
            continue
        sizes = [here.read_int(folder / f"vram_{gpu_id}") or 0 for gpu_id in gpu_ids]
        if sum(sizes) > 0:
            name = printable(here.read(f"/proc/{folder.name}/comm") or "")
            holders.append(MemoryHolder(pid=int(folder.name), name=name, memory_bytes=sum(sizes)))
    return tuple(sorted(holders, key=lambda h: (-(h.memory_bytes or 0), h.pid)))
