"""Two models of one role against each other, in numbers."""

import msgspec

from planner.core.fits.fitting import Fit, rate_of
from planner.core.fits.model_list import mtr_percent
from planner.core.models.model import Model, Role
from planner.core.scores.quality import quality
from planner.core.scores.standing import shared_pool
from planner.units import format_count, format_gib

ALIKE_SPEED = 0.05
ALIKE_BYTES = 0.01
"""Speeds and sizes this near, relatively, are called alike: estimates are not more exact."""


class Side(msgspec.Struct, frozen=True):
    """A model in a quant on some machine; `fit` is None where its memory cannot be estimated."""

    model: Model
    fit: Fit | None

    @property
    def name(self) -> str:
        """`bge-m3 Q8_0`."""
        return self.model.name if self.fit is None else f"{self.model.name} {self.fit.variant.quant}"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What one model has more (or less) than another; None where it is not known of both.

    `memory_bytes` and `speed_ratio` on the same machine; `mtr_percent` of both, the first model's first, in `pool`,
    lower is better; `quality_points` of 100, higher is better, for generators.
    """

    memory_bytes: int | None
    speed_ratio: float | None
    pool: str | None
    mtr_percent: tuple[float, float] | None
    quality_points: float | None

    @property
    def mtr_points(self) -> float | None:
        """The MTR of the first less that of the second: positive is worse."""
        return None if self.mtr_percent is None else round(self.mtr_percent[0] - self.mtr_percent[1], 9)


def difference(one: Side, other: Side) -> Difference:
    """What `one` has more than `other`. Qualities of different roles are not compared."""
    pool = shared_pool((one.model, other.model))
    ranks = None
    if pool is not None and (mine := mtr_percent(one.model, pool)) is not None:
        theirs = mtr_percent(other.model, pool)
        ranks = None if theirs is None else (mine, theirs)
    both_write = one.model.role is other.model.role is Role.GENERATION
    return Difference(
        memory_bytes=None
        if one.fit is None or other.fit is None
        else one.fit.estimate.memory.total_bytes - other.fit.estimate.memory.total_bytes,
        speed_ratio=_speed_ratio(one, other),
        pool=pool,
        mtr_percent=ranks,
        quality_points=100 * (_quality(one) - _quality(other)) if both_write else None,
    )


def _quality(side: Side) -> float:
    return quality(side.model, "F16" if side.fit is None else side.fit.variant.quant).score


def _speed_ratio(one: Side, other: Side) -> float | None:
    if one.fit is None or other.fit is None or one.model.role is not other.model.role:
        return None
    mine, theirs = rate_of(one.model, one.fit.estimate), rate_of(other.model, other.fit.estimate)
    return None if mine is None or theirs is None or not theirs.mid else mine.mid / theirs.mid


def alike_memory(one: Side, other: Side) -> bool:
    """Whether the two take the same memory as far as an estimate can tell."""
    if one.fit is None or other.fit is None:
        return False
    mine, theirs = one.fit.estimate.memory.total_bytes, other.fit.estimate.memory.total_bytes
    return abs(mine - theirs) <= ALIKE_BYTES * theirs


def difference_words(found: Difference) -> tuple[str, ...]:
    """`1.9 GiB less memory`, `1.4 times as fast`, `MTR 18.06 % against 13.89 % (4.17 points worse)`."""
    words: list[str] = []
    if found.memory_bytes is not None:
        more = "more" if found.memory_bytes > 0 else "less"
        words.append(
            f"{format_gib(abs(found.memory_bytes))} {more} memory" if found.memory_bytes else "the same memory"
        )
    if found.speed_ratio is not None:
        words.append(speed_words(found.speed_ratio))
    if found.mtr_percent is not None and found.mtr_points is not None:
        mine, theirs = found.mtr_percent
        apart = abs(found.mtr_points)
        side = "worse" if found.mtr_points > 0 else "better"
        words.append(
            f"MTR {mine:.2f} % against {theirs:.2f} % ({apart:.2f} points {side})"
            if apart
            else f"MTR {mine:.2f} % as well"
        )
    if found.quality_points is not None:
        points = round(found.quality_points)
        words.append(f"quality score {points:+d} of 100" if points else "the same quality score")
    return tuple(words)


def speed_words(ratio: float) -> str:
    """`1.4 times as fast`; below 1 `1.4 times slower` would be misread, so the share is named."""
    if abs(ratio - 1) <= ALIKE_SPEED:
        return "as fast"
    if ratio > 1:
        return f"{ratio:.0f} times as fast" if ratio >= 10 else f"{ratio:.2g} times as fast"
    return f"{100 * ratio:.0f} % of the speed"


def difference_sentence(found: Difference, one: Side, other: Side) -> str:
    """`A needs 1.9 GiB less memory than B, is 1.4 times as fast, and stands 4.10 points better in pool …`."""
    parts: list[str] = []
    if found.memory_bytes is not None:
        more = "more" if found.memory_bytes > 0 else "less"
        size = format_gib(abs(found.memory_bytes))
        parts.append("needs as much memory" if alike_memory(one, other) else f"needs {size} {more} memory")
    elif one.model.parameters and other.model.parameters and one.model.parameters != other.model.parameters:
        parts.append(
            f"has {format_count(one.model.parameters)} parameters, not {format_count(other.model.parameters)}"
        )
    if found.speed_ratio is not None:
        words = speed_words(found.speed_ratio)
        parts.append(f"has {words}" if words.endswith("speed") else f"is {words}")
    if found.mtr_percent is not None and found.mtr_points is not None:
        side = "worse" if found.mtr_points > 0 else "better"
        mine, theirs = found.mtr_percent
        if found.mtr_points:
            parts.append(
                f"stands {abs(found.mtr_points):.2f} points {side} in pool {found.pool} "
                f"(MTR {mine:.2f} against {theirs:.2f} %)"
            )
        else:
            parts.append(f"stands as high in pool {found.pool} (MTR {mine:.2f} %)")
    if found.quality_points is not None:
        points = round(found.quality_points)
        side = "more" if points > 0 else "less"
        parts.append(
            f"scores {abs(points)} points of 100 {side} in quality" if points else "scores the same in quality"
        )
    if not parts:
        return f"Nothing is known that {one.name} and {other.name} could be compared by."
    *most, last = parts
    return f"Compared with {other.name}, {one.name} {', '.join(most)}{' and ' if most else ''}{last}."
