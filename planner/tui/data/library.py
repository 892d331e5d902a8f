"""What the pages about models ask for. The work is in modules that are imported when it is first asked for."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.core.costs.cheapest import Rentals
    from planner.core.fits.model_fit import Fitted
    from planner.core.models.model import Model, Variant
    from planner.tui.data.details import Compared, Details
    from planner.tui.data.machine import Situation
    from planner.tui.data.models import Row

_TURN_S = 0.0005


def model_rows(situation: "Situation") -> "tuple[Row, ...]":
    """A row for every model of the catalog."""
    from planner.tui.data.models import read_rows

    return read_rows(situation)


def fit_models(situation: "Situation", models: "Sequence[Model]") -> "dict[str, Fitted | None]":
    """How some models run on this machine with all of its memory free."""
    from planner.tui.data.models import fits_of

    # Pure computing: the app's loop gets its turn after this long, not after the interpreter's usual 5 ms.
    sys.setswitchinterval(min(sys.getswitchinterval(), _TURN_S))
    return fits_of(situation, models)


def model_details(situation: "Situation", model_id: str) -> "Details":
    """Everything a model's page says. Raises UsageError for an unknown id."""
    from planner.tui.data.details import details_of

    return details_of(situation, model_id)


def model_rentals(situation: "Situation", model: "Model", variant: "Variant") -> "Rentals | None":
    """The cheapest rentals known without asking anybody; None where nothing can be said."""
    from planner.tui.data.details import rentals_of

    return rentals_of(situation, model, variant)


def compare_models(situation: "Situation", model_ids: Sequence[str]) -> "Compared":
    """Models side by side. Raises UsageError for an unknown id."""
    from planner.tui.data.details import compared

    return compared(situation, model_ids)
