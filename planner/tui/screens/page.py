"""The frame of every full screen: title, pages in a row, a body, the keys. A page follows the app's state."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from planner.tui.marks import Marks
from planner.tui.state import State
from planner.tui.widgets.key_bar import KeyBar
from planner.tui.widgets.tabs import Tabs
from planner.tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp


class Page(Screen[None]):
    """One of the pages of the registry. It is made once and kept, so filters and places survive going elsewhere.

    Subclasses give `compose_body` and `show_state`, a `CSS_PATH` of their own (with selectors that begin with the
    class's name: Textual applies a screen's rules to all of them), and `BINDINGS` with a description each.
    """

    HELP_TITLE: ClassVar[str] = ""
    """What Help calls the keys of this screen; the tab's title by default."""
    HELP_KEYS: ClassVar[Sequence[tuple[str, str]]] = ()
    """Keys its widgets understand, with what they do; `BINDINGS` are listed without being named here (a binding's
    `tooltip`, if it has one, says more than its description)."""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (160, "-wide")]  # noqa: RUF012  # declared without ClassVar by Textual
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (20, "-short"), (30, "-tall")]  # noqa: RUF012  # same

    def __init__(self, *, marks: Marks) -> None:
        super().__init__()
        self.marks = marks
        self._shown: State | None = None

    @property
    def planner(self) -> "PlannerApp":
        """The app."""
        return cast("PlannerApp", self.app)

    def compose(self) -> ComposeResult:
        """Title, pages, body, keys."""
        yield TitleBar(id="title", marks=self.marks)
        yield Tabs(id="tabs", marks=self.marks)
        yield from self.compose_body()
        yield KeyBar(marks=self.marks)

    def compose_body(self) -> ComposeResult:
        """What is between the pages' names and the keys."""
        raise NotImplementedError

    def show_state(self, state: State) -> None:
        """Draw what changed. Called with each state while this screen can be seen, and when it comes back."""

    def status(self, state: State) -> str:
        """A few words at the right of the title; the app's by default."""
        return state.status

    def redraw_status(self) -> None:
        """Call it when `status` has changed without the app's state."""
        self.query_one(TitleBar).show(self.status(self.planner.state))

    def on_mount(self) -> None:
        """Follow the state. Textual calls the subclass's `on_mount` first."""
        self.query_one(Tabs).show(self.app.current_mode)
        self.watch(self.app, "state", self._follow)

    def on_screen_resume(self) -> None:
        """Catch up with what was missed."""
        if self.is_mounted:
            self._follow(self.planner.state)

    def _follow(self, state: State) -> None:
        if state is self._shown or self not in self.app.screen_stack:
            return
        self._shown = state
        self.query_one(TitleBar).show(self.status(state))
        self.show_state(state)


class Detail(Page):
    """A full screen on top of a page, made anew each time: a model, a comparison. Escape goes back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", "Back", key_display="esc")]

    def action_back(self) -> None:
        """To what was there before."""
        self.app.pop_screen()
