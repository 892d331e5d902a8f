"""Which other models somebody who looks at one might want instead, each with what it gains and costs."""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

import msgspec

from planner.core.fits.fitting import fit_on
from planner.core.fits.model_list import mtr_percent, quality_score, usual_variant
from planner.core.machines.hardware import Hardware
from planner.core.models.languages import MULTILINGUAL
from planner.core.models.model import Commercial, Model
from planner.core.pages.difference import Difference, Side, difference
from planner.core.scores.quality import POOLS
from planner.core.scores.standing import pools_of
from planner.core.speed.calibration import GENERIC, Calibration

_SMALLER = 0.6
"""A smaller model takes at most this share of the memory."""
_ROOM = 1.5
"""A better model may take this much more memory: beyond, it is for another machine."""
_BETTER_POINTS = 1.0
"""Points (of MTR in percent, of quality in 100) from which on a model is called better."""


class Kind(StrEnum):
    """Why a model is an alternative."""

    SUCCESSOR = "successor"
    PREDECESSOR = "predecessor"
    RUNNABLE = "runnable"
    COMMERCIAL = "commercial"
    BETTER = "better"
    SMALLER = "smaller"
    LANGUAGES = "languages"


KIND_WORDS = {
    Kind.SUCCESSOR: "built on it",
    Kind.PREDECESSOR: "what it is built on",
    Kind.RUNNABLE: "runs here",
    Kind.COMMERCIAL: "for commercial use",
    Kind.BETTER: "better",
    Kind.SMALLER: "smaller",
    Kind.LANGUAGES: "more languages",
}
"""What an alternative is to the model that is looked at."""


class Alternative(msgspec.Struct, frozen=True):
    """A model, why it is one, and what it has more (or less) than the model looked at."""

    kinds: tuple[Kind, ...]
    side: Side
    difference: Difference


def alternatives(
    subject: Side, models: Iterable[Model], hardware: Hardware, context: int, *, calibration: Calibration = GENERIC
) -> tuple[Alternative, ...]:
    """Models of the same role: its lineage, then the best for each wish that the subject leaves open.

    Memory and speed are those on `hardware` with `context` tokens (fewer where a model was trained on fewer), in the
    subject's quant where there is one, else in that taken when none is named. A model that is the best in several
    ways is one alternative.
    """
    model = subject.model
    others = [
        _side(other, subject, hardware, context, calibration)
        for other in models
        if other.role is model.role and other.id != model.id
    ]
    found: dict[str, Alternative] = {}

    def add(kind: Kind, sides: Sequence[Side]) -> None:
        for side in sides:
            known = found.get(side.model.id)
            kinds = (kind,) if known is None else (*known.kinds, kind)
            found[side.model.id] = Alternative(kinds, side, difference(side, subject))

    add(Kind.SUCCESSOR, [side for side in others if model.id in side.model.builds_on[:1]])
    add(Kind.PREDECESSOR, [side for side in others if side.model.id in model.builds_on])
    runnable = [side for side in others if side.model.deployable and side.fit is not None]
    for kind, admits in _wishes(subject):
        best = _best([side for side in runnable if admits(side)], subject)
        if best is not None:
            add(kind, [best])
    return tuple(found.values())


def _side(model: Model, subject: Side, hardware: Hardware, context: int, calibration: Calibration) -> Side:
    """A model in the quant of the subject where it has that, so that quants do not make the difference."""
    variant = None if subject.fit is None else model.variant(subject.fit.variant.quant)
    variant = variant or usual_variant(model)
    context = min(context, model.context_length)
    fit = None if variant is None else fit_on(model, variant, hardware, context, calibration=calibration)
    return Side(model, fit)


def _wishes(subject: Side) -> Iterable[tuple[Kind, Callable[[Side], bool]]]:
    """Kinds of alternatives that make sense for a model, with their conditions."""
    model = subject.model
    memory = None if subject.fit is None else subject.fit.estimate.memory.total_bytes

    def within(side: Side, share: float) -> bool:
        return memory is None or (side.fit is not None and side.fit.estimate.memory.total_bytes <= share * memory)

    def may_be_used_alike(side: Side) -> bool:
        return model.licence.commercial is not Commercial.YES or side.model.licence.commercial is Commercial.YES

    if not model.deployable:
        yield Kind.RUNNABLE, lambda side: within(side, _ROOM) and may_be_used_alike(side)
    if model.licence.commercial is not Commercial.YES:
        yield Kind.COMMERCIAL, lambda side: within(side, _ROOM) and side.model.licence.commercial is Commercial.YES
    yield (
        Kind.BETTER,
        lambda side: within(side, _ROOM) and may_be_used_alike(side) and _gain(side, subject) >= _BETTER_POINTS,
    )
    if memory is not None:
        yield Kind.SMALLER, lambda side: within(side, _SMALLER) and may_be_used_alike(side)
    if model.languages and MULTILINGUAL not in model.languages:
        yield (
            Kind.LANGUAGES,
            lambda side: within(side, _ROOM) and may_be_used_alike(side) and MULTILINGUAL in side.model.languages,
        )


def _gain(side: Side, subject: Side) -> float:
    """Points by which a side is better; negative where it is worse, or where the two cannot be compared."""
    found = difference(side, subject)
    if found.mtr_points is not None:
        return -found.mtr_points
    return -1.0 if found.quality_points is None else found.quality_points


def _best(sides: Sequence[Side], subject: Side) -> Side | None:
    """The best in the pool that the subject is ranked in, else in the default pool; generators by quality."""
    pool = next((pool for pool in POOLS if pool in pools_of(subject.model)), POOLS[0])

    def key(side: Side) -> tuple[float, str]:
        rank = mtr_percent(side.model, pool)
        good = quality_score(side.model)
        return (rank if rank is not None else 1000.0 - (good or 0.0), side.model.id.casefold())

    return min(sides, key=key, default=None)
