"""How a model may be put on a machine: on as much of its cards as they hold, or on less where less is better."""

from typing import NamedTuple

import msgspec

from planner.core.memory.estimate import Placement
from planner.core.memory.placement import Machine, fastest_first
from planner.core.memory.workload import Settings
from planner.core.models.model import Role


class Way(NamedTuple):
    """One of them: no more than so many `layers` on cards, on no more than so many of the fastest `cards`.

    None: as many as they hold, as many as it takes.
    """

    layers: int | None = None
    cards: int | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether nothing is on a card."""
        return self.layers == 0

    @property
    def one_layer(self) -> bool:
        """Whether there is one on a card, for whose sake the card does the prompts."""
        return self.layers == 1

    def room_on(self, machine: Machine) -> Machine:
        """What may be used of what a machine has left."""
        return machine if self.cards is None else machine.fastest(self.cards)

    def settings(self, settings: Settings) -> Settings:
        """Settings with the layers that are meant."""
        return settings if self.layers is None else msgspec.structs.replace(settings, n_gpu_layers=self.layers)

    def told(self, placement: Placement, machine: Machine, role: Role) -> Placement:
        """A placement with the reason why less of the machine is used than could be."""
        if self == ALL:
            return placement
        return msgspec.structs.replace(placement, reason=self._reason(placement, machine, role))

    def _reason(self, placement: Placement, machine: Machine, role: Role) -> str:
        if self.one_layer:
            layers = f"1 of {placement.n_layers} layers"
            return f"{layers} on the GPU, which does the prompts; more of them would slow it down"
        if self.cards is not None:
            left = fastest_first(machine.gpus)[self.cards :]
            why = "the speed of which is not known" if left[0].bandwidth_gbps is None else "slower than the others"
            return f"{placement.reason}; nothing on {', '.join(pool.id for pool in left)}, {why}"
        if machine.unified:
            return "on the CPU, which may use more of the shared memory"
        if role is Role.GENERATION:
            return "on the CPU, which a part of it on the GPU would slow down"
        return "on the CPU, which leaves the GPU to the generator"


ALL = Way()
"""All that the cards hold; on a machine without any, the host."""
_ON_CPU, _ONE_LAYER = Way(layers=0), Way(layers=1)


class Ways(NamedTuple):
    """All that models of a role have on a machine: on its cards, and beside them."""

    on_cards: tuple[Way, ...] = (ALL,)
    on_host: tuple[Way, ...] = ()


def ways_on(machine: Machine, role: Role) -> Ways:
    """The ways that are worth trying.

    What does not fit on the fast cards may do better in part on the host than in part on a slow one. An embedder on
    the CPU leaves a card to the generator; a generator on the CPU may use more of a memory that both share, and may
    be faster than in part on a card, or with one layer on a card that does the prompts.
    """
    on_cards = (ALL, *(Way(cards=count) for count in machine.steps_of_speed))
    if not machine.gpus:
        return Ways(on_cards)
    if role is not Role.GENERATION:
        return Ways(on_cards, () if machine.unified else (_ON_CPU,))
    return Ways(on_cards, (_ON_CPU,) if machine.unified else (_ON_CPU, _ONE_LAYER))
