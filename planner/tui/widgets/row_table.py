"""A table of any number of rows: only what can be seen is laid out, so ten thousand rows cost what thirty do."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from planner.tui.columns import GAP, Column, Layout, Row
from planner.tui.marks import Marks

Draw = Callable[[int], Row]
"""The cells of a row, by its number."""


class RowTable(ScrollView, can_focus=True):
    """A heading that stays and rows under it; one is highlighted. A double click or enter chooses it.

    `keys` are names of the columns: a click on a heading says which (`Heading`). `marked` says of a row whether it
    has a mark of its own.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"row-table--row", "row-table--highlighted"}
    DEFAULT_CSS = """
    RowTable {
        height: 1fr;
        text-wrap: nowrap;
        overflow-x: hidden;
        scrollbar-gutter: stable;
        & > .row-table--highlighted { background: $panel; }
        &:focus > .row-table--highlighted { background: $primary 25%; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Row up", show=False),
        Binding("down", "move(1)", "Row down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "move_to(0)", "First row", show=False),
        Binding("end", "move_to(-1)", "Last row", show=False),
        Binding("enter", "choose", "Open", tooltip="open the highlighted row"),
    ]

    highlighted: reactive[int] = reactive(0)

    class Told(Message):
        """What the table tells; `control` is the table, so that handlers may choose by its id."""

        def __init__(self, table: "RowTable") -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> "RowTable":
            """The table."""
            return self.table

    class Highlighted(Told):
        """Another row is highlighted, or the rows are others now."""

    class Chosen(Told):
        """The highlighted row was chosen."""

        @property
        def index(self) -> int:
            """Its number."""
            return self.table.highlighted

    class Beyond(Told):
        """The highlight shall go on by `rows`, and is at the end."""

        def __init__(self, table: "RowTable", rows: int) -> None:
            super().__init__(table)
            self.rows = rows

    class Heading(Told):
        """The heading of a column was clicked."""

        def __init__(self, table: "RowTable", key: str) -> None:
            super().__init__(table)
            self.key = key

    def __init__(
        self,
        *,
        marks: Marks,
        marked: Callable[[int], bool] | None = None,
        id: str | None = None,  # noqa: A002  # Textual's name
    ) -> None:
        super().__init__(id=id)
        self.count = 0
        self.keys: Sequence[str] = ()
        self._marks = marks
        self._marked = marked
        self._signs = 3 if marked else 2
        """Cells before the first column: for the highlight, for a mark, and a space."""
        self._columns: tuple[Column, ...] = ()
        self._natural: Sequence[int] = ()
        self._layout: Layout | None = None
        self._draw: Draw = lambda _row: ()
        self._empty = Content("")
        self._lines: LRUCache[int, Content] = LRUCache(1024)
        self._strips: LRUCache[tuple[str, str, bool, bool], Strip] = LRUCache(4096)
        """By what is written: rows come back with each letter of a search that is taken away."""

    # --- what is shown -------------------------------------------------------------------------------------------

    def show_columns(self, columns: Sequence[Column], natural: Sequence[int]) -> None:
        """Other columns, or other widths; titles are never wider than they say."""
        widths = [max(size, cell_len(column.title)) for column, size in zip(columns, natural, strict=True)]
        if (tuple(columns), widths) != (self._columns, self._natural):
            self._columns, self._natural = tuple(columns), widths
            self._lay_out()

    def show_rows(self, count: int, draw: Draw, *, highlighted: int = 0) -> None:
        """So many rows, drawn when they are seen."""
        self.count, self._draw = count, draw
        self.virtual_size = Size(0, count + 1)
        self.set_reactive(RowTable.highlighted, max(0, min(highlighted, count - 1)))
        self.redraw()
        self._keep_in_sight()
        self.post_message(self.Highlighted(self))

    def show_empty(self, words: Content) -> None:
        """What to say where there is no row."""
        self._empty = words
        if not self.count:
            self.refresh()

    def redraw(self) -> None:
        """The rows say something else now."""
        self.forget()
        self.refresh()

    def forget(self) -> None:
        """Rows out of sight say something else now."""
        self._lines.clear()

    @property
    def in_sight(self) -> range:
        """The rows that can be seen."""
        first = self.scroll_offset.y
        return range(first, min(self.count, first + max(0, self.size.height - 1)))

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width - self._signs - 1
        self._strips.clear()
        self._layout = None
        if width > 0 and self._columns:
            self._layout = Layout(self._columns, self._natural, width, ellipsis=self._marks.ellipsis)
            self.redraw()

    def on_resize(self, _event: Resize) -> None:
        """Lay out anew."""
        self._lay_out()
        self._keep_in_sight()

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        """The heading, then the rows that are scrolled to."""
        width = self.size.width
        if not self.count:
            lines = self._empty.split("\n")
            return self._strip(lines[y - 1] if 0 < y <= len(lines) else Content(""), "   ", highlighted=False)
        if self._layout is None:
            return Strip.blank(width, self.rich_style)
        if y == 0:
            return self._strip(self._layout.header, " " * self._signs, highlighted=False)
        index = self.scroll_offset.y + y - 1
        if index >= self.count:
            return Strip.blank(width, self.rich_style)
        line = self._lines.get(index)
        if line is None:
            line = self._lines[index] = self._layout.line(self._draw(index))
        highlighted = index == self.highlighted
        return self._strip(line, self._sign(index, highlighted), highlighted=highlighted)

    def _sign(self, index: int, highlighted: bool) -> str:
        pointer = self._marks.pointer if highlighted else " "
        mark = "" if self._marked is None else self._marks.running if self._marked(index) else " "
        return f"{pointer}{mark} "

    def _strip(self, line: Content, sign: str, *, highlighted: bool) -> Strip:
        key = (line.plain, sign, highlighted, self.has_focus)
        strip = self._strips.get(key)
        if strip is None:
            style = self.get_visual_style("row-table--row", *(("row-table--highlighted",) if highlighted else ()))
            content = Content.assemble((sign, "$text-accent"), line)
            (strip,) = Visual.to_strips(self, content, self.size.width, 1, style, pad=True, apply_selection=False)
            self._strips[key] = strip
        return strip

    # --- moving --------------------------------------------------------------------------------------------------

    def watch_highlighted(self, before: int, now: int) -> None:
        """Show it: two lines are drawn anew, or all where it scrolls."""
        if not self.count:
            return
        self._keep_in_sight()
        top = self.scroll_offset.y - 1
        for index in (before, now):
            if 0 < index - top < self.size.height:
                self.refresh(Region(0, index - top, self.size.width, 1))
        self.post_message(self.Highlighted(self))

    def validate_highlighted(self, index: int) -> int:
        """A row there is."""
        return max(0, min(index, self.count - 1))

    def _keep_in_sight(self) -> None:
        rows, first = self.size.height - 1, self.scroll_offset.y
        if rows <= 0:
            return
        if self.highlighted < first:
            self.scroll_to(y=self.highlighted, animate=False)
        elif self.highlighted >= first + rows:
            self.scroll_to(y=self.highlighted - rows + 1, animate=False)

    def action_move(self, rows: int) -> None:
        """Up or down."""
        before = self.highlighted
        self.highlighted += rows
        if self.highlighted == before:
            self.post_message(self.Beyond(self, rows))

    def action_page(self, pages: int) -> None:
        """As many rows as can be seen."""
        self.highlighted += pages * max(1, self.size.height - 2)

    def action_move_to(self, index: int) -> None:
        """To a row, from the end when negative."""
        self.highlighted = index if index >= 0 else self.count + index

    def action_choose(self) -> None:
        """Open it."""
        if self.count:
            self.post_message(self.Chosen(self))

    def on_click(self, event: Click) -> None:
        """A row, or the heading of a column."""
        if event.y == 0:
            self._heading(event.x)
            return
        index = self.scroll_offset.y + event.y - 1
        if index < self.count:
            self.highlighted = index
            if event.chain == 2:
                self.post_message(self.Chosen(self))

    def _heading(self, x: int) -> None:
        left = self._signs
        for index, _, width in () if self._layout is None else self._layout.shape:
            if left <= x < left + width + GAP and index < len(self.keys):
                self.post_message(self.Heading(self, self.keys[index]))
                return
            left += width + GAP
