"""What the child that asks NVML tells, as typed values, and how it ended."""

import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from planner.core.machines.hardware import PcieLink
from planner.probe.surroundings import Finished, Surroundings

_CHILD = Path(__file__).with_name("child.py")


class Failure(msgspec.Struct, frozen=True):
    """One failed call: NVML's code and its name; `text` is what the system said, if it did. Code 0 is not NVML's."""

    code: int = 0
    name: str = "UNKNOWN"
    text: str = ""


class Holder(msgspec.Struct, frozen=True):
    """A process that holds memory; the name is the driver's."""

    pid: int
    bytes: int | None = None
    name: str | None = None


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """A MIG instance. Memory in bytes; `slices` of the card's processors; the ids name it in old drivers' UUIDs."""

    name: str | None = None
    uuid: str | None = None
    gpu_instance: int | None = None
    compute_instance: int | None = None
    slices: int | None = None
    total: int | None = None
    free: int | None = None
    used: int | None = None
    failures: dict[str, Failure] = {}
    holders: tuple[Holder, ...] = ()


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A card as NVML tells it: memory in bytes, power in mW. `instances` is None unless the card is in MIG mode.

    `index` is NVML's number, `slots` how many MIG instances the card can be cut into.
    """

    index: int
    name: str | None = None
    uuid: str | None = None
    pci: str | None = None
    pci_id: str | None = None
    compute_capability: str | None = None
    total: int | None = None
    free: int | None = None
    used: int | None = None
    slots: int | None = None
    instances: tuple[Instance, ...] | None = None
    failures: dict[str, Failure] = {}
    link: PcieLink = PcieLink()
    power_limit_mw: int | None = None
    holders: tuple[Holder, ...] = ()


class Status(msgspec.Struct, frozen=True):
    """Whether the driver answers at all, with how many cards, and its versions."""

    error: Failure | None = None
    count: int = 0
    driver: str | None = None
    cuda: str | None = None


class _More(msgspec.Struct, frozen=True):
    """What is told of a card in the second round."""

    index: int
    failures: dict[str, Failure] = {}
    link: PcieLink = PcieLink()
    power_limit_mw: int | None = None
    holders: tuple[Holder, ...] = ()
    instances: tuple[tuple[Holder, ...], ...] = ()


class _Line(msgspec.Struct, frozen=True):
    """One line of the child's: one of these."""

    status: Status | None = None
    card: Card | None = None
    more: _More | None = None
    asking: int | None = None
    done: bool = False


class Answer(msgspec.Struct, frozen=True):
    """All the child told. `asking` is the card it asked about last; `ending` says what went wrong, if it did."""

    status: Status | None
    cards: tuple[Card, ...]
    asking: int | None
    ending: str


def ask(here: Surroundings, timeout_s: float) -> Answer:
    """Ask NVML in a child process, for at most so many seconds.

    The child is told where its modules are and leaves the interpreter's own search out, which is quicker. Where
    that does not work, e.g. in a Python that finds its library by a site file, it is started the ordinary way.
    """
    package = str(Path(__file__).resolve().parents[3])
    binding = folder_of_binding()
    extra = _library_path(here)
    finished = Finished(None, "")
    if binding is not None and _CHILD.is_file():
        finished = here.run([sys.executable, "-S", "-P", str(_CHILD), package, binding], timeout_s, extra)
    if not finished.output and not finished.timed_out and (finished.returncode or 1) > 0:
        path = os.pathsep.join(filter(None, [package, here.environ.get("PYTHONPATH", "")]))
        command = [sys.executable, "-P", "-m", "planner.probe.nvidia.child"]
        finished = here.run(command, timeout_s, {**extra, "PYTHONPATH": path})
    return read(finished, timeout_s)


def folder_of_binding(path: Sequence[str] | None = None) -> str | None:
    """Where the module `pynvml` lies, without importing it; None if that is no folder of the search path."""
    try:
        spec = importlib.machinery.PathFinder.find_spec("pynvml", path)
    except (ImportError, ValueError, OSError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    folder = Path(spec.origin).parent
    return str(folder.parent if spec.submodule_search_locations else folder)


def _library_path(here: Surroundings) -> dict[str, str]:
    """WSL keeps the driver's library where the loader does not look."""
    wsl = here.path("/usr/lib/wsl/lib")
    if not wsl.is_dir():
        return {}
    return {"LD_LIBRARY_PATH": ":".join(filter(None, [here.environ.get("LD_LIBRARY_PATH", ""), str(wsl)]))}


def read(finished: Finished, timeout_s: float) -> Answer:
    """The child's lines; a half-written or odd one is left out."""
    status: Status | None = None
    cards: dict[int, Card] = {}
    asking: int | None = None
    done = False
    decoder = msgspec.json.Decoder(_Line)
    for text in finished.output.splitlines():
        try:
            line = decoder.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            continue
        status = line.status or status
        asking = line.asking if line.asking is not None else asking
        done = done or line.done or (line.status is not None and line.status.error is not None)
        if line.card is not None:
            cards[line.card.index] = line.card
        if line.more is not None and line.more.index in cards:
            cards[line.more.index] = _with_more(cards[line.more.index], line.more)
    return Answer(status, tuple(cards.values()), asking, "" if done else _ending(finished, timeout_s))


def _with_more(card: Card, more: _More) -> Card:
    """The card with what the second round told."""
    instances = card.instances
    if instances is not None and len(more.instances) == len(instances):
        instances = tuple(
            msgspec.structs.replace(instance, holders=holders)
            for instance, holders in zip(instances, more.instances, strict=True)
        )
    return msgspec.structs.replace(
        card,
        failures={**card.failures, **more.failures},
        link=more.link,
        power_limit_mw=more.power_limit_mw,
        holders=more.holders,
        instances=instances,
    )


def _ending(finished: Finished, timeout_s: float) -> str:
    """How the child ended before it was done, in words."""
    if finished.timed_out:
        return f"the driver did not answer within {timeout_s:g} s"
    if finished.returncode is None:
        return f"the driver could not be asked ({finished.error})"
    if finished.returncode < 0:
        return f"the driver crashed the process that asked it (signal {-finished.returncode})"
    return "the driver's answer broke off"
