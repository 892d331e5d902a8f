"""Which models are variants of each other: Instruct, Thinking, Coder, and what others made of them."""

from planner.core.models.model import Model

_NEARLY = 0.1
"""Models of one family whose parameters differ by less than this share are variants of each other."""


def are_relatives(one: Model, other: Model) -> bool:
    """Whether two models are of one family and, in all parameters as in active ones, of one size."""
    return one is other or (
        one.family == other.family
        and _near(one.parameters, other.parameters)
        and _near(one.active_parameters or one.parameters, other.active_parameters or other.parameters)
    )


def _near(one: int | None, other: int | None) -> bool:
    return bool(one and other) and abs((one or 0) - (other or 0)) <= _NEARLY * max(one or 0, other or 0)
