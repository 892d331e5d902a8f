"""The queue of downloads: each with its state, a bar, its rate and the time left; a failure where it happened."""

from collections.abc import Mapping

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.figures import cells_of
from planner.tui.marks import Marks
from planner.tui.queue import Download, DownloadState, Queue
from planner.tui.widgets.fitted_list import FittedList
from planner.units import format_gb

_BAR = 12
_ROOMY = 100
"""Cells from which the size of what came has room beside rate and time."""
_COLUMNS = (
    Column(""),
    Column("model", minimum=16),
    Column("state"),
    Column("", leaves=2),
    Column(""),
)
_STYLES = {
    DownloadState.WAITING: MUTED,
    DownloadState.ACTIVE: "$text-accent",
    DownloadState.PAUSED: "$text-warning",
    DownloadState.FAILED: "$text-error",
    DownloadState.DONE: "$text-success",
}


class DownloadList(FittedList):
    """Shows a queue, or how to fill it."""

    class Highlighted(Message):
        """Another download is looked at; None when there is none."""

        def __init__(self, download: Download | None) -> None:
            super().__init__()
            self.download = download

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(marks=marks, id=id)
        self.queue: Queue = ()
        self.begun: Mapping[str, int] = {}

    def compose(self) -> ComposeResult:
        """A list, and a text for when it is empty."""
        yield OptionList(id="downloads-list", compact=True, markup=False)
        yield Static(id="downloads-empty", markup=False)

    @property
    def selected(self) -> Download | None:
        """The highlighted download."""
        index = self._list.highlighted
        return self.queue[index] if index is not None and index < len(self.queue) else None

    def show(self, queue: Queue, begun: Mapping[str, int]) -> None:
        """New values; `begun`: bytes that lie there of those that do not run."""
        before = self.selected.reference if self.selected else ""
        names = [one.reference for one in queue]
        same = names == [one.reference for one in self.queue]
        self.queue, self.begun = queue, begun
        if not same:
            self._refill(names, before)
            self.post_message(self.Highlighted(self.selected))
        self.redraw()

    def draw(self, width: int) -> None:
        """Each in its lines, under what all have in common."""
        options, empty = self._list, self.query_one("#downloads-empty", Static)
        options.display, empty.display = bool(self.queue), not self.queue
        empty.update(Content.styled("Nothing is downloaded. a adds a model; D on the Models page does too.", MUTED))
        rows = [self._row(one) for one in self.queue]
        table = Table(_COLUMNS, rows, width, ellipsis=self.marks.ellipsis, header=False)
        for index, (one, line) in enumerate(zip(self.queue, table.lines, strict=True)):
            options.replace_option_prompt_at_index(index, lines([line, *self._why(one, width)]))

    def _row(self, one: Download) -> Row:
        style = _STYLES[one.state]
        word = "stopping" if one.stopping else one.state.value
        if one.state is DownloadState.ACTIVE and one.pace is not None and not one.stopping:
            word = one.pace.words
        return (
            Cell(self._sign(one.state), style),
            Cell(one.name, "bold" if one.state is DownloadState.ACTIVE else ""),
            Cell(word, style),
            Cell(self._bar(one), "$primary" if one.state is DownloadState.ACTIVE else MUTED),
            Cell(self._figures(one), "" if one.state is DownloadState.ACTIVE else MUTED),
        )

    def _share(self, one: Download) -> float | None:
        if one.state is DownloadState.DONE:
            return 1.0
        if one.pace is not None and one.pace.share is not None:
            return one.pace.share
        here = self.begun.get(one.reference)
        return min(1.0, here / one.bytes) if here and one.bytes else None

    def _bar(self, one: Download) -> str:
        share = self._share(one)
        if share is None or one.state is DownloadState.DONE:
            return ""
        done = cells_of((round(share * 1000),), 1000, _BAR)[0]
        return self.marks.weights * done + self.marks.free * (_BAR - done)

    def _figures(self, one: Download) -> str:
        size = "size not known" if one.bytes is None else format_gb(one.bytes)
        if one.state is DownloadState.DONE:
            return one.detail
        if one.state is DownloadState.ACTIVE and one.pace is not None:
            return one.pace.figures if self._drawn_width >= _ROOMY else one.pace.brief
        here = self.begun.get(one.reference)
        if one.pace is not None and one.pace.total_bytes:
            return f"{format_gb(one.pace.done_bytes)} of {format_gb(one.pace.total_bytes)}"
        return f"{format_gb(here)} of {size}" if here else size

    def _why(self, one: Download, width: int) -> list[Content]:
        if one.problem is None or one.state is not DownloadState.FAILED:
            return []
        found = [hanging("  !", one.problem.message, width, "$text-error")]
        if one.problem.hint:
            found.append(hanging(f"  {self.marks.arrow}", one.problem.hint, width))
        return found

    def _sign(self, state: DownloadState) -> str:
        marks = self.marks
        return {
            DownloadState.WAITING: marks.note,
            DownloadState.ACTIVE: marks.starting,
            DownloadState.PAUSED: marks.stopped,
            DownloadState.FAILED: marks.failed,
            DownloadState.DONE: marks.done,
        }[state]

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self.post_message(self.Highlighted(self.selected))

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
