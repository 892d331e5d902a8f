"""Which data-sheet row a card is, from its PCI ids. Pure; needs no id database, which containers do not have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from planner.core.machines.device_names import alternatives, read_name
from planner.core.machines.devices import DRIVER_MEMORY_TOLERANCE, match_driver_name, same_speed
from planner.core.machines.hardware import DeviceSpec
from planner.probe.pci.cards import PciCard
from planner.units import GIB

_SHOWN = 3


@dataclass(frozen=True)
class Match:
    """The rows a card may be. `spec` stands for them, None if they differ in bandwidth by more than 3 %."""

    rows: tuple[DeviceSpec, ...] = ()
    spec: DeviceSpec | None = None

    @property
    def name(self) -> str | None:
        """The row's name; `A or B` where rows cannot be told apart and need not be."""
        return None if self.spec is None else self._any_of(self.rows or (self.spec,))

    @property
    def candidates(self) -> str:
        """The names of all rows it may be, for a message; empty if there are none."""
        return self._any_of(self.rows)

    def _any_of(self, rows: Sequence[DeviceSpec]) -> str:
        names = [row.name for row in rows]
        more = f" or {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return (", ".join(names[:_SHOWN]) + more) if more else " or ".join(names)


def match_card(
    card: PciCard,
    specs: Sequence[DeviceSpec],
    *,
    memory_bytes: int | None = None,
    window_bytes: int | None = None,
    names: Iterable[str] = (),
) -> Match:
    """The rows of a card: by ids and revision, then by ids; what is left is told apart by memory, then by name.

    `memory_bytes` is what the driver shows (12 % less than the label at most), `window_bytes` a memory window on
    the PCI bus, the next power of two. Of rows that tie the one that promises least is taken; a card whose ids are
    in no row is looked up by `names`, those a driver or an id database gives it.
    """
    names = tuple(names)
    rows = _of_ids(card, specs, memory_bytes)
    if not rows:
        spec = _by_name(names, specs, memory_bytes)
        return Match() if spec is None else Match((spec,), spec)
    if memory_bytes:
        rows = _of_memory(rows, memory_bytes) or rows
    elif window_bytes:
        rows = _of_window(rows, window_bytes) or rows
    for name in names if len(rows) > 1 else ():
        bases = {read_name(part).base for part in alternatives(name)}
        named = tuple(r for r in rows if any(read_name(n).base in bases for n in (r.name, *r.aliases)))
        if named:
            rows = named
            break
    rows = tuple(sorted(rows, key=lambda r: (r.memory_gib or 0, r.fp16_tflops or r.fp32_tflops or 0)))
    return Match(rows, same_speed(rows))


def _of_ids(card: PciCard, specs: Sequence[DeviceSpec], memory_bytes: int | None) -> tuple[DeviceSpec, ...]:
    """The rows with the card's revision, else without one. A revision of another memory size is not believed."""
    plain = f"{card.vendor:04x}:{card.device:04x}"
    of_device = tuple(s for s in specs if plain in s.pci_ids)
    revision = None if card.revision is None else f"{plain}:{card.revision:02x}"
    exact = tuple(s for s in specs if revision in s.pci_ids)
    if exact and memory_bytes and not _of_memory(exact, memory_bytes) and _of_memory(of_device, memory_bytes):
        return of_device
    return exact or of_device or tuple(s for s in specs if any(i.startswith(f"{plain}:") for i in s.pci_ids))


def _of_memory(rows: Sequence[DeviceSpec], memory_bytes: int) -> tuple[DeviceSpec, ...]:
    """The rows of about that size; shared memory has none."""
    gib = memory_bytes / GIB
    return tuple(
        r
        for r in rows
        if r.memory_gib is not None and abs(r.memory_gib - gib) <= DRIVER_MEMORY_TOLERANCE * r.memory_gib
    )


def _of_window(rows: Sequence[DeviceSpec], window_bytes: int) -> tuple[DeviceSpec, ...]:
    """The rows whose memory needs a window of that size: 12 GiB are shown through 16."""
    gib = window_bytes / GIB
    return tuple(r for r in rows if r.memory_gib is not None and gib / 2 < r.memory_gib <= gib)


def _by_name(names: Sequence[str], specs: Sequence[DeviceSpec], memory_bytes: int | None) -> DeviceSpec | None:
    """The row that a name says, memory deciding between products that a database runs together."""
    for name in names:
        found = {
            spec.slug: spec
            for part in alternatives(name)
            if (spec := match_driver_name(part, specs, memory_bytes)) is not None
        }
        rows = tuple(found.values())
        if memory_bytes and len(rows) > 1:
            rows = _of_memory(rows, memory_bytes) or rows
        if (spec := same_speed(rows)) is not None:
            return spec
    return None
