"""What would be recommended on another machine or for other wishes, beside what is for this machine."""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.core.machines.hardware import DeviceKind, DeviceSpec, Hardware
from planner.core.pairs.recommendation import Recommendation
from planner.errors import NoResultError, UsageError
from planner.tui.data.machine import Situation
from planner.tui.problem import Problem

if TYPE_CHECKING:  # what reads questions is needed when one is asked, and costs the start of the app
    from planner.core.machines.overrides import Overrides
    from planner.core.pairs.pair import Planner
    from planner.core.speed.calibration import Calibration
    from planner.tui.data.question import Question


@dataclass(frozen=True)
class Answer:
    """The plans for a question, the best one first, or the `problem` why there is none.

    `best_here` is what this machine would run with all of its memory, without any wish; None where nothing fits.
    `commands` answer the same on the command line.
    """

    question: "Question"
    plans: tuple[Recommendation, ...]
    best_here: Recommendation | None
    hardware: Hardware
    commands: tuple[str, ...]
    problem: Problem | None = None


class WhatIf:
    """Answers questions; the best plan of this machine is worked out once for all of them."""

    def __init__(self) -> None:
        self._known: dict[bool, Recommendation | None] = {}
        self._of: Situation | None = None
        self._last: tuple[Situation, Calibration, Hardware, Planner] | None = None

    def __call__(self, situation: Situation, question: "Question") -> Answer:
        """Answer it with all of the machine's memory: what others hold now is no property of it.

        A described machine is this one with what was changed, unless its GPU shares the host's memory: then it is
        another computer. Its speeds, and those of this machine beside it, come from the general constants alone.
        Raises FieldError for what cannot be.
        """
        from planner.core.memory.readings import at_capacity
        from planner.tui.data.question import commands, read

        overrides, workload = read(question)
        here = at_capacity(situation.hardware)
        speed, hardware, whole = situation.speed, here, False
        if question.described:
            catalog = situation.catalog
            speed = speed if catalog is None else catalog.speed
            hardware, whole = _described(situation.hardware, overrides, () if catalog is None else catalog.devices)
        plans: tuple[Recommendation, ...] = ()
        problem: Problem | None = None
        try:
            plans = self._planner(situation, hardware, speed).recommend(workload)
        except NoResultError as error:
            problem = Problem.of(error)
        best_here = self._best_here(situation, here, speed, described=question.described)
        return Answer(question, plans, best_here, hardware, commands(question, whole_machine=whole), problem)

    def _planner(self, situation: Situation, hardware: Hardware, speed: "Calibration") -> "Planner":
        """The one of the last question where that was about the same machine: it knows its files already."""
        from planner.core.pairs.pair import Planner

        last = self._last
        if last is None or last[0] is not situation or last[1] is not speed or last[2] != hardware:
            last = self._last = situation, speed, hardware, Planner(situation.models, hardware, calibration=speed)
        return last[3]

    def _best_here(
        self, situation: Situation, here: Hardware, speed: "Calibration", *, described: bool
    ) -> Recommendation | None:
        from planner.core.memory.workload import Workload
        from planner.core.pairs.pair import recommend

        if self._of is not situation:
            self._of, self._known = situation, {}
        if described not in self._known:
            best = None
            with contextlib.suppress(NoResultError):
                best = recommend(situation.models, here, Workload(limit=1), calibration=speed)[0]
            self._known[described] = best
        return self._known[described]


def _described(real: Hardware, overrides: "Overrides", specs: tuple[DeviceSpec, ...]) -> tuple[Hardware, bool]:
    """The machine, and whether nothing of this one went into it. Raises FieldError."""
    from planner.core.machines.overrides import virtual_hardware
    from planner.tui.data.question import FieldError

    try:
        if overrides.gpu is not None:
            alone = virtual_hardware(overrides, specs)
            if any(device.kind is DeviceKind.UNIFIED for device in alone.devices):
                return alone, True
        return virtual_hardware(overrides, specs, base=_as_saved(real, specs)), False
    except UsageError as error:
        field = "gpu" if overrides.gpu is not None else "vram" if overrides.vram else "ram"
        message, hint = (_in_form_words(text) for text in (error.message, error.hint))
        if error.reference == "unknown-gpu":
            hint = "Press enter for a list, or leave it open and give the card's memory as VRAM."
        raise FieldError(field, message, hint=hint) from error


def _as_saved(real: Hardware, specs: tuple[DeviceSpec, ...]) -> Hardware:
    """This machine as `planner hardware --save` writes it and `--hardware` reads it back."""
    import msgspec

    from planner.core.machines.hardware_file import hardware_from_json
    from planner.core.memory.readings import with_whole_budgets
    from planner.core.pages.views import hardware_view

    return hardware_from_json(msgspec.json.encode(hardware_view(with_whole_budgets(real))), specs)


def _in_form_words(text: str) -> str:
    for option, word in (('--gpu "', '"'), ("--gpu ", "GPU "), ("--vram ", "VRAM "), ("--ram ", "RAM ")):
        text = text.replace(option, word)
    return text


def gpu_names(situation: Situation) -> tuple[tuple[str, str], ...]:
    """Every device of the table: its name, and memory and bandwidth in words. Reads the table the first time."""
    specs = () if situation.catalog is None else situation.catalog.devices
    return tuple((spec.name, _facts(spec)) for spec in specs)


def _facts(spec: DeviceSpec) -> str:
    memory = "shares the host's memory" if spec.memory_gib is None else f"{spec.memory_gib:g} GiB"
    return f"{memory}, {spec.memory_bandwidth_gbps:g} GB/s" if spec.memory_bandwidth_gbps else memory
