"""Whether a card that the kernel shows can be opened here: containers show all cards and hand over few.

Vulkan opens the card's render node in `/dev/dri`, ROCm that and `/dev/kfd`.
"""

from dataclasses import dataclass
from pathlib import Path

from planner.probe.surroundings import Surroundings

_FOREIGN = {
    "vfio-pci": "handed to a virtual machine (driver vfio-pci)",
    "pci-stub": "set aside for a virtual machine (driver pci-stub)",
    "xen-pciback": "handed to a virtual machine (driver xen-pciback)",
}


@dataclass(frozen=True)
class Access:
    """Why a card cannot be opened through its render node, or ROCm's device; empty if it can or nothing is known."""

    render: str = ""
    kfd: str = ""


def foreign_driver(driver: str | None) -> str:
    """Who has the card instead of a graphics driver; empty if nobody."""
    return _FOREIGN.get(driver or "", "")


def node_access(here: Surroundings, render_node: str | None) -> Access:
    """What of a card's device nodes can be opened.

    A tree without `/dev` (a recording of `/sys`) tells nothing, so nothing is held against the card. A folder
    `/dev/dri` tells of render nodes; that `/dev/kfd` is missing counts only in a `/dev` with what every one has.
    """
    live = here.path("/dev/null").exists()
    render = ""
    if live or here.path("/dev/dri").is_dir():
        render = _problem(here, f"/dev/dri/{render_node}" if render_node else "/dev/dri")
    kfd = here.path("/dev/kfd")
    return Access(render, _problem(here, "/dev/kfd") if live or kfd.exists() else "")


def _problem(here: Surroundings, node: str) -> str:
    """Why a device node cannot be opened, and what to do."""
    path = here.path(node)
    if not path.exists():
        if in_container(here):
            return f"{node} is not in this container (start it with --device {_given(node)})"
        return f"{node} is missing (the driver has not made it)"
    if not path.is_dir() and not here.can_open(path):
        group = "run it with --group-add of the node's group" if in_container(here) else "join the group render"
        return f"no permission to open {node} ({group})"
    return ""


def _given(node: str) -> str:
    """What to hand to a container: all of `/dev/dri`, whose numbers change."""
    return "/dev/dri" if node.startswith("/dev/dri") else node


def in_container(here: Surroundings) -> bool:
    """Whether this process runs in a container, as far as the usual marks tell."""
    marks: tuple[Path, ...] = (
        here.path("/.dockerenv"),
        here.path("/run/.containerenv"),
        here.path("/run/systemd/container"),
    )
    return any(mark.exists() for mark in marks) or "KUBERNETES_SERVICE_HOST" in here.environ
