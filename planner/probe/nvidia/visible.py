"""Which of the cards a program gets to see, and what it calls them: CUDA_VISIBLE_DEVICES and MIG."""

import re
from collections.abc import Sequence

import msgspec

from planner.core.machines.hardware import Device
from planner.probe.nvidia.answer import Instance
from planner.probe.nvidia.cards import Seen
from planner.units import printable

VARIABLE = "CUDA_VISIBLE_DEVICES"

_NUMBER = r"\+?(\d{1,4})(?!\d)"
_OLD_MIG = r"mig-(gpu-[^/]+)/(\d{1,4})/(\d{1,4})"

Place = tuple[int, int]
"""A device: the position of its card and its own among the card's."""


class Choice(msgspec.Struct, frozen=True):
    """What a program sees, in its order, and why it is not more."""

    places: tuple[Place, ...]
    notes: tuple[str, ...] = ()


def choose(
    seen: Sequence[Seen], value: str | None, order: str | None = None
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices with the numbers an engine gives them, the ones it cannot see not usable; and what to know.

    `value` is CUDA_VISIBLE_DEVICES, `order` CUDA_DEVICE_ORDER. CUDA counts from 0 what it sees, in the order of the
    variable, else in PCI order. Of all MIG instances it shows a program one, and no whole card beside it. Unset,
    the instance with the most free memory is planned for, though CUDA by itself takes the first: the note says how
    to have it.
    """
    choice = _unasked(seen) if value is None else _asked(seen, value)
    everything = [(i, k) for i, one in enumerate(seen) for k in range(len(one.devices))]
    broken = [place for place in everything if not seen[place[0]].opened]
    hidden = [place for place in everything if place not in choice.places and place not in broken]
    ids = _ids(seen, choice.places, [*hidden, *broken])
    devices = {}
    for place in everything:
        device = seen[place[0]].devices[place[1]]
        if place in hidden and device.usable:
            note = _why_hidden(seen, place, choice, value)
            source = {field: how for field, how in device.source.items() if field != "memory_budget_bytes"}
            device = msgspec.structs.replace(device, usable=False, memory_budget_bytes=None, note=note, source=source)
        devices[place] = msgspec.structs.replace(device, id=ids[place])
    notes = list(choice.notes)
    unlike = len({device.slug for device in devices.values()}) > 1
    if value is not None and re.match(_NUMBER, value.strip()) and unlike and order != "PCI_BUS_ID":
        notes.append("Its numbers are read in PCI order, and engines are started with CUDA_DEVICE_ORDER=PCI_BUS_ID.")
    listed = everything if value is None else [*choice.places, *hidden, *broken]
    return tuple(devices[place] for place in listed), tuple(notes)


def _ids(seen: Sequence[Seen], shown: Sequence[Place], rest: Sequence[Place]) -> dict[Place, str]:
    """Engine's numbers for what it sees, then on for the rest; unseen instances after the number of their card."""
    ids = {place: f"cuda:{number}" for number, place in enumerate(shown)}
    cards = {place[0]: number for number, place in enumerate(shown)}
    for place in rest:
        card = cards.setdefault(place[0], len(cards))
        ids[place] = f"cuda:{card}/mig{place[1]}" if seen[place[0]].card.instances else f"cuda:{card}"
    return ids


def _places(seen: Sequence[Seen], position: int) -> list[Place]:
    """What a card shows when it is asked for by itself."""
    one = seen[position]
    if not one.opened or one.card.instances == ():
        return []
    return [(position, k) for k in range(len(one.devices))]


def _unasked(seen: Sequence[Seen]) -> Choice:
    """What a program sees without the variable."""
    everything = [place for position in range(len(seen)) for place in _places(seen, position)]
    instances = [place for place in everything if seen[place[0]].cut]
    if not instances:
        return Choice(tuple(everything))
    best = max(instances, key=lambda place: (_room(seen, place), -place[0], -place[1]))
    cards = ", ".join(
        f"{len(one.devices)} of GPU {one.card.index}" for one in seen if one.opened and one.card.instances
    )
    alone = len(instances) == 1
    text = ("There is 1 MIG instance" if alone else f"There are {len(instances)} MIG instances") + f" ({cards}); "
    text += "a process can use " + ("it" if alone else "one of them")
    text += " and no whole card beside it" if len(everything) > len(instances) else ""
    if _room(seen, best) >= 0:
        text += f": {seen[best[0]].devices[best[1]].name} is planned for"
        text += "" if alone else ", the one with the most free memory"
        uuid = printable(_instance(seen, best).uuid or "")
        text += f". Set {VARIABLE}={uuid} to have engines use it too" if uuid and best != instances[0] else ""
    notes = [text + "."]
    if len(everything) > len(instances):
        whole = ",".join(str(number) for number, p in enumerate(_opened(seen)) if not seen[p].cut)
        notes.append(f"To use the whole cards instead, set {VARIABLE}={whole}.")
    return Choice((best,), tuple(notes))


def _asked(seen: Sequence[Seen], value: str) -> Choice:
    """What a program sees with the variable: the first entry that names nothing ends the list, a double voids it."""
    shown: list[Place] = []
    picked: list[Place | int] = []
    odd = ""
    for raw in value.split(","):
        found = _named(seen, raw.strip())
        if found is None:
            if raw.strip() not in {"", "-1", "NoDevFiles"}:
                odd = f" “{printable(raw.strip())[:80]}” names none of them, which ends the list."
            break
        if found in picked:
            shown, odd = [], f" “{printable(raw.strip())[:80]}” is there twice, and CUDA then shows none."
            break
        picked.append(found)
        shown.extend(_places(seen, found) if isinstance(found, int) else [found])
    instances = [place for place in shown if seen[place[0]].cut]
    text = f"{VARIABLE}={printable(value)} is set: "
    if instances:
        shown = instances[:1]
        text += f"a process sees one MIG instance, {seen[shown[0][0]].devices[shown[0][1]].name}."
    else:
        text += f"{len(shown)} of {len(seen)} GPUs are used."
        odd += "" if shown else f" Unset {VARIABLE} to use them."
    return Choice(tuple(shown), (text + odd,))


def _named(seen: Sequence[Seen], entry: str) -> Place | int | None:
    """What an entry names: an instance, the position of a card, or nothing.

    CUDA reads numbers like C does, so `1x` is 1, and takes beginnings of UUIDs that are the beginning of one only.
    """
    if number := re.match(_NUMBER, entry):
        opened = _opened(seen)
        return opened[int(number[1])] if int(number[1]) < len(opened) else None
    wanted = entry.lower()
    if old := re.fullmatch(_OLD_MIG, wanted):
        found: list[Place | int] = [
            (i, k)
            for i in _opened(seen)
            if (seen[i].card.uuid or "").lower().startswith(old[1])
            for k, instance in enumerate(seen[i].card.instances or ())
            if (instance.gpu_instance, instance.compute_instance) == (int(old[2]), int(old[3]))
        ]
    elif wanted.startswith("mig-"):
        found = [
            (i, k)
            for i in _opened(seen)
            for k, instance in enumerate(seen[i].card.instances or ())
            if (instance.uuid or "").lower().startswith(wanted)
        ]
    else:
        found = [i for i in _opened(seen) if wanted and (seen[i].card.uuid or "").lower().startswith(wanted)]
    return found[0] if len(found) == 1 else None


def _opened(seen: Sequence[Seen]) -> list[int]:
    """The positions of the cards CUDA can open, which are the ones it numbers."""
    return [i for i, one in enumerate(seen) if one.opened]


def _instance(seen: Sequence[Seen], place: Place) -> Instance:
    """The instance at a place."""
    return (seen[place[0]].card.instances or ())[place[1]]


def _room(seen: Sequence[Seen], place: Place) -> int:
    """Free memory in bytes, -1 if nothing can be used."""
    device = seen[place[0]].devices[place[1]]
    return (device.memory_budget_bytes or 0) if device.usable else -1


def _why_hidden(seen: Sequence[Seen], place: Place, choice: Choice, value: str | None) -> str:
    """Why a sound device is not seen."""
    beside_instance = any(seen[shown[0]].cut for shown in choice.places)
    if not seen[place[0]].cut:
        if beside_instance and value is None:
            return "not seen by a process that sees a MIG instance"
        return f"hidden by {VARIABLE}"
    uuid = printable(_instance(seen, place).uuid or "")
    how = f"; {VARIABLE}={uuid} selects this one" if uuid else ""
    if not beside_instance:
        return f"MIG instance hidden by {VARIABLE}{how}"
    same = any(shown[0] == place[0] for shown in choice.places)
    return f"another MIG instance{' of the same card' if same else ''} is used{how}"
