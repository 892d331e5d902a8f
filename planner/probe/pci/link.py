"""The PCIe link of a card: generation and lanes, now and at most, from sysfs."""

import re
from pathlib import Path

from planner.core.machines.hardware import PcieLink
from planner.probe.pci.cards import PciCard, pci_address
from planner.probe.surroundings import Surroundings

_GENERATIONS = {"2.5": 1, "5": 2, "8": 3, "16": 4, "32": 5, "64": 6}
_BRIDGE_CLASS = 0x0604
_MOST_LANES = 32


def pcie_link(here: Surroundings, card: PciCard) -> PcieLink | None:
    """How a card is connected; None if nothing is known.

    Larger Radeon and Arc cards carry a PCIe switch of their own: the GPU then only tells of its link to that
    switch (an Arc always `2.5 GT/s`, one lane), and the slot's link is that of the switch's upper port.
    """
    folder = _upper_port(here, card) or card.folder
    link = PcieLink(
        generation=_generation(here.read(folder / "current_link_speed")),
        lanes=_lanes(here, folder / "current_link_width"),
        max_generation=_generation(here.read(folder / "max_link_speed")),
        max_lanes=_lanes(here, folder / "max_link_width"),
    )
    return None if link == PcieLink() else link


def _upper_port(here: Surroundings, card: PciCard) -> Path | None:
    """The upper port of the switch on the card: two bridges of the card's own maker above the GPU, below the root."""
    try:
        folder = card.folder.resolve()
    except (OSError, RuntimeError):
        return None
    lower, upper = folder.parent, folder.parent.parent
    # A root port's parent is the host bridge (pci0000:00), which has no address of this form.
    if pci_address(upper.parent.name) is None:
        return None
    for port in (lower, upper):
        kind = here.read_int(port / "class", 16)
        if kind is None or kind >> 8 != _BRIDGE_CLASS or here.read_int(port / "vendor", 16) != card.vendor:
            return None
    return upper


def _generation(speed: str | None) -> int | None:
    """`16.0 GT/s PCIe` → 4; None for `Unknown` and the like."""
    found = re.match(r"(\d+(?:\.\d+)?) GT/s", speed or "")
    return _GENERATIONS.get(found[1].removesuffix(".0")) if found else None


def _lanes(here: Surroundings, file: Path) -> int | None:
    """The width of a link; 0 and 63 or 255 stand for unknown."""
    lanes = here.read_int(file)
    return lanes if lanes is not None and 0 < lanes <= _MOST_LANES else None
