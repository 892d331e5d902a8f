"""The pages, in a row: the one that is open stands out, a click or its number opens another."""

from textual.content import Content, Span
from textual.style import Style

from planner.tui.columns import MUTED
from planner.tui.screens.registry import TITLES, offered
from planner.tui.widgets.fitted import Fitted

_GAP = 2


class Tabs(Fitted):
    """One line. Numbers give way first where it is narrow."""

    current = ""

    def on_mount(self) -> None:
        """Its own colours, not those of links."""
        self.auto_links = False

    def show(self, current: str) -> None:
        """Which page is open."""
        if current != self.current:
            self.current = current
            self.redraw()

    def draw(self, width: int) -> Content:
        """One line."""
        names = offered()
        numbers = {name: str(number) for number, name in enumerate(TITLES, 1)}
        wide = sum(len(numbers[name]) + 1 + len(TITLES[name]) + _GAP for name in names)
        return Content("").join(self._tab(name, numbers[name] if wide <= width else "") for name in names)

    def _tab(self, name: str, number: str) -> Content:
        here = name == self.current
        text = f" {number} {TITLES[name]} " if number else f" {TITLES[name]} "
        click = Style.from_meta({"@click": f"app.open_page('{name}')"})
        style = "bold $foreground on $primary 30%" if here else MUTED
        content = Content.styled(text, style)
        return Content(content.plain, [*content.spans, Span(0, len(text), click)])
