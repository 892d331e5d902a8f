"""A failure as the app shows it: what happened, what to do."""

from dataclasses import dataclass
from typing import Self

from planner.errors import PlannerError


@dataclass(frozen=True)
class Problem:
    """`reference` is the stable name scripts know it by."""

    message: str
    hint: str = ""
    reference: str = "unexpected"

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """From an exception; one that nobody raised on purpose says so."""
        if isinstance(error, PlannerError):
            return cls(error.message, error.hint, error.reference)
        return cls(
            f"This should not happen: {type(error).__name__}: {error}",
            "Please report it; planner recommend shows whether the command line has it too.",
        )
