"""Servers: what runs, measured against estimated, what it does now, what it says, and how to end or mend it."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message

from planner.serve.state import ENDED, DeploymentRecord
from planner.tui.child import Outcome
from planner.tui.columns import MUTED, hanging, lines
from planner.tui.data.activity import Activity, Counters, with_reading
from planner.tui.data.server_logs import ACCESS
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.screens.client_settings import ClientSettings
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.page import Page
from planner.tui.state import State
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.row_table import RowTable
from planner.tui.widgets.server_detail import ServerDetail
from planner.tui.widgets.server_log import ServerLog
from planner.tui.widgets.server_rows import server_columns, server_row
from planner.tui.workers import in_background

EVERY_S = 2.0
DEADLINE_S = 20.0
_MOST_ROWS = 6
_STARTER = "t launches the starter pair: two small models, about 0.2 GB."


class CountersRead(Message):
    """Counters by deployment, or in words why there are none."""

    def __init__(self, found: dict[str, Counters | str] | Problem) -> None:
        super().__init__()
        self.found = found


class Restarted(Message):
    """Starting again ended, well or not."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        super().__init__()
        self.name = name
        self.outcome = outcome


class RestartSays(Message):
    """What starting again is doing."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.name = name
        self.text = text


class NoServers(Fitted):
    """Why there is no list: nothing runs, or what runs cannot be read."""

    problem: Problem | None = None
    nothing = False

    def show(self, problem: Problem | None, *, nothing: bool) -> None:
        """New values. Before anybody looked it is not `nothing`."""
        self.problem, self.nothing = problem, nothing
        self.redraw()

    def draw(self, width: int) -> Content:
        """A problem with what to do, or what launches something."""
        parts: list[Content] = []
        if self.problem is not None:
            parts.append(hanging(self.marks.failed, self.problem.message, width, "$text-error"))
            if self.problem.hint:
                parts.append(hanging(self.marks.arrow, self.problem.hint, width))
        if self.nothing:
            parts.append(hanging(self.marks.stopped, "Nothing runs.", width, MUTED))
            parts.append(hanging(self.marks.arrow, _STARTER, width))
            parts.append(hanging(self.marks.arrow, "1 is Home, with the pairs for this machine.", width))
        elif self.problem is None:
            parts.append(Content.styled(f"looking at what runs {self.marks.ellipsis}", MUTED))
        return lines(parts)


class ServersPage(Page):
    """Reads counters and logs while it can be seen; leaving the app leaves the servers alone."""

    CSS_PATH = "servers.tcss"
    AUTO_FOCUS = "#servers-table"
    HELP_KEYS: ClassVar[Sequence[tuple[str, str]]] = (
        ("up, down", "another deployment"),
        ("end", "in the log: follow it again"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s,delete", "stop", "Stop", key_display="s", tooltip="stop it, or forget a failed one; asks first"),
        Binding("x", "restart", "Restart", tooltip="stop it and start it again as it was planned; asks first"),
        Binding("c", "settings", "Client settings", tooltip="copy the settings for clients, and show them"),
        Binding("l", "log(1)", "Log of", tooltip="the log of the next process, or of all"),
        Binding("t", "starter", "Starter pair", tooltip="fetch and launch the starter pair"),
    ]

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._records: tuple[DeploymentRecord, ...] = ()
        self._problem: Problem | None = None
        self._stopping: frozenset[str] = frozenset()
        self._activity: dict[str, Activity] = {}
        self._silence: dict[str, str] = {}
        self._restarting: dict[str, str] = {}
        self._failed: dict[str, Problem] = {}
        self._reading = False
        self._known = False
        self._name = ""
        self._log_role = ""

    def compose_body(self) -> ComposeResult:
        """The deployments, the chosen one closer, its log."""
        with Container(id="servers-halves"):
            with Vertical(id="servers-left"):
                with Vertical(id="servers-list-part") as part:
                    part.border_title = "Deployments"
                    yield RowTable(id="servers-table", marks=self.marks)
                    yield NoServers(id="servers-empty", marks=self.marks)
                with VerticalScroll(id="servers-detail-part", can_focus=True):
                    yield ServerDetail(id="servers-detail", marks=self.marks)
            yield ServerLog(id="servers-log", marks=self.marks)

    def on_mount(self) -> None:
        """Look now and then."""
        self._draw()
        self.set_interval(EVERY_S, self._tick)

    def status(self, state: State) -> str:
        """How many run."""
        if not state.servers_known:
            return state.status
        running = sum(record.state not in ENDED for record in state.servers)
        failed = len(state.servers) - running
        words = f"{running} running" if running else "nothing runs"
        return words + (f", {failed} failed" if failed else "")

    def show_state(self, state: State) -> None:
        """Other records."""
        problem = state.stop_problem or state.servers_problem
        known = state.servers_known
        there = {record.name for record in state.servers}
        between = [old for old in self._records if old.name in self._restarting and old.name not in there]
        records = (*state.servers, *between)
        seen = (self._records, self._problem, self._stopping, self._known)
        if (records, problem, state.stopping, known) == seen:
            return
        self._records, self._problem, self._stopping, self._known = records, problem, state.stopping, known
        names = {record.name for record in self._records}
        self._activity = {name: found for name, found in self._activity.items() if name in names}
        self._silence = {name: found for name, found in self._silence.items() if name in names}
        self._failed = {name: found for name, found in self._failed.items() if name in names}
        self._draw()
        self._tick()

    @property
    def selected(self) -> DeploymentRecord | None:
        """The deployment that is looked at."""
        index = self.query_one(RowTable).highlighted
        return self._records[index] if 0 <= index < len(self._records) else None

    def _doing(self, name: str) -> str:
        return "stopping" if name in self._stopping else "restarting" if name in self._restarting else ""

    # --- what is shown -------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        table, empty = self.query_one(RowTable), self.query_one(NoServers)
        names = [record.name for record in self._records]
        now_s = self.planner.services.wall()
        rows = [
            server_row(record, self._activity.get(record.name), self._doing(record.name), now_s, self.marks)
            for record in self._records
        ]
        columns, natural = server_columns(rows)
        table.display = bool(rows)
        height = min(len(rows), _MOST_ROWS) + 1
        if table.size.height != height:  # a layout of the screen is most of what drawing costs
            table.styles.height = height
        table.show_columns(columns, natural)
        table.show_rows(
            len(rows), rows.__getitem__, highlighted=names.index(self._name) if self._name in names else 0
        )
        empty.display = not rows or self._problem is not None
        empty.show(self._problem, nothing=not rows and self._known)
        self.query_one("#servers-detail-part").display = bool(rows)
        self.query_one(ServerLog).display = bool(rows)
        self._draw_detail()
        self.refresh_bindings()

    def _draw_detail(self) -> None:
        detail, record = self.query_one(ServerDetail), self.selected
        detail.record = record
        self._name = "" if record is None else record.name
        if record is not None:
            detail.activity = self._activity.get(record.name)
            detail.silence = self._silence.get(record.name, "")
            detail.doing = self._doing(record.name)
            detail.said = self._restarting.get(record.name, "")
            detail.failed = self._failed.get(record.name)
        detail.redraw()
        self.query_one(ServerLog).follow(self._name, self._log_role, alone=len(self._records) < 2)

    @on(RowTable.Highlighted)
    def _pointed(self, event: RowTable.Highlighted) -> None:
        event.stop()
        self._draw_detail()

    # --- counters ------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self.is_current:
            return
        if self._records and not self._reading:
            self._reading = True
            self._read_counters(self._records)
        self.query_one(ServerLog).read()

    @work(exit_on_error=False, group="counters", description="counters")
    async def _read_counters(self, records: Sequence[DeploymentRecord]) -> None:
        read = partial(self.planner.services.counters, records, self.planner.services.clock())
        self.post_message(CountersRead(await in_background(read, deadline_s=DEADLINE_S)))

    @on(CountersRead)
    def _counters_read(self, message: CountersRead) -> None:
        self._reading = False
        if isinstance(message.found, Problem):
            return
        for name, found in message.found.items():
            if isinstance(found, str):
                self._silence[name] = found
            else:
                self._silence.pop(name, None)
                self._activity[name] = with_reading(self._activity.get(name), found)
        self._draw()

    # --- keys ----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what there is something to do with."""
        del parameters
        record = self.selected if self.is_mounted and self._records else None
        match action:
            case "stop" | "restart":
                return record is not None and not self._doing(record.name)
            case "settings":
                return record is not None and record.address is not None
            case "log":
                return record is not None
            case "starter":
                return not self._records
            case _:
                return True

    def action_stop(self) -> None:
        """End it, after a yes."""
        if self.selected is not None:
            self.planner.ask_to_stop(self.selected)

    def action_restart(self) -> None:
        """Start it again, after a yes where that interrupts somebody."""
        record = self.selected
        if record is None:
            return
        if record.state in ENDED:
            self._restart(record.name)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._restart(record.name)

        question = Confirm(
            f"Start “{record.name}” again?",
            "What it answers now is cut off. It comes back at the same address, with the same models.",
            yes="Start it again",
            no="Leave it",
        )
        self.app.push_screen(question, answered)

    def _restart(self, name: str) -> None:
        self._restarting[name] = "starting again"
        self._failed.pop(name, None)
        self._restart_beside(name)
        self._draw()

    @work(exit_on_error=False, group="restart", description="restart")
    async def _restart_beside(self, name: str) -> None:
        def says(text: str, _transient: bool) -> None:
            self.post_message(RestartSays(name, text))

        def run() -> Outcome:
            return self.planner.services.restart(name, says).wait()

        found = await in_background(run)
        self.post_message(Restarted(name, Outcome({}, found) if isinstance(found, Problem) else found))

    @on(RestartSays)
    def _restart_says(self, message: RestartSays) -> None:
        if message.name in self._restarting:
            self._restarting[message.name] = message.text
            self._draw_detail()

    @on(Restarted)
    def _restarted(self, message: Restarted) -> None:
        self._restarting.pop(message.name, None)
        if message.outcome.problem is not None:
            self._failed[message.name] = message.outcome.problem
        self._activity.pop(message.name, None)
        self.query_one(ServerLog).begin_anew()
        self._draw()

    def action_settings(self) -> None:
        """Copy and show how clients reach it."""
        if self.selected is not None and self.selected.address is not None:
            self.app.push_screen(ClientSettings(self.selected))

    def action_log(self, by: int) -> None:
        """Follow the log of another process."""
        record = self.selected
        if record is None:
            return
        roles = ["", *(process.role for process in record.processes), "supervisor", ACCESS]
        at = roles.index(self._log_role) if self._log_role in roles else 0
        self._log_role = roles[(at + by) % len(roles)]
        self._draw_detail()

    def action_starter(self) -> None:
        """Launch the starter pair."""
        self.planner.launch(None)

    @on(RowTable.Chosen)
    def _chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        self.action_settings()
