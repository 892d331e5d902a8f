"""A changed machine or wish against the one there is: what its plan gains and what it loses, in figures."""

from enum import StrEnum

import msgspec

from planner.core.memory.estimate import Rate, Seconds
from planner.core.models.model import Role
from planner.core.pages.difference import ALIKE_SPEED, speed_words
from planner.core.pairs.recommendation import Choice, MemoryPlan, Recommendation
from planner.units import duration_range, format_gib, format_rate

_ALIKE_SCORE = 0.05
"""Scores come in steps of 0.1."""
_ALIKE_QUALITY = 0.005
"""Of 1: half a point of 100."""
NONE = "\N{EN DASH}"
ARROW = "\N{RIGHTWARDS ARROW}"


class Turn(StrEnum):
    """Where a figure goes."""

    GAIN = "gain"
    LOSS = "loss"
    SAME = "same"
    OPEN = "open"
    """Neither good nor bad, or not known of both."""


class Figure(msgspec.Struct, frozen=True):
    """A line of the comparison. `words` say the turn in a sentence; empty where there is nothing to say."""

    name: str
    before: str
    after: str
    change: str
    turn: Turn
    words: str = ""


class Comparison(msgspec.Struct, frozen=True):
    """All figures; `score_change` is None where the scores are of two kinds."""

    figures: tuple[Figure, ...]
    score_change: float | None

    @property
    def gains(self) -> tuple[str, ...]:
        """What is better, in words."""
        return tuple(figure.words for figure in self.figures if figure.turn is Turn.GAIN and figure.words)

    @property
    def losses(self) -> tuple[str, ...]:
        """What is worse, in words."""
        return tuple(figure.words for figure in self.figures if figure.turn is Turn.LOSS and figure.words)


def compare_plans(before: Recommendation, after: Recommendation, *, same_weights: bool) -> Comparison:
    """The plan `after` against `before`. Without `same_weights` (another preference) the scores say different things.

    Speeds are compared by the middle of their ranges and count as alike within 5 %.
    """
    change = round(after.score - before.score, 1) if same_weights else None
    figures = (
        _score(before, after, change),
        _quality(Role.EMBEDDING, before.embedding, after.embedding),
        _quality(Role.GENERATION, before.generation, after.generation),
        _context(before.generation, after.generation),
        _rate(_tg(before), _tg(after)),
        _seconds("first word", "the first word", before.first_word_s, after.first_word_s),
        _seconds("indexing", "indexing", before.indexing_s, after.indexing_s),
        _memory(before, after),
    )
    return Comparison(figures, change)


def _score(before: Recommendation, after: Recommendation, change: float | None) -> Figure:
    shown = (f"{before.score:.1f}", f"{after.score:.1f}")
    if change is None:
        return Figure("score", *shown, "weighs otherwise", Turn.OPEN)
    # The words of a score would only repeat what the others say.
    return Figure("score", *shown, _signed(change, ".1f"), _turn(change, _ALIKE_SCORE))


def _quality(role: Role, before: Choice | None, after: Choice | None) -> Figure:
    """The models of a role: MTR of embedders, points of 100 of generators."""
    names = (_name(before), _name(after))
    if before is None or after is None:
        return Figure(role.value, *names, "", Turn.OPEN)
    if names[0] == names[1]:
        return Figure(role.value, *names, "the same", Turn.SAME)
    change = _score_of(after) - _score_of(before)
    turn = _turn(change, _ALIKE_QUALITY)
    if role is Role.EMBEDDING:
        ranks = (before.quality.get("mtr_percent"), after.quality.get("mtr_percent"))
        same_pool = before.quality.get("pool") == after.quality.get("pool")
        if all(isinstance(rank, float) for rank in ranks) and same_pool and ranks[0] != ranks[1]:
            text = f"MTR {ranks[0]:.2f} {ARROW} {ranks[1]:.2f} %"
        else:
            text = f"{_signed(100 * change, '.0f')} of 100"
        return Figure(role.value, *names, text, turn, f"finds {_side(turn)} with {names[1]} ({text})" * _moves(turn))
    text = f"{_signed(100 * change, '.0f')} of 100"
    return Figure(role.value, *names, text, turn, f"answers {_side(turn)} with {names[1]} ({text})" * _moves(turn))


def _context(before: Choice | None, after: Choice | None) -> Figure:
    one, other = (None if c is None else c.settings.context // c.settings.parallel for c in (before, after))
    shown = (str(one or NONE), str(other or NONE))
    if not one or not other:
        return Figure("context", *shown, "", Turn.OPEN)
    turn = _turn(other - one, 0)
    words = f"a context of {other} tokens instead of {one}" * _moves(turn)
    return Figure("context", *shown, f"{other / one:.3g} times" if other != one else "the same", turn, words)


def _rate(before: Rate | None, after: Rate | None) -> Figure:
    shown = (_range(before), _range(after))
    if before is None or after is None or not before.mid:
        return Figure("tok/s", *shown, "", Turn.OPEN)
    ratio = after.mid / before.mid
    turn = _turn(ratio - 1, ALIKE_SPEED)
    words = f"writes {_fast(ratio)}" * _moves(turn)
    return Figure("tok/s", *shown, "as fast" if turn is Turn.SAME else speed_words(ratio), turn, words)


def _seconds(name: str, noun: str, before: Seconds | None, after: Seconds | None) -> Figure:
    shown = (_time(before), _time(after))
    if before is None or after is None or not after.mid or not before.mid:
        return Figure(name, *shown, "", Turn.OPEN)
    ratio = before.mid / after.mid
    turn = _turn(ratio - 1, ALIKE_SPEED)
    if shown[0] == shown[1]:
        turn = Turn.SAME
    words = f"{noun} takes {shown[1]} instead of {shown[0]}" * _moves(turn)
    return Figure(name, *shown, "as fast" if turn is Turn.SAME else speed_words(ratio), turn, words)


def _memory(before: Recommendation, after: Recommendation) -> Figure:
    """Memory is a means: taking more of a larger machine is neither gain nor loss."""
    one, other = before.memory, after.memory
    shown = (_use(one), _use(other))
    change = other.total_bytes - one.total_bytes
    text = f"{format_gib(abs(change))} {'more' if change > 0 else 'less'}" if change else "the same"
    return Figure("memory", *shown, text, Turn.OPEN if change else Turn.SAME)


def _range(rate: Rate | None) -> str:
    return NONE if rate is None else f"{format_rate(rate.low)} to {format_rate(rate.high)}"


def _time(seconds: Seconds | None) -> str:
    return NONE if seconds is None else duration_range(seconds.low, seconds.high)


def _use(plan: MemoryPlan) -> str:
    return f"{format_gib(plan.total_bytes)} of {format_gib(plan.budget_bytes)}"


def _tg(plan: Recommendation) -> Rate | None:
    return None if plan.generation is None else plan.generation.estimate.throughput.tg


def _name(choice: Choice | None) -> str:
    return NONE if choice is None else f"{choice.model.name} {choice.variant.quant}"


def _score_of(choice: Choice) -> float:
    score = choice.quality.get("score")
    return score if isinstance(score, float) else 0.0


def _turn(change: float, alike: float) -> Turn:
    if abs(change) <= alike:
        return Turn.SAME
    return Turn.GAIN if change > 0 else Turn.LOSS


def _moves(turn: Turn) -> bool:
    return turn in {Turn.GAIN, Turn.LOSS}


def _side(turn: Turn) -> str:
    return "better" if turn is Turn.GAIN else "worse"


def _fast(ratio: float) -> str:
    words = speed_words(ratio)
    return f"at {words}" if words.endswith("speed") else words


def _signed(value: float, form: str) -> str:
    text = format(value, f"+{form}")
    return text if text.strip("+-0.") else "\N{PLUS-MINUS SIGN}0"
