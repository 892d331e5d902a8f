"""The highlighted model of the list in a few lines: what it is, how it runs here, how good it is, its licence."""

from textual.content import Content

from planner.core.fits.fitting import rate_of
from planner.core.fits.model_fit import Fitted
from planner.core.pages.model_words import licence_words, summary
from planner.core.pairs.reasons import rate_text
from planner.core.scores.quality import quality
from planner.tui.columns import hanging, lines
from planner.tui.data.models import Row
from planner.tui.widgets.fitted import Fitted as Fitting
from planner.units import format_gib, printable


class ModelPreview(Fitting):
    """Redrawn when another model is highlighted."""

    row: Row | None = None
    fitted: Fitted | None = None
    looked = False

    def show(self, row: Row | None, fitted: Fitted | None, *, looked: bool) -> None:
        """Another model, or more is known of it."""
        if (row, fitted, looked) != (self.row, self.fitted, self.looked):
            self.row, self.fitted, self.looked = row, fitted, looked
            self.border_title = None if row is None else Content(printable(row.model.id))
            self.set_class(row is not None, "-some")
            self.redraw()

    def redraw(self) -> None:
        """Without a new layout: its height never changes, and the highlight moves quickly."""
        width = self.content_size.width
        self._drawn_width = width
        if width > 0:
            self.update(self.draw(width), layout=False)

    def draw(self, width: int) -> Content:
        """Sentences."""
        row, marks = self.row, self.marks
        if row is None:
            return Content("")
        model = row.model
        quant = "F16" if self.fitted is None else self.fitted.fit.variant.quant
        return lines(
            [
                hanging(marks.note, summary(model), width),
                hanging(marks.note, self._here(), width),
                hanging(marks.note, f"Quality: {quality(model, quant).evidence}.", width),
                hanging(marks.note, f"Licence {licence_words(model)}.", width),
                *(
                    [hanging(marks.done, f"On this disk: {', '.join(row.installed)}.", width, "$text-success")]
                    if row.installed
                    else []
                ),
            ]
        )

    def _here(self) -> str:
        assert self.row is not None, "draw sees to it"
        model = self.row.model
        if not model.deployable:
            return f"Cannot be run: {model.deploy_note.rstrip('.')}."
        if not self.looked:
            return f"Looking how it runs here {self.marks.ellipsis}"
        if self.fitted is None:
            return "No file of it is known by its size, so nothing can be said about memory."
        fit = self.fitted.fit
        rate = rate_of(model, fit.estimate)
        speed = "" if rate is None else f", {rate_text(rate)}"
        usable = self.fitted.usable_context
        room = "" if usable is None else f", whole with up to {usable:,} tokens of context"
        size = format_gib(fit.estimate.memory.total_bytes)
        return f"Here as {fit.variant.quant}: {fit.estimate.placement.reason}; {size}{room}{speed}."
