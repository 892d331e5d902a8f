"""What a device name says, whoever printed it: NVML, system_profiler, PCI ids, Vulkan, a shop or a person.

Names are compared whole after normalising, never by substring: "RTX A1000" is no "A100", "M40" is no "M4".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from planner.core.machines.hardware import DeviceSpec, Vendor

_MARKS = re.compile(r"\((?:tm|r|c)\)|[™®©]")
_DRIVER_TAIL = re.compile(
    r"\((?:radv|llvm|nvgpu|nvk|aco|rev|dg1|dg2|bmg|ptl|lnl|arl|mtl|tgl|adl|rpl|rkl|icl)\b[^)]*\)"
)
_GFX_TARGET = re.compile(r"\bgfx[0-9a-f]{3,4}\b")
_COMPUTER = re.compile(r"\b(?:macbook(?:\s?(?:pro|air|neo))?|mac\s?(?:mini|studio|pro)|imac)\b")
_SHORT_SUPER = re.compile(
    r"\b((?:rtx|gtx)\s?\d{4}|16[56]0|20[678]0|40[78]0)\s?s\b(\s?ti\b)?"
)  # a bare number only of cards with a Super: the Radeon RX 6700S is another thing
_REWRITINGS = (
    ("(", _MARKS, " "),
    ("™", _MARKS, " "),
    ("®", _MARKS, " "),
    ("©", _MARKS, " "),
    ("(", _DRIVER_TAIL, " "),
    ("mac", _COMPUTER, " "),
    ("s", _SHORT_SUPER, lambda m: f"{m[1]}{m[2] or ''} super"),
    ("q rtx", re.compile(r"\bq rtx\b"), "quadro rtx"),
    ("max", re.compile(r"\bmax[\s-]?q\b"), "maxq"),
    ("pci", re.compile(r"\bpci[\s-]?(?:e|express)\b"), "pcie"),
)
"""What a name must hold for a pattern to find anything, the pattern, and what stands there instead."""
_MEMORY = re.compile(r"(?<![a-z0-9.])(\d{1,4}(?:\.\d{1,3})?)\s?-?(?:gib|gb|g)\b(?!\s*/)")
_APPLE_CHIP = re.compile(r"\bm\d{1,2}\b")
_CORES = re.compile(r"\b(\d{1,3})\s?-?(?:cores?|c)\b(?:\s?-?gpu)?")
_MEMORY_KIND = re.compile(r"g?ddr\dx?$")
_TOKEN = re.compile(r"[a-z0-9.+]+")

_NOISE = frozenset({
    "nvidia", "geforce", "corporation", "corp", "inc", "advanced", "micro", "devices", "amd", "ati", "radeon",
    "instinct", "intel", "apple", "tesla", "graphics", "graphic", "gpu", "card", "with", "w", "design",
    "generation", "gen", "edition", "workstation", "the", "vram", "ram", "memory", "oam", "high", "freq",
    "nvlink", "series", "mesa", "lite", "hash", "rate", "hbm2", "hbm2e", "hbm3", "hbm3e",
})  # fmt: skip
_VENDORS = {
    "nvidia": Vendor.NVIDIA, "geforce": Vendor.NVIDIA, "tesla": Vendor.NVIDIA, "jetson": Vendor.NVIDIA,
    "amd": Vendor.AMD, "ati": Vendor.AMD, "radeon": Vendor.AMD, "instinct": Vendor.AMD,
    "intel": Vendor.INTEL, "apple": Vendor.APPLE,
}  # fmt: skip
_SYNONYMS = {"mobile": "laptop", "notebook": "laptop", "pcie": "pcie", "pci": "pcie", "sxm1": "sxm"}
_QUALIFIERS = frozenset({
    "laptop", "maxq", "pcie", "sxm", "sxm2", "sxm3", "sxm4", "sxm5", "sxm6", "nvl", "server", "sff", "dgxs",
    "fhhl", "quadro",
})  # fmt: skip
_LOOSE = _QUALIFIERS - {"laptop", "maxq", "sff"}
_LOOSE_TAILS = ("blackwell", "ada")
_BRANDS = ("rtx", "gtx", "rx", "arcpro", "arc", "pro", "jetson", "datacenter")


@dataclass(frozen=True)
class Reading:
    """A name taken apart. `base` is what is left of it, run together; memory in GiB; `cores` on Apple only.

    `vendor` is known where the name says it: GeForce 840M and Radeon 840M are two devices.
    """

    base: str
    qualifiers: frozenset[str]
    memory_gib: float | None
    cores: int | None
    last_number: int | None = None
    vendor: Vendor | None = None

    @property
    def key(self) -> tuple[str, frozenset[str]]:
        """The name without memory and core count."""
        return self.base, self.qualifiers

    @property
    def family(self) -> tuple[str, frozenset[str]]:
        """The key without form factor and chip generation, for people who leave them out."""
        base = self.base
        for tail in _LOOSE_TAILS:
            if len(base) > len(tail) and base.endswith(tail):
                base = base.removesuffix(tail)
        return base, self.qualifiers - _LOOSE

    @property
    def short(self) -> tuple[str, frozenset[str]]:
        """The family without RTX, GTX, RX, Arc or the like in front."""
        base, qualifiers = self.family
        return _unbranded(base), qualifiers

    @property
    def unbranded(self) -> tuple[str, frozenset[str]]:
        """The key without the brand in front: `6000 Ada`."""
        return _unbranded(self.base), self.qualifiers


def _unbranded(base: str) -> str:
    """What is left of a name without the brand it begins with."""
    for brand in _BRANDS:
        if base.startswith(brand) and len(base) > len(brand):
            return base.removeprefix(brand)
    return base


def bracketed(text: str) -> str:
    """`Navi 31 [Radeon RX 7900 XT/7900 XTX]` → what stands in the last brackets, as PCI lists have it; else all."""
    if "[" not in text:
        return text
    inside = re.findall(r"\[([^\[\]]+)\]", text)
    return inside[-1] if inside and inside[-1] != "AMD/ATI" else text


def alternatives(text: str) -> tuple[str, ...]:
    """The names a PCI list runs together: `Radeon RX 7900 XT/7900 XTX`, `GeForce RTX 3070 Mobile / Max-Q`."""
    parts = [part.strip() for part in bracketed(text).split("/")]
    before_digits = re.match(r"\D*", parts[0])
    brand = before_digits[0] if before_digits else ""
    stem = re.sub(r"\s*\b(?:Mobile|Max-Q|Laptop GPU|\d+GB)\b.*", "", parts[0])
    names = [parts[0]]
    for part in parts[1:]:
        if re.match(r"(?:Mobile|Max-Q|\d+GB)\b", part):
            names.append(f"{stem} {part}")
        elif part[:1].isdigit():
            names.append(brand + part)
        elif re.match(r"(?:Radeon|GeForce|RTX|Arc|Quadro|Tesla|Instinct)\b", part):
            names.append(part)
        else:
            names.append(f"{brand.split(' ')[0]} {part}")
    return tuple(name for name in names if name.strip())


@lru_cache(maxsize=4096)
def read_name(text: str) -> Reading:
    """Take a name apart. Never fails: nonsense becomes a reading nothing matches."""
    name = bracketed(text[:200]).lower().replace("_", " ")
    for needed, pattern, instead in _REWRITINGS:
        # A table of devices is a thousand names: what is not there is not searched for with a pattern.
        if needed in name:
            name = pattern.sub(instead, name)
    cores = None
    if "m" in name and _APPLE_CHIP.search(name) and (found := _CORES.search(name)):
        cores = int(found[1])
        name = name.replace(found[0], " ", 1)
    memory = None
    if matches := list(_MEMORY.finditer(name)):
        memory = float(matches[-1][1]) or None
        name = name[: matches[-1].start()] + " " + name[matches[-1].end() :]
    base: list[str] = []
    qualifiers: set[str] = set()
    vendors: set[Vendor] = set()
    for raw in _TOKEN.findall(name):
        token = _SYNONYMS.get(raw, raw)
        if token in _VENDORS:
            vendors.add(_VENDORS[token])
        if token in _QUALIFIERS:
            qualifiers.add(token)
        elif token not in _NOISE:
            base.append(token)
    if not base and (target := _GFX_TARGET.search(text.lower())):
        base.append(target[0])  # "AMD Radeon Graphics (RADV GFX1151)": no more than this is said
    last = base[-1] if base else ""
    number = int(last) if len(base) > 1 and last.isascii() and last.isdigit() and len(last) <= 3 else None
    vendor = vendors.pop() if len(vendors) == 1 else None
    return Reading("".join(base), frozenset(qualifiers), memory, cores, number, vendor)


def trailing_number_readings(reading: Reading) -> tuple[Reading, ...]:
    """`m2 ultra 76`, `a100 80`: the same reading with its last bare number taken as cores, then as memory."""
    if reading.last_number is None:
        return ()
    bare = replace(reading, base=reading.base.removesuffix(str(reading.last_number)), last_number=None)
    readings = []
    if reading.cores is None:
        readings.append(replace(bare, cores=reading.last_number))
    if reading.memory_gib is None:
        readings.append(replace(bare, memory_gib=float(reading.last_number)))
    return tuple(readings)


def without_memory_kind(reading: Reading) -> tuple[Reading, ...]:
    """`RTX 4090 24 GB GDDR6X`: the same reading without the kind of memory, which shops add; few rows have it."""
    base = _MEMORY_KIND.sub("", reading.base)
    return (replace(reading, base=base),) if base != reading.base else ()


def same_memory(left_gib: float, right_gib: float, tolerance: float) -> bool:
    """Whether two sizes are the same card: labels, firmware reserves and ECC differ by a few percent."""
    return abs(left_gib - right_gib) <= tolerance * max(left_gib, right_gib)


class NameIndex:
    """Every spelling of every device of a list, by how much of the name is given."""

    def __init__(self, specs: Iterable[DeviceSpec]) -> None:
        self.specs = tuple(specs)
        self._by_id: dict[str, list[DeviceSpec]] = {}
        self._levels: tuple[dict[tuple[str, frozenset[str]], list[tuple[Reading, DeviceSpec]]], ...] = ({}, {}, {})
        for spec in self.specs:
            for identity in spec.pci_ids:
                self._by_id.setdefault(identity, []).append(spec)
            for name in (spec.name, spec.slug.replace("-", " "), *spec.aliases):
                reading = read_name(name)
                spellings = ({reading.key}, {reading.family}, {reading.short, reading.unbranded})
                for level, keys in zip(self._levels, spellings, strict=True):
                    for key in keys:
                        if key[0]:
                            level.setdefault(key, []).append((reading, spec))

    def candidates(self, reading: Reading, *, loose: bool) -> tuple[DeviceSpec, ...]:
        """Devices of that name, by the strictest reading that finds any; more than one means ambiguous.

        A reading with memory or cores keeps only devices that have them. Where several are left, the one that
        is spelled exactly so is preferred. `loose` allows for names people shorten ("4090").
        """
        levels = self._levels if loose else self._levels[:2]
        for tolerance in (0.004, 0.06):
            for level in levels:
                entries = [(r, s) for r, s in level.get(reading.key, ()) if _agrees(reading, r, s, tolerance)]
                found = _distinct(s for _, s in entries)
                owners = _distinct(
                    s for r, s in entries if (r.memory_gib, r.cores) == (reading.memory_gib, reading.cores)
                )
                plain = _distinct(s for r, s in entries if r.memory_gib is None and r.cores is None)
                for choice in (found, owners, plain):
                    if len(choice) == 1:
                        return choice
                if found:
                    return found if reading.memory_gib is not None else self.siblings(reading)
        return ()

    def siblings(self, reading: Reading, *, loose: bool = True) -> tuple[DeviceSpec, ...]:
        """Every device of that name whatever its memory, cores and (where the name leaves it out) form factor."""
        levels = self._levels if loose else self._levels[:2]
        return _distinct(s for level in levels for _, s in level.get(reading.key, ()) if _same_vendor(reading, s))

    def with_pci_id(self, pci_id: str) -> tuple[DeviceSpec, ...]:
        """Devices of a PCI id, `vendor:device` or `vendor:device:revision`; the exact revision first."""
        device = pci_id[:9]
        return tuple(self._by_id.get(pci_id) or self._by_id.get(device) or ())

    def named(self, reading: Reading) -> tuple[DeviceSpec, ...]:
        """Like `siblings`, but only of the strictest reading that finds any: what a driver's full name can mean."""
        for level in self._levels[:2]:
            if found := _distinct(s for _, s in level.get(reading.key, ()) if _same_vendor(reading, s)):
                return found
        return ()


def _agrees(asked: Reading, spelled: Reading, spec: DeviceSpec, tolerance: float) -> bool:
    """Whether a spelling does not contradict the vendor, memory or cores asked for."""
    if not _same_vendor(asked, spec):
        return False
    if asked.cores is not None and asked.cores != spec.gpu_cores:
        return False
    if asked.memory_gib is None or spec.memory_gib is None or asked.memory_gib == spelled.memory_gib:
        return True
    return same_memory(asked.memory_gib, spec.memory_gib, tolerance)


def _same_vendor(asked: Reading, spec: DeviceSpec) -> bool:
    """Whether the vendor a name mentions, if any, is the device's."""
    return asked.vendor is None or asked.vendor is spec.vendor


def _distinct(specs: Iterable[DeviceSpec]) -> tuple[DeviceSpec, ...]:
    """In order, each once."""
    return tuple({spec.slug: spec for spec in specs}.values())


@lru_cache(maxsize=4)
def index_of(specs: tuple[DeviceSpec, ...]) -> NameIndex:
    """The index of a device list; made once per list."""
    return NameIndex(specs)
