"""The list of models as it is looked at: what is searched and filtered, in which order, what is marked. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from planner.core.fits.model_fit import Fitted
from planner.core.models.model import Model
from planner.tui.data.models import SORTS, Filters, Row, chosen, largest_first, ordered

MOST_COMPARED = 4
BY_FIT = frozenset({"verdict", "speed", "context", "memory", "quant"})
"""Orders that change while it is found out how models run."""


@dataclass
class Listing:
    """`shown` are the rows that meet the filters, in order; `show` makes them anew. `marked` are ids."""

    rows: tuple[Row, ...] = ()
    fits: dict[str, Fitted | None] = field(default_factory=dict)
    filters: Filters = field(default_factory=Filters)
    sort: str = "name"
    reverse: bool = False
    shown: list[Row] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)

    def show(self) -> None:
        """Filter and order."""
        rows = chosen(self.rows, self.filters, self.fits)
        self.shown = ordered(rows, self.sort, self.fits, reverse=self.reverse)

    def replace_rows(self, rows: tuple[Row, ...]) -> None:
        """The models of another situation: nothing is known yet of how they run."""
        self.rows, self.fits = rows, {}
        there = {row.model.id for row in rows}
        self.marked = [name for name in self.marked if name in there]

    def learn(self, found: Mapping[str, Fitted | None]) -> bool:
        """How some models run; returns whether that changes which are shown, or their order."""
        self.fits.update(found)
        return self.filters.fits or self.sort in BY_FIT

    @property
    def unknown(self) -> int:
        """Of how many models it is not known yet how they run."""
        return len(self.rows) - len(self.fits)

    def next_batch(self, in_sight: Iterable[int], size: int) -> tuple[Model, ...]:
        """Models to look at next: those in sight, those in the list, then the others."""
        if not self.unknown:
            return ()
        near = [self.shown[index] for index in in_sight if index < len(self.shown)]
        batch: dict[str, Model] = {}
        for row in (*near, *self.shown, *self.rows):
            if row.model.id not in self.fits:
                batch[row.model.id] = row.model
                if len(batch) == size:
                    break
        return tuple(batch.values())

    @property
    def descending(self) -> bool:
        """Whether the largest value comes first."""
        return largest_first(self.sort) != self.reverse

    def sort_by(self, key: str) -> None:
        """By another key, its usual way round; the same key again turns it."""
        if key not in SORTS:
            return
        self.reverse = not self.reverse if key == self.sort else False
        self.sort = key

    def next_sort(self, keys: Sequence[str]) -> str:
        """The key after this one among those of the columns."""
        place = keys.index(self.sort) if self.sort in keys else -1
        return keys[(place + 1) % len(keys)]

    def mark(self, name: str) -> None:
        """Mark a model, or take its mark away; the oldest mark goes when there are too many."""
        if name in self.marked:
            self.marked.remove(name)
        else:
            self.marked = [*self.marked, name][-MOST_COMPARED:]

    def place_of(self, row: Row | None) -> int:
        """Where a row is in the list now; the first place when it is not there."""
        if row is None:
            return 0
        return next((index for index, other in enumerate(self.shown) if other.model.id == row.model.id), 0)
