"""A launch: its parts with state and time, a failure where it happened, the result beside the estimate, the log."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import RichLog

from planner.serve.client_settings import settings_text
from planner.tui.columns import MUTED
from planner.tui.marks import Marks
from planner.tui.screens.page import Detail
from planner.tui.state import Launch, State
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.launch_parts import LaunchParts, clock
from planner.tui.widgets.launch_result import LaunchResult
from planner.units import printable

_MAX_LOG_LINES = 5000


class LaunchHead(Fitted):
    """What is launched, how it stands, and for how long."""

    launch: Launch | None = None
    now_s = 0.0

    def draw(self, width: int) -> Content:
        """Two lines."""
        del width
        launch, marks = self.launch, self.marks
        if launch is None:
            return Content("")
        elapsed = clock((self.now_s if launch.ended_s is None else launch.ended_s) - launch.started_s)
        if launch.under_way:
            sign, word, style = marks.starting, "cancelling" if launch.cancelling else "launching", "$text-accent"
        elif launch.outcome is not None and launch.outcome.cancelled:
            sign, word, style = marks.stopped, "cancelled", "$text-warning"
        elif launch.problem is not None:
            sign, word, style = marks.failed, "failed", "$text-error"
        else:
            sign, word, style = marks.running, "running", "$text-success"
        after = "" if launch.under_way else "after "
        return Content.assemble(
            (printable(launch.title), "bold"), "\n", (f"{sign} {word}", style), (f"  {after}{elapsed}", MUTED)
        )


class LaunchScreen(Detail):
    """Follows the app's launch. Leaving it does not end anything."""

    HELP_TITLE = "A launch"
    CSS_PATH = "launch.tcss"
    AUTO_FOCUS = "#launch-body"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel launch", tooltip="end the launch; what was downloaded is kept"),
        Binding("r", "again", "Try again", tooltip="launch the same once more, after a failure"),
        Binding("y", "copy", "Copy settings", tooltip="copy what clients need, once it runs"),
        Binding("l", "log", "Log", tooltip="show or hide the log"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._written = 0
        self._log_wanted: bool | None = None
        self._before: Launch | None = None

    def compose_body(self) -> ComposeResult:
        """Parts and result above, log below."""
        with VerticalScroll(id="launch-body"):
            yield LaunchHead(id="launch-head", marks=self.marks)
            yield LaunchResult(id="launch-result", marks=self.marks)
            yield LaunchParts(id="launch-parts", marks=self.marks)
        log = RichLog(
            id="launch-log", wrap=True, markup=False, highlight=False, min_width=20, max_lines=_MAX_LOG_LINES
        )
        log.border_title = "Log"
        yield log

    def on_mount(self) -> None:
        """Follow the clock."""
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        launch = self.planner.state.launch
        if launch is not None and launch.under_way:
            self._draw(launch)

    def status(self, state: State) -> str:
        """One word."""
        return "launch"

    def show_state(self, state: State) -> None:
        """Draw the launch, and what was added to its log."""
        launch, before = state.launch, self._before
        if launch is None or launch is before:
            return
        self._before = launch
        log = self.query_one(RichLog)
        if before is None or before.started_s != launch.started_s:
            log.clear()
            self._written, self._log_wanted = 0, None
        for text in self.planner.launcher.lines(self._written):
            log.write(Text(text), expand=True)
        self._written = launch.lines_seen
        self._draw(launch)
        if before is None or before.under_way != launch.under_way or before.cancelling != launch.cancelling:
            self.refresh_bindings()
            self.query_one("#launch-body", VerticalScroll).scroll_home(animate=False)

    def _draw(self, launch: Launch) -> None:
        head, now_s = self.query_one(LaunchHead), self.planner.services.clock()
        head.launch, head.now_s = launch, now_s
        head.redraw()
        self.query_one(LaunchParts).show(launch.parts, launch.problem, now_s)
        self.query_one(LaunchResult).show(launch.deployment, launch.plan)
        # Where it is cramped, and beside a result, the log waits for its key.
        usual = launch.deployment is None and not self.has_class("-tiny")
        shown = usual if self._log_wanted is None else self._log_wanted
        self._show_log(shown)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        launch = self.planner.state.launch
        match action:
            case "cancel":
                return launch is not None and launch.under_way and not launch.cancelling
            case "again":
                return launch is not None and launch.problem is not None
            case "copy":
                return launch is not None and launch.deployment is not None
            case _:
                return super().check_action(action, parameters)

    def action_cancel(self) -> None:
        """End the launch."""
        self.planner.cancel_launch()

    def action_again(self) -> None:
        """The same once more."""
        self.planner.launcher.again()

    def action_copy(self) -> None:
        """Everything a client needs, to the clipboard of the terminal."""
        launch = self.planner.state.launch
        if launch is not None and launch.deployment is not None:
            self.app.copy_to_clipboard(settings_text(launch.deployment))
            self.notify("Copied what clients need, if this terminal lets programs copy.")

    def action_log(self) -> None:
        """Show or hide the log."""
        self._log_wanted = not self.query_one(RichLog).display
        self._show_log(self._log_wanted)

    def _show_log(self, shown: bool) -> None:
        """Without it the rest has all the room."""
        self.query_one(RichLog).display = shown
        self.set_class(not shown, "-without-log")
