"""Machines that are larger by what a model lacks: more memory, or one card more.

Of several cards nobody swaps a single one: each of them gets as much more, or there is one more of the roomiest.
"""

import bisect
import math
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from planner.core.machines.hardware import Hardware
from planner.core.machines.more_memory import with_more_memory, with_one_more_card
from planner.core.memory.estimate import HOST, Memory, Placement, Verdict
from planner.core.memory.placement import Machine, machine_of
from planner.units import GIB

_AMPLE_BYTES = 1 << 50
_STEP_BYTES = GIB // 2
"""Memory is missing in steps of this size: nobody buys less."""


class Larger(NamedTuple):
    """A larger machine: what it has more, in words, and what it leaves beside the others of a plan."""

    words: str
    rest: Machine
    hardware: Hardware


Placing = Callable[[Machine], tuple[Placement, Memory]]
"""Where a process would be on what a machine has left."""


class Growth:
    """How one machine may grow.

    `margin` is the share of a device that is kept free, `live`: `machine` is what is free now.
    """

    def __init__(self, hardware: Hardware, machine: Machine, *, margin: float, live: bool) -> None:
        self._hardware = hardware
        self._machine = machine
        self._margin = margin
        self._live = live

    def enough(self, rest: Machine, placed: Placing) -> tuple[Larger, ...]:
        """The least that lets a process be whole on a GPU, or on a host without any; none if it is, or never is.

        `rest` is what the others of a plan leave. Of several cards a choice: more memory on each, or one card more.
        """
        if len(rest.gpus) < 2:
            missing = self._missing(rest, placed)
            return (self._with_memory(rest, missing),) if missing else ()
        if is_whole(placed(rest)[0]):
            return ()
        each, one = self._with_memory_on_each(rest, placed), self._with_one_more(rest)
        return tuple(found for found in (each, one) if found is not None and is_whole(placed(found.rest)[0]))

    def _missing(self, rest: Machine, placed: Placing) -> int | None:
        """Bytes that are missing on the one GPU, or on a host without any; 0: none."""
        placement, memory = placed(self._with(rest, _AMPLE_BYTES))
        pool = rest.gpus[0] if rest.gpus else rest.host
        if placement.verdict is Verdict.NO_FIT or pool.budget_bytes is None:
            return None
        name = HOST if rest.unified else pool.id
        taken = sum(row.total_bytes for row in memory.devices if row.device == name)
        return self._bought(taken - pool.budget_bytes)

    def _bought(self, lacking_bytes: int) -> int | None:
        """The least memory to be added so that as much as is lacking may be taken; None where more is of no use."""
        if lacking_bytes <= 0:
            return 0
        most = 4 * math.ceil(lacking_bytes / _STEP_BYTES) + 8
        steps = bisect.bisect_left(range(most), lacking_bytes, key=lambda count: self._gained(count * _STEP_BYTES))
        return None if steps == most else steps * _STEP_BYTES

    def _gained(self, more_bytes: int) -> int:
        """What more may be taken of a machine with more memory: a part is kept free, a part no GPU may have."""
        larger = self._machine_of(with_more_memory(self._hardware, more_bytes))
        before, after = ((m.gpus[0] if m.gpus else m.host).budget_bytes or 0 for m in (self._machine, larger))
        return after - before

    def _with_memory(self, rest: Machine, more_bytes: int) -> Larger:
        kind = "memory" if rest.unified or not rest.gpus else "GPU memory"
        return Larger(f"{more_bytes / GIB:.1f} GiB more {kind}", self._with(rest, more_bytes), self._hardware)

    def _with(self, machine: Machine, more_bytes: int) -> Machine:
        """The machine with more memory on its first GPU, or in its host where that is what counts."""
        first, host = machine.gpus[:1], machine.host
        grown = [msgspec.structs.replace(p, budget_bytes=(p.budget_bytes or 0) + more_bytes) for p in first]
        if not first or machine.unified:
            host = msgspec.structs.replace(host, budget_bytes=(host.budget_bytes or 0) + more_bytes)
        return Machine(gpus=(*grown, *machine.gpus[1:]), host=host, unified=machine.unified)

    def _with_memory_on_each(self, rest: Machine, placed: Placing) -> Larger | None:
        """The least that every card has to have more; None where no memory is enough."""
        placement, memory = placed(self._with(rest, _AMPLE_BYTES))
        if placement.verdict is Verdict.NO_FIT:
            return None
        most = 4 * math.ceil(memory.total_bytes / _STEP_BYTES) + 8
        steps = bisect.bisect_left(
            range(most), True, key=lambda count: is_whole(placed(self._each_with(rest, count * _STEP_BYTES))[0])
        )
        if steps == most:
            return None
        more_bytes = steps * _STEP_BYTES
        return Larger(
            f"{more_bytes / GIB:.1f} GiB more on each GPU", self._each_with(rest, more_bytes), self._hardware
        )

    def _each_with(self, rest: Machine, more_bytes: int) -> Machine:
        larger = self._machine_of(with_more_memory(self._hardware, more_bytes, each=True))
        gpus = tuple(
            msgspec.structs.replace(
                left, budget_bytes=(left.budget_bytes or 0) + (after.budget_bytes or 0) - (before.budget_bytes or 0)
            )
            for left, before, after in zip(rest.gpus, self._machine.gpus, larger.gpus, strict=True)
        )
        return msgspec.structs.replace(rest, gpus=gpus)

    def _with_one_more(self, rest: Machine) -> Larger | None:
        """With another of the roomiest cards, all of it free."""
        hardware = with_one_more_card(self._hardware)
        if hardware is None:
            return None
        added = hardware.devices[-1]
        (pool,) = (pool for pool in self._machine_of(hardware).gpus if pool.id == added.id)
        larger = msgspec.structs.replace(rest, gpus=(*rest.gpus, pool))
        return Larger(f"one more {added.name}", larger, hardware)

    def _machine_of(self, hardware: Hardware) -> Machine:
        return machine_of(hardware, live=self._live, margin=self._margin)


def is_whole(placement: Placement) -> bool:
    """Whether a process is on GPUs with all that it has, or on a host without any."""
    return placement.verdict is Verdict.FITS and not placement.n_cpu_moe
