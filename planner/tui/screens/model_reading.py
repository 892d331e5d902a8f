"""Finding out behind the list of models what there is and how it runs here, what is in sight first."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from planner.core.fits.model_fit import Fitted
from planner.core.models.model import Model
from planner.tui.data.listing import Listing
from planner.tui.data.machine import Situation
from planner.tui.data.models import Row
from planner.tui.problem import Problem
from planner.tui.screens.model_messages import FitsFound, RowsRead
from planner.tui.screens.page import Page
from planner.tui.workers import in_background, newest

_BATCH = 24
"""Models looked at in one go: about 0.1 s, so that what comes into sight is next."""


class News(NamedTuple):
    """Since the last time: whether something was found out, and whether that changes which are listed, or where."""

    found: bool = False
    order: bool = False


class ModelReading:
    """Part of the screen: fills its list. `problem` says why nothing, or nothing more, is found out."""

    def __init__(self, page: Page, listing: Listing) -> None:
        self._page = page
        self._list = listing
        self._news = News()
        self.situation: Situation | None = None
        self.problem: Problem | None = None

    def read(self, situation: Situation) -> None:
        """Read the rows of a new situation."""
        self.situation = situation
        newest(self._page, partial(self._read, situation), group="model-rows")

    async def _read(self, situation: Situation) -> None:
        found = await in_background(partial(self._page.planner.services.model_rows, situation))
        self._page.post_message(RowsRead(situation, found))

    def take_rows(self, found: tuple[Row, ...] | Problem) -> None:
        """The models of the situation; those of before stay where they cannot be read."""
        self.problem = found if isinstance(found, Problem) else None
        if not isinstance(found, Problem):
            self._list.replace_rows(found)

    def look_at_next(self, in_sight: Iterable[int]) -> None:
        """Find out how the next models run, if there are any left."""
        batch = self._list.next_batch(in_sight, _BATCH)
        if batch and self.situation is not None and self.problem is None:
            fits = partial(self._look_at, self.situation, batch)
            newest(self._page, fits, group="model-fits")

    async def _look_at(self, situation: Situation, models: Sequence[Model]) -> None:
        found = await in_background(partial(self._page.planner.services.fit_models, situation, models))
        self._page.post_message(FitsFound(situation, found))

    def take_fits(self, found: Mapping[str, Fitted | None]) -> None:
        """How some models run."""
        self._news = News(found=True, order=self._list.learn(found) or self._news.order)

    def news(self) -> News:
        """What is new since the last call."""
        news, self._news = self._news, News()
        return news
