"""Speed and channels of the memory modules, as the firmware describes them (SMBIOS structure 17).

The table itself is for root alone; systemd's udev keeps a readable copy of the same fields since version 248.
Everything here comes from firmware that may be wrong or hostile: counts and offsets are checked against the bytes
that are there, and what is not sure stays unknown.
"""

import itertools
import re
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from planner.probe.surroundings import Surroundings

MAX_TABLE_BYTES = 1 << 20
MAX_MODULES = 512
_SYSTEM, _MEMORY_DEVICE, _END_OF_TABLE = 1, 17, 127

_KINDS = {
    0x02: "", 0x03: "DRAM", 0x07: "RAM", 0x0F: "SDRAM", 0x12: "DDR", 0x13: "DDR2", 0x14: "DDR2", 0x18: "DDR3",
    0x1A: "DDR4", 0x1B: "LPDDR", 0x1C: "LPDDR2", 0x1D: "LPDDR3", 0x1E: "LPDDR4", 0x20: "HBM", 0x21: "HBM2",
    0x22: "DDR5", 0x23: "LPDDR5", 0x24: "HBM3",
}  # fmt: skip
"""Memory types by their SMBIOS number; what is left out (flash, ROM, cache) is not main memory."""
_FORMS = {0x09: "DIMM", 0x0D: "SODIMM", 0x0F: "FB-DIMM", 0x11: "CAMM"}

_CHANNEL = re.compile(r"channel[\s_-]*([a-p]|\d{1,2})(?![a-z0-9])", re.IGNORECASE)
_DIMM_LETTER = re.compile(r"DIMM[\s_-]*(?:[PC]?\d[\s_-])?([A-P])[\s_-]?\d{0,2}$", re.IGNORECASE)
_SOCKET = re.compile(r"(?<![a-z])(?:P|CPU|PROC|NODE|SOCKET)[\s_-]*(\d{1,2})(?![0-9])", re.IGNORECASE)
_CONTROLLER = re.compile(r"(?<![a-z])(?:CONTROLLER|MC)[\s_-]*(\d{1,2})(?![0-9])", re.IGNORECASE)
_VIRTUAL = re.compile(
    r"QEMU|KVM|VMware|Xen|innotek|VirtualBox|Parallels|Bochs|Virtual Machine|Amazon EC2|Google Compute|OpenStack",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MemoryModule:
    """One populated slot. `speed_mts` is the configured speed, else the rated one; None where not told."""

    size_bytes: int | None
    kind: str = ""
    form: str = ""
    speed_mts: int | None = None
    locator: str = ""
    bank: str = ""
    width_bits: int | None = None


@dataclass(frozen=True)
class MemoryFacts:
    """What the modules add up to; bandwidth in GB/s is the peak of all channels together."""

    speed_mts: float | None = None
    channels: int | None = None
    bandwidth_gbps: float | None = None
    source: tuple[tuple[str, str], ...] = ()


def read_memory_modules(here: Surroundings, firmware: Callable[[], bytes] | None = None) -> MemoryFacts:
    """Speed, channels and peak bandwidth of the host's memory. Empty where not readable or in a virtual machine.

    `firmware` fetches the raw table on Windows. Never fails and never takes long: the table is bounded.
    """
    table = (firmware or _windows_table)() if here.platform == "win32" else _sysfs_table(here)
    modules = tuple(parse_table(table)) or tuple(parse_udev(here.read("/run/udev/data/+dmi:id") or ""))
    return add_up(modules) if modules and not _is_virtual(here, table) else MemoryFacts()


def add_up(modules: Sequence[MemoryModule]) -> MemoryFacts:
    """Speed of the slowest module, channels, and channels x width x speed. What is not sure is left out."""
    speeds = [m.speed_mts for m in modules]
    if not modules or any(speed is None for speed in speeds):
        return MemoryFacts()
    speed = min(s for s in speeds if s is not None)
    kinds = {m.kind for m in modules}
    kind = kinds.pop() if len(kinds) == 1 else ""
    plural = "module" if len(modules) == 1 else "modules"
    said = [("memory_speed_mts", f"{len(modules)} {kind} {plural}, as the firmware says".replace("  ", " "))]
    bits, how = _total_bits(modules)
    if not bits:
        return MemoryFacts(speed, source=tuple(said))
    gbps = round(bits / 8 * speed / 1000, 1)
    channels = bits // 64 if bits % 64 == 0 else None
    if channels is not None:
        said.append(("memory_channels", how))
    said.append(("memory_bandwidth_gbps", f"peak of {bits} bits at {speed} MT/s, by the firmware"))
    return MemoryFacts(speed, channels, gbps, tuple(said))


def _total_bits(modules: Sequence[MemoryModule]) -> tuple[int, str]:
    """Bits that all channels move at once and how they were counted; 0 where that is not sure.

    A channel of modules is 64 bits wide, on DDR5 as two halves.
    """
    if any(m.kind.startswith("LPDDR") for m in modules):
        return _soldered_bits(modules), "soldered channels, by name and width"
    keys = [_channel_key(m) for m in modules]
    if any(m.kind.startswith("HBM") for m in modules):
        return 0, ""
    if None not in keys:
        return 64 * len(set(keys)), "channel names of the modules"
    if len(modules) == 1:
        return 64, "there is one module"
    if len(modules) == 2 and keys == [None, None]:
        return 128, "two modules, which belong into different channels"
    return 0, ""


def _soldered_bits(modules: Sequence[MemoryModule]) -> int:
    """LPDDR is listed by channel with its own width; 0 where a name is missing, twice there, or a width odd."""
    widths = {_channel_key(m): m.width_bits for m in modules}
    if None in widths or len(widths) < len(modules):
        return 0
    known = [width for width in widths.values() if width in (16, 32, 64)]
    return sum(known) if len(known) == len(modules) else 0


def _channel_key(module: MemoryModule) -> tuple[str, str, str] | None:
    """(socket, controller, channel) from a slot's names; None where no channel is named.

    A letter alone (`A1`) is the processor on some servers, so it does not count.
    """
    text = f"{module.locator} {module.bank}"
    channel = _CHANNEL.search(text)
    letter = channel or _DIMM_LETTER.search(module.locator.strip())
    if letter is None:
        return None
    socket, controller = _SOCKET.search(text), _CONTROLLER.search(text)
    return (socket[1] if socket else "", controller[1] if controller else "", letter[1].upper())


def parse_table(table: bytes) -> Iterator[MemoryModule]:
    """The populated modules of a raw SMBIOS table. Stops where the bytes make no sense."""
    found = (
        _module(fixed, strings)
        for kind, fixed, strings in _structures(table)
        if kind == _MEMORY_DEVICE and len(fixed) >= 0x15
    )
    return itertools.islice((module for module in found if module is not None), MAX_MODULES)


def _structures(table: bytes) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """(type, fixed part, strings) of each structure whose end is in the table."""
    table = table[:MAX_TABLE_BYTES]
    position = 0
    while position + 4 <= len(table):
        kind, length = table[position], table[position + 1]
        end = table.find(b"\0\0", position + length)
        if length < 4 or kind == _END_OF_TABLE or end < 0:
            return
        yield kind, table[position : position + length], table[position + length : end].split(b"\0")
        position = end + 2


def _module(fixed: bytes, strings: Sequence[bytes]) -> MemoryModule | None:
    """One structure; None for an empty slot and for what is not main memory."""

    def number(offset: int, form: str = "<H") -> int:
        return int(struct.unpack_from(form, fixed, offset)[0]) if offset + struct.calcsize(form) <= len(fixed) else 0

    def text(offset: int) -> str:
        index = fixed[offset]
        return strings[index - 1].decode("ascii", "replace").strip()[:64] if 0 < index <= len(strings) else ""

    code = number(0x0C)
    size: int | None = (code & 0x7FFF) << (10 if code & 0x8000 else 20)
    if code == 0x7FFF:
        size = (number(0x1C, "<I") & 0x7FFFFFFF) << 20
    elif code == 0xFFFF:
        size = None
    if size == 0 or fixed[0x12] not in _KINDS:
        return None
    speeds = [
        number(long, "<I") & 0x7FFFFFFF if number(short) == 0xFFFF else number(short)
        for short, long in ((0x20, 0x58), (0x15, 0x54))
    ]
    return MemoryModule(
        size_bytes=size,
        kind=_KINDS[fixed[0x12]],
        form=_FORMS.get(fixed[0x0E], ""),
        speed_mts=_speed(speeds),
        locator=text(0x10),
        bank=text(0x11),
        width_bits=number(0x0A) or None,
    )


def parse_udev(database: str) -> Iterator[MemoryModule]:
    """The populated modules of udev's database entry: `E:MEMORY_DEVICE_0_SIZE=8589934592` and so on."""
    slots: dict[str, dict[str, str]] = {}
    for number, field, value in re.findall(r"(?m)^E:MEMORY_DEVICE_([0-9]{1,3})_([A-Z_]+)=(.*)$", database):
        slots.setdefault(number, {})[field] = value

    def whole(text: str | None) -> int:
        return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else 0

    for slot in list(slots.values())[:MAX_MODULES]:
        kind = slot.get("TYPE", "")
        known = kind in _KINDS.values() or kind.startswith(("<", "Unknown"))
        if slot.get("PRESENT") == "0" or not known or whole(slot.get("SIZE")) == 0:
            continue
        yield MemoryModule(
            size_bytes=whole(slot.get("SIZE")),
            kind=kind if kind in _KINDS.values() else "",
            form=slot.get("FORM_FACTOR", ""),
            speed_mts=_speed([whole(slot.get(name)) for name in ("CONFIGURED_SPEED_MTS", "SPEED_MTS")]),
            locator=slot.get("LOCATOR", "")[:64],
            bank=slot.get("BANK_LOCATOR", "")[:64],
            width_bits=whole(slot.get("DATA_WIDTH")) or None,
        )


def _speed(candidates: Sequence[int]) -> int | None:
    """The first speed that memory can have, in MT/s."""
    return next((speed for speed in candidates if 100 <= speed <= 30_000), None)


def _is_virtual(here: Surroundings, table: bytes) -> bool:
    """Whether the firmware is a hypervisor's, which describes memory that does not exist."""
    names = [here.read(f"/sys/class/dmi/id/{name}") or "" for name in ("sys_vendor", "product_name")]
    for kind, _, strings in _structures(table):
        if kind == _SYSTEM:
            names += [text.decode("ascii", "replace") for text in strings]
    if any(_VIRTUAL.search(name) for name in names):
        return True
    flags = re.search(r"(?m)^flags\s*:(.*)$", here.read("/proc/cpuinfo") or "")
    return flags is not None and "hypervisor" in flags[1].split()


def _sysfs_table(here: Surroundings) -> bytes:
    """The raw table; empty for anybody but root."""
    try:
        with here.path("/sys/firmware/dmi/tables/DMI").open("rb") as file:
            return file.read(MAX_TABLE_BYTES)
    except OSError:
        return b""


def _windows_table() -> bytes:
    """The raw table as Windows gives it to everybody, less its own header of eight bytes."""
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415  # here alone

        try:
            ask = ctypes.windll.kernel32.GetSystemFirmwareTable
            provider = int.from_bytes(b"RSMB", "big")
            buffer = ctypes.create_string_buffer(max(8, min(ask(provider, 0, None, 0), MAX_TABLE_BYTES)))
            written = ask(provider, 0, buffer, len(buffer))
        except (OSError, AttributeError):
            return b""
        return buffer.raw[8 : min(written, len(buffer))]
    return b""
