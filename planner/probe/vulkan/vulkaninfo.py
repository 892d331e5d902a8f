"""What `vulkaninfo` prints, read: the GPUs with their ids, PCI address and memory heaps. Pure."""

import re
from dataclasses import dataclass

_SECTION = re.compile(r"(?m)^GPU\d+:\s*$")
_FIELD = re.compile(r"(?m)^\s*(vendorID|deviceID|deviceType|deviceName|driverID|driverName|driverInfo)\s*= (.*?)\s*$")
_PLACE = re.compile(r"(?m)^\s*(pciDomain|pciBus|pciDevice|pciFunction)\s*= (\d{1,10})\s*$")
_HEAP = re.compile(r"(?m)^\s*memoryHeaps\[\d+\]:\s*$")
_SIZE = re.compile(r"(?m)^\s*(size|budget)\s*= (\d{1,19})\b")
_KINDS = frozenset({"OTHER", "INTEGRATED_GPU", "DISCRETE_GPU", "VIRTUAL_GPU", "CPU"})
_MOST_GPUS = 64


@dataclass(frozen=True)
class Heap:
    """One heap in bytes. `budget` is what a process may take of it now, None without VK_EXT_memory_budget."""

    size: int
    budget: int | None
    device_local: bool


@dataclass(frozen=True)
class VulkanGpu:
    """A device as Vulkan describes it. `kind` is like `DISCRETE_GPU`, `address` a PCI address or None.

    `index` is its number among all that Vulkan shows, processors that play GPU included.
    """

    index: int
    name: str
    kind: str
    vendor: int
    device: int
    driver_id: str
    driver: str
    address: str | None
    heaps: tuple[Heap, ...]


def read_vulkaninfo(output: str) -> tuple[VulkanGpu, ...]:
    """The devices in `vulkaninfo`'s text, full or `--summary` (which has no heaps and no address).

    A device cut off before its type was told is left out: the program may have crashed, its words are kept.
    """
    sections = _SECTION.split(output)[1 : 1 + _MOST_GPUS]
    found = (_gpu(index, section) for index, section in enumerate(sections))
    return tuple(gpu for gpu in found if gpu is not None)


def _gpu(index: int, section: str) -> VulkanGpu | None:
    """One device; the first value of every field counts."""
    told: dict[str, str] = {}
    for key, value in _FIELD.findall(section):
        told.setdefault(key, value)
    vendor, device = _number(told.get("vendorID", "")), _number(told.get("deviceID", ""))
    kind = told.get("deviceType", "").removeprefix("PHYSICAL_DEVICE_TYPE_")
    if vendor is None or device is None or kind not in _KINDS or "deviceName" not in told:
        return None
    return VulkanGpu(
        index=index,
        name=told["deviceName"],
        kind=kind,
        vendor=vendor,
        device=device,
        driver_id=told.get("driverID", "").removeprefix("DRIVER_ID_"),
        driver=" ".join(filter(None, (told.get("driverName"), told.get("driverInfo")))),
        address=_address(section),
        heaps=_heaps(section),
    )


def _address(section: str) -> str | None:
    """The PCI address; its parts are printed as decimal numbers."""
    told = {key: int(value) for key, value in _PLACE.findall(section)}
    if len(told) < 4 or told["pciBus"] > 0xFF or told["pciDevice"] > 0x1F or told["pciFunction"] > 7:
        return None
    return f"{told['pciDomain']:04x}:{told['pciBus']:02x}:{told['pciDevice']:02x}.{told['pciFunction']}"


def _heaps(section: str) -> tuple[Heap, ...]:
    """The memory heaps. A budget of 0 is a driver that does not know."""
    start = section.find("memoryHeaps: count")
    end = section.find("memoryTypes: count", start)
    text = section[start : end if end >= 0 else len(section)] if start >= 0 else ""
    heaps = []
    for part in _HEAP.split(text)[1:]:
        sizes = {key: int(value) for key, value in _SIZE.findall(part)}
        if sizes.get("size"):
            heaps.append(Heap(sizes["size"], sizes.get("budget") or None, "MEMORY_HEAP_DEVICE_LOCAL_BIT" in part))
    return tuple(heaps)


def _number(text: str) -> int | None:
    """A number as printed: `0x10de`, `4318` or `0x10de (4318)`."""
    found = re.match(r"(0x[0-9a-fA-F]{1,8}|\d{1,10})\b", text)
    return int(found[1], 0) if found else None
