"""NVIDIA cards, through NVML in a child process that may hang or crash without harm."""

from collections.abc import Sequence

from planner.core.machines.devices import match_driver_name
from planner.core.machines.hardware import Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.building import build_device
from planner.probe.nvidia.answer import Answer, Card, Holder, Status, ask
from planner.probe.nvidia.cards import Context, Seen, look_at, unusable
from planner.probe.nvidia.jetson import board_device, board_name, board_spec
from planner.probe.nvidia.visible import choose
from planner.probe.pci.cards import NVIDIA, card_name, graphics_cards, pci_address
from planner.probe.surroundings import Finding, Surroundings
from planner.units import printable

_NO_DRIVER = frozenset({9, 12})
_INIT = {
    4: "the driver refuses access (no permission, or a container without the device nodes)",
    9: "the driver is not loaded",
    12: "the driver is not loaded, or its library libnvidia-ml is missing",
    13: "the driver's library is too old",
    15: "a GPU has fallen off the bus",
    17: "the operating system blocks the driver",
    18: "the driver was updated and its library no longer fits the loaded module: reboot",
}
_FIRST_PID_NAMESPACE = "pid:[4026531836]"
_LONGEST_NAME = 64


def probe_nvidia(
    here: Surroundings, specs: Sequence[DeviceSpec], *, host_memory_bytes: int | None, timeout_s: float = 3.0
) -> Finding:
    """The NVIDIA cards of this machine. Never fails: what cannot be had becomes a note, or a field that is None.

    Without driver library nothing is reported, unless the kernel shows a card; that card is then listed as not
    usable. `host_memory_bytes` is the memory of parts that have none of their own.
    """
    answer = ask(here, timeout_s)
    board = board_name(here)
    board_row = board_spec(here, specs, board, host_memory_bytes) if board is not None else None
    status = answer.status
    if status is None or status.error is not None or (status.count == 0 and not answer.ending):
        if board is not None:
            device, told = board_device(board, board_row, host_memory_bytes)
            devices, more = _choose(here, [Seen(Card(index=0), (device,))])
            return Finding(devices, (*told, *more), _drivers(status))
        return _without_cards(here, specs, answer)
    context = Context(specs, host_memory_bytes, lambda holder: process_name(here, holder), board_row)
    seen = [look_at(card, context) for card in in_pci_order(answer.cards)]
    notes = [note for one in seen for note in one.notes]
    if answer.ending:
        where = "" if answer.asking is None else f" at GPU {answer.asking}"
        notes.append(f"NVIDIA: {answer.ending}{where}; what was found before is kept.")
        seen += _untold(answer, status)
    devices, more = _choose(here, seen)
    return Finding(devices, (*notes, *more), _drivers(status))


def _choose(here: Surroundings, seen: Sequence[Seen]) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """What a program started from here sees of the cards."""
    return choose(seen, here.environ.get("CUDA_VISIBLE_DEVICES"), here.environ.get("CUDA_DEVICE_ORDER"))


def in_pci_order(cards: Sequence[Card]) -> list[Card]:
    """The cards as engines number them: those are started with `CUDA_DEVICE_ORDER=PCI_BUS_ID`.

    NVML's own order is the same in practice, but not promised. It is kept where a card has no address.
    """
    addresses = [pci_address(card.pci or "") for card in cards]
    keys = [tuple(int(part, 16) for part in address.replace(".", ":").split(":")) for address in addresses if address]
    if len(keys) < len(cards):
        return list(cards)
    return [card for _, card in sorted(zip(keys, cards, strict=True), key=lambda pair: pair[0])]


def process_name(here: Surroundings, holder: Holder) -> str:
    """What the system calls a process that holds memory, else what the driver does; empty if it cannot be known.

    In a container the driver's number may be the host's, and some other process have it here: a name counts only
    if that process has the driver's devices mapped.
    """
    try:
        namespace = str(here.path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = _FIRST_PID_NAMESPACE
    if namespace != _FIRST_PID_NAMESPACE and "nvidia" not in (here.read(f"/proc/{holder.pid}/maps") or ""):
        return ""
    told = here.read(f"/proc/{holder.pid}/comm") or (holder.name or "").replace("\\", "/").rpartition("/")[2]
    return " ".join(printable(told).split())[:_LONGEST_NAME]


def _untold(answer: Answer, status: Status) -> list[Seen]:
    """The cards nothing was told of before the driver stopped answering."""
    told = {card.index for card in answer.cards}
    missing = [index for index in range(min(status.count, 64)) if index not in told]
    return [
        Seen(
            Card(index=index),
            (
                unusable(
                    index,
                    "the driver stopped answering about it"
                    if index == answer.asking
                    else "the driver stopped answering before it told of it",
                ),
            ),
            opened=False,
        )
        for index in missing
    ]


def _drivers(status: Status | None) -> dict[str, str]:
    """Versions of the driver and of the newest CUDA it runs."""
    if status is None:
        return {}
    versions = {"nvidia": status.driver, "cuda": status.cuda}
    return {name: printable(version)[:40] for name, version in versions.items() if version}


def _without_cards(here: Surroundings, specs: Sequence[DeviceSpec], answer: Answer) -> Finding:
    """No NVML, or none of its cards: nothing to say on a machine without a card, else the card and the reason."""
    status = answer.status
    error = status.error if status is not None else None
    if status is not None and error is None:
        devices, notes = _listed_only(here, specs, "the driver shows no card to this process (a container?)")
        return Finding(tuple(devices), tuple(notes), _drivers(status if devices else None))
    if error is None:
        reason = answer.ending
    elif error.code == 0:
        reason = f"the binding to the driver (nvidia-ml-py) cannot be used ({printable(error.text or error.name)})"
    else:
        reason = _INIT.get(error.code, f"the driver reports {printable(error.name)}")
        reason = f"its library cannot be loaded ({printable(error.text)})" if error.text else reason
    absent = error is not None and error.code in _NO_DRIVER and not error.text
    devices, notes = _listed_only(here, specs, reason)
    if not devices and absent and here.path("/proc/driver/nvidia").is_dir():
        notes.append(f"NVIDIA: a driver is installed, but {reason}.")
    elif not devices and not absent:
        notes.append(f"NVIDIA: {reason}.")
    return Finding(tuple(devices), tuple(notes))


def _listed_only(here: Surroundings, specs: Sequence[DeviceSpec], reason: str) -> tuple[list[Device], list[str]]:
    """Cards the kernel lists but the driver does not offer: shown, never counted."""
    container = here.environ.get("NVIDIA_VISIBLE_DEVICES")
    if container is not None and container.strip() in {"", "void", "none"}:
        reason += f"; NVIDIA_VISIBLE_DEVICES={container.strip()} keeps GPUs out of this container"
    devices, notes = [], []
    for index, card in enumerate(graphics_cards(here, NVIDIA)):
        name = card_name(here, card) or f"NVIDIA device {card.device:04x}"
        devices.append(
            build_device(
                index=index,
                name=name,
                vendor=Vendor.NVIDIA,
                kind=DeviceKind.DISCRETE,
                spec=match_driver_name(name, specs, pci_id=f"{card.vendor:04x}:{card.device:04x}"),
                driver="PCI list",
                total_bytes=None,
                free_bytes=None,
                budget_bytes=None,
                pci_id=card.address,
                usable=False,
                note=f"visible but not usable here: {reason}",
            )
        )
        notes.append(f"{name} ({card.address or 'PCI'}) is in this machine, but {reason}; plan for it with --vram.")
    return devices, notes
