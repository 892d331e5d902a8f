"""What background work tells the pages about models."""

from textual.message import Message

from planner.core.costs.cheapest import Rentals
from planner.core.fits.model_fit import Fitted
from planner.tui.data.details import Compared, Details
from planner.tui.data.machine import Situation
from planner.tui.data.models import Row
from planner.tui.problem import Problem


class RowsRead(Message):
    """The rows of a situation, or why there are none."""

    def __init__(self, situation: Situation, found: tuple[Row, ...] | Problem) -> None:
        super().__init__()
        self.situation = situation
        self.found = found


class FitsFound(Message):
    """How some models run in a situation, or why that cannot be said."""

    def __init__(self, situation: Situation, found: dict[str, Fitted | None] | Problem) -> None:
        super().__init__()
        self.situation = situation
        self.found = found


class DetailsRead(Message):
    """A model's page, or why there is none."""

    def __init__(self, model_id: str, found: Details | Problem) -> None:
        super().__init__()
        self.model_id = model_id
        self.found = found


class RentalsRead(Message):
    """The rentals for a model's page, None where nothing can be said."""

    def __init__(self, model_id: str, found: Rentals | Problem | None) -> None:
        super().__init__()
        self.model_id = model_id
        self.found = found


class ModelsCompared(Message):
    """The comparison, or why there is none."""

    def __init__(self, situation: Situation, found: Compared | Problem) -> None:
        super().__init__()
        self.situation = situation
        self.found = found
