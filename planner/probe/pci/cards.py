"""Graphics cards as the Linux kernel lists them: PCI address, ids, driver, and a name from the id databases."""

import re
from dataclasses import dataclass
from pathlib import Path

from planner.probe.surroundings import Surroundings

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_ID_FILES = ("/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids", "/usr/share/pci.ids")
_DISPLAY_CLASS, _ACCELERATOR_CLASS = 0x03, 0x12


@dataclass(frozen=True)
class PciCard:
    """One graphics card. `address` is like `0000:01:00.0`, None if the kernel does not tell.

    `folder` is the PCI device's, `drm` the card's own (`/sys/class/drm/card0`; None if no display driver has it),
    `render_node` the name of what programs open (`renderD128`).
    """

    folder: Path
    vendor: int
    device: int
    revision: int | None
    address: str | None
    driver: str | None
    drm: Path | None = None
    render_node: str | None = None


def pci_address(text: str) -> str | None:
    """The usual short form of a PCI address: NVML pads the domain to eight digits. None if it is none."""
    address = text.strip().lower()
    if _ADDRESS.fullmatch(address) is None:
        return None
    domain, _, rest = address.partition(":")
    return f"{int(domain, 16):04x}:{rest}"


def graphics_cards(here: Surroundings, vendor: int) -> tuple[PciCard, ...]:
    """That vendor's cards under `/sys/class/drm`, else display controllers on the PCI bus; in address order.

    Virtual functions of a card that is listed itself are left out: they are parts of it, for virtual machines.
    """
    drm = [f for f in children(here.path("/sys/class/drm")) if re.fullmatch(r"card\d+", f.name)]
    places: list[tuple[Path, Path | None]] = [(f / "device", f) for f in drm]
    # AMD's Instincts are accelerators; Intel's accelerators are no GPUs.
    wanted = {_DISPLAY_CLASS, _ACCELERATOR_CLASS} if vendor == AMD else {_DISPLAY_CLASS}
    for folder in children(here.path("/sys/bus/pci/devices")):
        kind = here.read_int(folder / "class", 16)
        if kind is not None and kind >> 16 in wanted:
            places.append((folder, None))
    cards: dict[str, PciCard] = {}
    for folder, node in places:
        card = _card(here, folder, node)
        if card is not None and card.vendor == vendor and not _is_virtual_function(folder):
            cards.setdefault(card.address or str(folder), card)
    return tuple(cards[key] for key in sorted(cards))


def _card(here: Surroundings, folder: Path, drm: Path | None) -> PciCard | None:
    """The card of a sysfs device folder; None for what is no PCI device."""
    vendor, device = here.read_int(folder / "vendor", 16), here.read_int(folder / "device", 16)
    if vendor is None or device is None:
        return None
    uevent = dict(re.findall(r"(?m)^(\w+)=(.*)$", here.read(folder / "uevent") or ""))
    address = pci_address(uevent.get("PCI_SLOT_NAME", "")) or pci_address(_resolved(folder).name)
    driver = uevent.get("DRIVER") or (_resolved(folder / "driver").name if (folder / "driver").is_symlink() else None)
    revision = here.read_int(folder / "revision", 16)
    return PciCard(folder, vendor, device, revision, address, driver, drm, _render_node(here, folder))


def _render_node(here: Surroundings, folder: Path) -> str | None:
    """The name of the render node that belongs to a PCI device."""
    own = [f.name for f in children(folder / "drm") if re.fullmatch(r"renderD\d+", f.name)]
    if own:
        return own[0]
    for node in children(here.path("/sys/class/drm")):
        if node.name.startswith("renderD") and _resolved(node / "device") == _resolved(folder):
            return node.name
    return None


def _is_virtual_function(folder: Path) -> bool:
    """Whether a device is a part (SR-IOV) of another one on this machine."""
    return (folder / "physfn").is_symlink() or (folder / "physfn").exists()


def _resolved(path: Path) -> Path:
    """A path with its links followed; the path itself where they run in circles."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def children(folder: Path) -> list[Path]:
    """Entries of a folder that may not be there."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def card_name(here: Surroundings, card: PciCard) -> str | None:
    """The name the kernel or an id database has for a card; of pci.ids, what stands in brackets.

    Several products often share an id: `Radeon RX 7900 XT/7900 XTX/7900M`.
    """
    return product_name(here, card) or next(iter(listed_names(here, card)), None)


def product_name(here: Surroundings, card: PciCard) -> str | None:
    """What the card's own memory says it is; amdgpu shows it, for professional cards."""
    return here.read(card.folder / "product_name") or None


def listed_names(here: Surroundings, card: PciCard) -> tuple[str, ...]:
    """What the id databases of this system call a card, the more exact first; containers often have none."""
    names: list[str] = []
    if card.vendor == AMD and card.revision is not None:
        wanted = f"{card.device:04x},{card.revision:02x}"
        for line in (here.read("/usr/share/libdrm/amdgpu.ids") or "").splitlines():
            parts = [part.strip() for part in line.split(",", 2)]
            if len(parts) == 3 and f"{parts[0]},{parts[1]}".lower() == wanted:
                names.append(parts[2])
                break
    for path in _ID_FILES:
        if name := _pci_ids_name(here.path(path), card.vendor, card.device):
            names.append(name)
            break
    return tuple(names)


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
