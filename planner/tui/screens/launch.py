"""A launch: what it is doing, how it ended, and everything it said."""

import re
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import RichLog

from planner.serve.state import DeploymentRecord
from planner.tui.columns import MUTED, hanging, lines
from planner.tui.figures import cells_of
from planner.tui.marks import Marks
from planner.tui.state import Launch, State
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.key_bar import KeyBar
from planner.tui.widgets.title_bar import TitleBar
from planner.units import printable

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?) ?%")
_WIDE_GAP = re.compile(r" {2,}")
_DRAWN_BAR = re.compile(r"\[[#-]+\] ?")
"""The command line's own bar; ours is drawn below the words."""
_MAX_LOG_LINES = 5000


class LaunchStatus(Fitted):
    """The launch in a few lines: state, progress, result."""

    launch: Launch | None = None
    now_s = 0.0

    def draw(self, width: int) -> Content:
        """Title, then progress or the end."""
        launch = self.launch
        if launch is None:
            return Content("")
        parts = [Content.styled(printable(launch.title), "bold"), self._state(launch)]
        if launch.under_way:
            parts += self._progress(launch, width)
        elif launch.problem is not None:
            if not launch.outcome or not launch.outcome.cancelled:
                parts.append(hanging(self.marks.failed, launch.problem.message, width, "$text-error"))
            if launch.problem.hint:
                parts.append(hanging(self.marks.arrow, launch.problem.hint, width))
        else:
            parts += self._result(launch.deployment, width)
        return lines(parts)

    def _state(self, launch: Launch) -> Content:
        elapsed = duration((launch.ended_s if launch.ended_s is not None else self.now_s) - launch.started_s)
        if launch.under_way:
            word = "cancelling" if launch.cancelling else "launching"
            return Content.assemble((f"{self.marks.starting} {word}", "$text-accent"), f"  {elapsed}")
        if launch.outcome is not None and launch.outcome.cancelled:
            return Content.assemble((f"{self.marks.stopped} cancelled", "$text-warning"), f"  after {elapsed}")
        if launch.problem is not None:
            return Content.assemble((f"{self.marks.failed} failed", "$text-error"), f"  after {elapsed}")
        return Content.assemble((f"{self.marks.done} running", "$text-success"), f"  after {elapsed}")

    def _progress(self, launch: Launch, width: int) -> list[Content]:
        share = percent_in(launch.line)
        words = launch.line if share is None else _WIDE_GAP.sub(", ", _DRAWN_BAR.sub("", launch.line))
        line = hanging(" ", words or f"starting {self.marks.ellipsis}", width)
        if share is None:
            return [line]
        room = min(60, max(10, width - 4))
        done = cells_of((round(share * 100),), 10000, room)[0]
        bar = Content.assemble(
            "  ", (self.marks.weights * done, "$primary"), (self.marks.free * (room - done), MUTED)
        )
        return [line, bar]

    def _result(self, record: DeploymentRecord | None, width: int) -> list[Content]:
        if record is None:
            return [hanging(self.marks.arrow, "It runs; planner status shows how to call it.", width)]
        found = [
            hanging(self.marks.arrow, f"{record.gateway_url}/v1 speaks the OpenAI API", width),
            hanging(self.marks.arrow, f"the key is in {record.api_key_file}", width),
        ]
        for check in record.verification:
            sign, style = (self.marks.done, "$text-success") if check.ok else (self.marks.failed, "$text-error")
            found.append(hanging(sign, f"{check.name}: {check.detail}", width, "" if check.ok else style))
        return found


class LaunchScreen(Screen[None]):
    """Follows the app's launch. Leaving it does not end anything."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l", "back", "Back", key_display="esc"),
        Binding("c", "cancel", "Cancel launch"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__()
        self._marks = marks
        self._written = 0

    @property
    def _app(self) -> "PlannerApp":
        return cast("PlannerApp", self.app)

    def compose(self) -> ComposeResult:
        """Status above, log below."""
        yield TitleBar(id="title", marks=self._marks)
        with VerticalScroll(id="launch-status"):
            yield LaunchStatus(marks=self._marks)
        log = RichLog(
            id="launch-log", wrap=True, markup=False, highlight=False, min_width=20, max_lines=_MAX_LOG_LINES
        )
        log.border_title = "Log"
        yield log
        yield KeyBar(marks=self._marks)

    def on_mount(self) -> None:
        """Follow the state, and the clock."""
        self.watch(self.app, "state", self._show)
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        if self._app.state.launch is not None and self._app.state.launch.under_way:
            self._show(self._app.state)

    def _show(self, state: State) -> None:
        status = self.query_one(LaunchStatus)
        launch = state.launch
        if launch is not None and (status.launch is None or status.launch.started_s != launch.started_s):
            self.query_one(RichLog).clear()
            self._written = 0
        ended = status.launch is not None and launch is not None and status.launch.under_way != launch.under_way
        status.launch, status.now_s = launch, self._app.services.clock()
        status.redraw()
        self.query_one(TitleBar).show("launch")
        log = self.query_one(RichLog)
        for text in self._app.launch_lines(self._written):
            log.write(Text(text))
        self._written = launch.lines_seen if launch is not None else 0
        if ended:
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is under way can be cancelled."""
        del parameters
        launch = self._app.state.launch
        return action != "cancel" or (launch is not None and launch.under_way and not launch.cancelling)

    def action_back(self) -> None:
        """To the plans; the launch goes on."""
        self.app.pop_screen()

    def action_cancel(self) -> None:
        """End the launch."""
        self._app.cancel_launch()


def duration(seconds: float) -> str:
    """`0:42`."""
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def percent_in(text: str) -> float | None:
    """The share that a progress line speaks of, in 0..100."""
    found = _PERCENT.search(text)
    return min(100.0, float(found[1])) if found else None
