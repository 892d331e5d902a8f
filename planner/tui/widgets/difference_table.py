"""What another machine or wish gains and loses against this machine's best: the score first, then line by line."""

from textual.content import Content

from planner.core.pages.what_if import Comparison, Turn
from planner.tui.columns import MUTED, Cell, Column, Table, hanging, lines
from planner.tui.widgets.fitted import Fitted

_STYLES = {Turn.GAIN: "$text-success", Turn.LOSS: "$text-error", Turn.SAME: MUTED, Turn.OPEN: MUTED}
_SIGNS = {Turn.GAIN: "+", Turn.LOSS: "-", Turn.SAME: "=", Turn.OPEN: " "}


class DifferenceTable(Fitted):
    """Draws a comparison, or a text where there is none."""

    comparison: Comparison | None = None
    instead: Content = Content("")
    in_words = False

    def show(self, comparison: Comparison | None, instead: Content, *, in_words: bool) -> None:
        """New values; `in_words`: gains and losses in sentences as well."""
        self.comparison, self.instead, self.in_words = comparison, instead, in_words
        self.redraw()

    def draw(self, width: int) -> Content:
        """A table."""
        found = self.comparison
        if found is None:
            return self.instead
        columns = (
            Column(""),
            Column(""),
            Column("this machine", minimum=14),
            Column("what if", minimum=14),
            Column("change", minimum=12),
        )
        rows = [
            (
                Cell(_SIGNS[figure.turn], f"bold {_STYLES[figure.turn]}"),
                Cell(figure.name, "bold" if figure.name == "score" else ""),
                Cell(figure.before, MUTED),
                Cell(figure.after, "bold"),
                Cell(figure.change, f"{'bold ' * (figure.name == 'score')}{_STYLES[figure.turn]}"),
            )
            for figure in found.figures
        ]
        table = Table(columns, rows, width, ellipsis=self.marks.ellipsis)
        drawn = [table.header, *table.lines]
        if self.in_words and (found.gains or found.losses):
            drawn += [Content(""), *(hanging("+", text, width, "$text-success") for text in found.gains)]
            drawn += [hanging("-", text, width, "$text-error") for text in found.losses]
        return lines(drawn)
