"""Graphics cards as the Linux kernel lists them: PCI address, ids, driver, and a name from the id databases."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.core.devices import match_driver_name
from planner.core.hardware import DeviceSpec
from planner.probe.surroundings import Surroundings

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ID_FILES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")


@dataclass(frozen=True)
class PciCard:
    """One graphics card. `address` is like `0000:01:00.0`, None if the kernel does not tell."""

    folder: Path
    vendor: int
    device: int
    revision: int | None
    address: str | None
    driver: str | None


def pci_address(text: str) -> str | None:
    """The usual short form of a PCI address: NVML pads the domain to eight digits. None if it is none."""
    address = text.strip().lower()
    if _ADDRESS.fullmatch(address) is None:
        return None
    domain, _, rest = address.partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def graphics_cards(here: Surroundings, vendor: int) -> tuple[PciCard, ...]:
    """That vendor's cards under `/sys/class/drm`, else display controllers on the PCI bus; in address order."""
    folders = [f / "device" for f in _children(here.path("/sys/class/drm")) if re.fullmatch(r"card\d+", f.name)]
    for folder in _children(here.path("/sys/bus/pci/devices")):
        kind = here.read_int(folder / "class", 16)
        if kind is not None and kind >> 16 == 0x03:
            folders.append(folder)
    cards: dict[str, PciCard] = {}
    for folder in folders:
        card = _card(here, folder)
        if card is not None and card.vendor == vendor:
            cards.setdefault(card.address or str(folder), card)
    return tuple(cards[key] for key in sorted(cards))


def _card(here: Surroundings, folder: Path) -> PciCard | None:
    """The card of a sysfs device folder; None for what is no PCI device."""
    vendor, device = here.read_int(folder / "vendor", 16), here.read_int(folder / "device", 16)
    if vendor is None or device is None:
        return None
    uevent = dict(re.findall(r"(?m)^(\w+)=(.*)$", here.read(folder / "uevent") or ""))
    address = pci_address(uevent.get("PCI_SLOT_NAME", ""))
    if address is None:
        try:
            address = pci_address(folder.resolve().name)
        except (OSError, RuntimeError):
            address = None
    return PciCard(folder, vendor, device, here.read_int(folder / "revision", 16), address, uevent.get("DRIVER"))


def _children(folder: Path) -> list[Path]:
    """Entries of a folder that may not be there."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def card_name(here: Surroundings, card: PciCard) -> str | None:
    """The name the kernel or an id database has for a card; of pci.ids, what stands in brackets.

    Several products often share an id: `Radeon RX 7900 XT/7900 XTX/7900M`.
    """
    if product := here.read(card.folder / "product_name"):
        return product
    if card.vendor == AMD and card.revision is not None:
        wanted = f"{card.device:04x},{card.revision:02x}"
        for line in (here.read("/usr/share/libdrm/amdgpu.ids") or "").splitlines():
            parts = [part.strip() for part in line.split(",", 2)]
            if len(parts) == 3 and f"{parts[0]},{parts[1]}".lower() == wanted:
                return parts[2]
    for path in _ID_FILES:
        if name := _pci_ids_name(here.path(path), card.vendor, card.device):
            return name
    return None


def _pci_ids_name(path: Path, vendor: int, device: int) -> str | None:
    """The device's line in a pci.ids file."""
    inside = False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if line[:1] not in "\t#\n":
                    if inside:
                        return None
                    inside = line.lower().startswith(f"{vendor:04x} ")
                elif inside and line.lower().startswith(f"\t{device:04x}  "):
                    name = line[7:].strip()
                    bracket = re.search(r"\[(.+)\]", name)
                    return bracket[1] if bracket else name
    except OSError:
        return None
    return None


def match_card(name: str, specs: Sequence[DeviceSpec], memory_bytes: int | None) -> DeviceSpec | None:
    """The data-sheet row of a card named by an id database; alternatives are told apart by memory, else None."""
    parts = [part.strip() for part in name.split("/") if part.strip()]
    if not parts:
        return None
    brand = re.match(r"\D*", parts[0])
    prefix = brand[0] if brand else ""
    found: dict[str, DeviceSpec] = {}
    for part in parts:
        full = prefix + part if part[0].isdigit() else part
        spec = match_driver_name(full, specs, memory_bytes)
        if spec is not None:
            found[spec.slug] = spec
    matches = list(found.values())
    if memory_bytes and len(matches) > 1:
        gib = memory_bytes / 2**30
        matches = [s for s in matches if s.memory_gib is not None and abs(s.memory_gib - gib) <= 0.12 * s.memory_gib]
    if len({(s.memory_bandwidth_gbps, s.kind) for s in matches}) != 1:
        return None
    return matches[0]
