"""The app: it owns the state, starts the work, and survives what goes wrong in it."""

import asyncio
import contextlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console
from textual import on, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Resize
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.screen import Screen

from planner.core.models.model import Model, Variant
from planner.core.pairs.recommendation import Recommendation
from planner.errors import PlannerError
from planner.tui.child import Outcome
from planner.tui.data.aside import Aside
from planner.tui.data.machine import Situation
from planner.tui.downloader import Downloader
from planner.tui.hang_up import GONE, watch_terminal
from planner.tui.launcher import Launcher
from planner.tui.marks import ASCII, UNICODE, AsciiFilter, Marks, speaks_unicode
from planner.tui.messages import (
    DownloadEnded,
    DownloadTold,
    LaunchEnded,
    LaunchLine,
    LaunchTold,
    LicencesRead,
    Looked,
    MoreFound,
    Planned,
    ServersRead,
    StopEnded,
)
from planner.tui.problem import Problem
from planner.tui.remembered import Remembered
from planner.tui.screens import registry
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.too_small import TooSmall, too_small
from planner.tui.services import Services
from planner.tui.state import State
from planner.tui.themes import DARK, THEMES, described
from planner.tui.workers import in_background

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord

LOOK_DEADLINE_S = 20.0
PLAN_DEADLINE_S = 60.0
SERVERS_EVERY_S = 2.0
_KEEP_AFTER_S = 0.3
"""Choices that change quickly (each letter of a search) are written once."""


def _palette() -> type[Provider]:
    """Imported when it is first opened."""
    from planner.tui.screens.palette import Commands

    return Commands


class PlannerApp(App[None]):
    """`services` are the seams to the world, `marks` the signs to draw with; `page` (and `model`) come first."""

    TITLE = "planner"
    DEFAULT_MODE = "home"
    CSS_PATH = "planner.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?", tooltip="this help"),
        Binding("q", "quit", "Quit", tooltip="quit; what is running keeps running"),
        Binding("ctrl+c", "quit", show=False, priority=True),
        *(
            Binding(str(number), f"open_page('{name}')", title, show=False)
            for number, (name, title) in enumerate(registry.TITLES.items(), 1)
        ),
    ]

    state: reactive[State] = reactive(State())

    def __init__(
        self,
        services: Services | None = None,
        *,
        marks: Marks = UNICODE,
        signals: Sequence[signal.Signals] = (),
        page: str = "home",
        model: str = "",
        few_colours: bool = False,
    ) -> None:
        super().__init__()
        self._few_colours = few_colours
        self.services = services or Services()
        self.marks = marks
        self.remembered = Remembered(self.services.recall())
        self._first = (page, model)
        self.crash: str | None = None
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._signals = signals
        self.launcher = Launcher(self)
        self.downloader = Downloader(self)
        for theme in THEMES:
            self.register_theme(theme)
        self._begin_with(self._first_theme())
        for name in registry.offered():
            self.add_mode(name, partial(self._make, name))

    def _first_theme(self) -> str:
        theme = self.remembered.get("theme", "")
        if theme in self.available_themes:
            return theme
        return "ansi-dark" if self._few_colours else DARK.name  # ours rounded to 16 lose the quiet ones

    def _begin_with(self, theme: str) -> None:
        """Set the first theme. Nothing is drawn yet, and the watcher would have the whole stylesheet read twice."""
        if self.available_themes[theme].ansi:
            self.theme = theme
            return
        dark = self.available_themes[theme].dark
        self.set_reactive(PlannerApp.theme, theme)
        self.update_classes({f"-theme-{theme}": True, "-dark-mode": dark, "-light-mode": not dark}, update=False)
        self.stylesheet.set_variables(self.get_css_variables())

    @property
    def themes(self) -> tuple[tuple[str, str], ...]:
        """Names, and a word about each."""
        return described(self.available_themes)

    def use_theme(self, name: str) -> None:
        """Draw in other colours, from now on."""
        self.theme = name
        self.remember("theme", name)

    def _make(self, name: str, *arguments: object) -> Screen[Any]:
        make: Callable[..., Screen[Any]] = registry.load_screen(name)
        return make(*arguments, marks=self.marks)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Nothing but ASCII for a terminal without Unicode."""
        filters = super().get_line_filters()
        return filters if self.marks is UNICODE else [*filters, AsciiFilter()]

    def on_mount(self) -> None:
        """Begin to look, and keep an eye on the servers."""
        self._own_loop = asyncio.get_running_loop()
        for number in self._signals:
            with contextlib.suppress(NotImplementedError, ValueError):
                self._own_loop.add_signal_handler(number, partial(self._signalled, number))
        self.look()
        self.downloader.recall()
        self.set_interval(SERVERS_EVERY_S, self._read_servers)
        page, model = self._first
        self.open_page(page)
        if model:
            self.open_model(model)

    # --- going places, remembering -------------------------------------------------------------------------------

    def open_page(self, name: str) -> None:
        """Go to a page as it was left; nothing happens when there is no such page."""
        if name in registry.offered():
            self.switch_mode(name)

    @property
    def highlighted_plan(self) -> Recommendation | None:
        """The plan that Home looks at closer."""
        from planner.tui.widgets.plan_list import PlanList

        lists = [found for screen in self._screen_stacks.get("home", ()) for found in screen.query(PlanList)]
        return lists[0].selected if lists else None

    def open_model(self, model_id: str) -> None:
        """A model's page, on top of this one."""
        self._open("model", model_id)

    def open_compare(self, model_ids: Sequence[str]) -> None:
        """Models side by side, on top of this page."""
        self._open("compare", tuple(model_ids))

    def open_explain(self, what: object) -> None:
        """Where a number comes from, on top of this page."""
        self._open("explain", what)

    def _open(self, detail: str, argument: object) -> None:
        if detail in registry.DETAILS:
            self.push_screen(self._make(detail, argument))

    def act_on(self, page: str, action: str) -> None:
        """Go to a page, then do what one of its keys does."""
        self.open_page(page)
        screen = self.screen
        self.call_after_refresh(self.run_action, action, screen)

    def action_open_page(self, name: str) -> None:
        """Same, from a key or a click."""
        self.open_page(name)

    def remember(self, name: str, value: object) -> None:
        """Keep a choice (a JSON value) beyond this run, without waiting; None forgets it."""
        self.remembered.put(name, value)
        if self.remembered.changed and self.is_running:
            self._keep()

    @work(exclusive=True, exit_on_error=False, group="keep", description="keep")
    async def _keep(self) -> None:
        await asyncio.sleep(_KEEP_AFTER_S)
        try:
            await in_background(partial(self.services.keep, self.remembered.taken()))
        except asyncio.CancelledError:
            self.remembered.changed = True  # nobody knows whether it was written: `end` does it again
            raise

    def on_resize(self, event: Resize) -> None:
        """A terminal that is too small gets one message; what was there comes back with the room."""
        if not self.screen_stack:
            return
        covered = isinstance(self.screen, TooSmall)
        if too_small(event.size) and not covered:
            self.push_screen(TooSmall())
        elif covered and not too_small(event.size):
            self.pop_screen()

    # --- the machine and the plans -------------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the machine, then plan; what is shown stays until there is something newer."""
        self.state = replace(self.state, looking=True)
        self._look()

    @work(exclusive=True, exit_on_error=False, group="look", description="look")
    async def _look(self) -> None:
        self.post_message(Looked(await in_background(self.services.look, deadline_s=LOOK_DEADLINE_S)))

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        found = message.found
        if isinstance(found, Problem):
            self.state = replace(self.state, looking=False, look_problem=found)
            self._read_servers()
            return
        self.state = replace(self.state, looking=False, planning=True, look_problem=None, situation=found)
        self._plan(found)

    @work(exclusive=True, exit_on_error=False, group="plan", description="plan")
    async def _plan(self, situation: Situation) -> None:
        found = await in_background(partial(self.services.plan, situation), deadline_s=PLAN_DEADLINE_S)
        self.post_message(Planned(found))

    @on(Planned)
    def _planned(self, message: Planned) -> None:
        found = message.found
        plans, problem = ((), found) if isinstance(found, Problem) else (found, None)
        self.state = replace(self.state, planning=False, plans=plans, plan_problem=problem)
        if plans and self.state.situation is not None:
            self._more(self.state.situation, plans)
        self._read_servers()  # not earlier: at the start it would keep the plans waiting

    @work(exclusive=True, exit_on_error=False, group="more", description="more")
    async def _more(self, situation: Situation, plans: tuple[Recommendation, ...]) -> None:
        found = await in_background(partial(self.services.more, situation, plans), deadline_s=PLAN_DEADLINE_S)
        self.post_message(MoreFound(plans, found))

    @on(MoreFound)
    def _more_found(self, message: MoreFound) -> None:
        if message.plans is self.state.plans and not isinstance(message.found, Problem):
            self.state = replace(self.state, extras=message.found)

    # --- the servers ---------------------------------------------------------------------------------------------

    @work(exclusive=True, exit_on_error=False, group="servers", description="servers")
    async def _read_servers(self) -> None:
        self.post_message(ServersRead(await in_background(self.services.servers, deadline_s=LOOK_DEADLINE_S)))

    @on(ServersRead)
    def _servers_read(self, message: ServersRead) -> None:
        found = message.found
        if isinstance(found, Problem):
            self.state = replace(self.state, servers_problem=found, servers_known=True)
        else:
            self.state = replace(self.state, servers=found, servers_problem=None, servers_known=True)

    def ask_to_stop(self, record: "DeploymentRecord") -> None:
        """Stop a deployment, after a yes."""
        if record.name in self.state.stopping:
            return
        models = " and ".join(process.model.rsplit("/", 1)[-1] for process in record.processes)
        address = f" Programs that use {record.gateway_url} will lose it." if record.gateway_url else ""
        question = Confirm(
            f"Stop “{record.name}”?", f"{models or 'Its engines'} will end.{address}", yes="Stop it", no="Leave it"
        )
        if record.state in ("failed", "stopped"):
            words = "Nothing of it runs any more. It leaves the list; its logs stay until it is started again."
            question = Confirm(f"Forget “{record.name}”?", words, yes="Forget it", no="Keep it")

        def answered(yes: bool | None) -> None:
            if yes:
                self.state = replace(self.state, stopping=self.state.stopping | {record.name}, stop_problem=None)
                self._stop(record.name)

        self.push_screen(question, answered)

    @work(exit_on_error=False, group="stop", description="stop")
    async def _stop(self, name: str) -> None:
        def run() -> Outcome:
            return self.services.start(["stop", name, "--json"], _silent).wait()

        found = await in_background(run)
        self.post_message(StopEnded(name, Outcome({}, found) if isinstance(found, Problem) else found))

    @on(StopEnded)
    def _stopped(self, message: StopEnded) -> None:
        problem = message.outcome.problem
        self.state = replace(
            self.state,
            stopping=self.state.stopping - {message.name},
            stop_problem=replace(problem, message=f"“{message.name}” was not stopped: {problem.message}")
            if problem
            else None,
        )
        self._read_servers()

    # --- the launch ----------------------------------------------------------------------------------------------

    def launch(self, plan: Recommendation | None) -> None:
        """Fetch and launch a plan, or the starter pair; one launch at a time."""
        self.launcher.start(plan)
        self.show_launch()

    @on(LicencesRead)
    def _licences_read(self, message: LicencesRead) -> None:
        self.launcher.licences_read(message.found)

    @on(LaunchLine)
    def _launch_line(self, message: LaunchLine) -> None:
        self.launcher.said(message.text, transient=message.transient)

    @on(LaunchTold)
    def _launch_told(self, message: LaunchTold) -> None:
        self.launcher.told(message.told)

    @on(LaunchEnded)
    def _launch_ended(self, message: LaunchEnded) -> None:
        self.launcher.ended(message.outcome)
        self._read_servers()

    def ask_about_licences(self, terms: Sequence[str], answered: Callable[[bool | None], None]) -> None:
        """Whether what a licence does not allow is accepted, before anything under it is fetched."""
        question = "Do you accept this licence?" if len(terms) == 1 else "Do you accept these licences?"
        body = "\n\n".join([*terms, "The answer is remembered for this machine."])
        self.push_screen(Confirm(question, body, yes="Accept", no="Do not fetch"), answered)

    def show_launch(self) -> None:
        """Go to the launch's screen, wherever it was left open."""
        if registry.name_of(self.screen) == "launch":
            return
        for name in registry.offered():
            if registry.name_of(self._screen_stacks.get(name, [None])[-1]) == "launch":
                self.open_page(name)
                return
        self.push_screen(self._make("launch"))

    def cancel_launch(self) -> None:
        """Ask the launch to end; how it does is shown."""
        self.launcher.cancel()
        self.screen.refresh_bindings()

    # --- downloads -----------------------------------------------------------------------------------------------

    def download(self, model: Model, variant: Variant) -> None:
        """Fetch a model in a quant beside everything else; one after the other."""
        self.downloader.add(model, variant)

    @on(DownloadTold)
    def _download_told(self, message: DownloadTold) -> None:
        self.downloader.told(message.reference, message.told)

    @on(DownloadEnded)
    def _download_ended(self, message: DownloadEnded) -> None:
        self.downloader.ended(message.reference, message.outcome)

    # --- help, quit, crash ---------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """Show the keys, those of this screen first."""
        from planner.tui.keys import groups
        from planner.tui.screens.help import Help

        if not isinstance(self.screen, Help):
            here = registry.name_of(self.screen) or self.current_mode
            self.push_screen(Help(groups(type(self), here), marks=self.marks))

    async def action_quit(self) -> None:
        """Quit at once; asks only when that ends a launch or a download. Deployments keep running."""
        ends = self._ended_by_quitting()
        if not ends or isinstance(self.screen, Confirm):
            self.exit(return_code=0)
            return
        kept = "What was downloaded is kept."
        if self.downloader.at_stake:
            kept += " Next time downloads wait on their page where they stopped; space lets them go on."
        question = Confirm(
            f"Quit and {' and '.join(ends)}?", f"{kept} What is already running keeps running.", yes="Quit", no="Stay"
        )

        def answered(yes: bool | None) -> None:
            if yes:
                self.exit(return_code=0)

        self.push_screen(question, answered)

    def _ended_by_quitting(self) -> list[str]:
        launch, count = self.state.launch, len(self.downloader.at_stake)
        ends = ["cancel the launch"] if launch is not None and launch.under_way else []
        if count:
            ends.append("stop the download" if count == 1 else f"stop {count} downloads")
        return ends

    def end(self) -> None:
        """After the app: choices are written, a launch still under way is told to end."""
        if self.remembered.changed:
            with contextlib.suppress(OSError, PlannerError):
                self.services.keep(self.remembered.taken())
        self.downloader.close()
        self.launcher.close()

    def hung_up(self) -> None:
        """The terminal is gone; called from a thread of its own."""
        if self._own_loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._own_loop.call_soon_threadsafe(partial(self.exit, return_code=GONE))

    def _signalled(self, number: signal.Signals) -> None:
        self.exit(return_code=128 + number)

    def _handle_exception(self, error: Exception) -> None:
        """Keep the traceback for the log file; the terminal gets one line (see `run`), not a page full of values."""
        if self.crash is None:
            self.crash = "".join(traceback.format_exception(error))
        super()._handle_exception(error)
        self._exit_renderables.clear()


def _silent(_text: str, _transient: bool) -> None:
    """Nobody listens."""


def run(services: Services | None = None, *, aside: Aside | None = None, page: str = "home", model: str = "") -> int:
    """Run the app on this terminal, beginning with a page and a model's on top of it; returns the exit code.

    `aside`: where the first look at the machine is under way. The terminal is restored whatever happens.
    """
    aside = aside or Aside()
    services = services or Services(look=aside.look, plan=aside.plan, more=aside.more)
    marks = UNICODE if speaks_unicode(os.environ, sys.stdout.encoding) else ASCII
    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    sys.setswitchinterval(0.001)  # estimates made in threads let go of the interpreter sooner when a key comes
    app: PlannerApp | None = None
    crash: str | None = None
    watch: threading.Event | None = None
    try:
        few_colours = Console(force_terminal=True).color_system == "standard"
        app = PlannerApp(services, marks=marks, signals=ends, page=page, model=model, few_colours=few_colours)
        watch = watch_terminal(app.hung_up, partial(_settle, app, aside))
        app.run()
        crash = app.crash
    except Exception:  # noqa: BLE001  # the last line of defence: one line, not a traceback
        crash = traceback.format_exc()
    finally:
        _settle(app, aside)
        if watch is not None:
            watch.set()
    if crash is not None:
        sys.stderr.write(report_crash(crash))
        return 1
    return app.return_code or 0 if app is not None else 1


def _settle(app: PlannerApp | None, aside: Aside) -> None:
    """What is to be done whatever ended the app: work under way is ended, choices are written."""
    aside.close()
    if app is not None:
        app.end()


def report_crash(crash: str, state_dir: Path | None = None) -> str:
    """Write a traceback to the log file (readable by its owner alone); returns the one line for people."""
    what = crash.strip().rsplit("\n", 1)[-1][:200]
    try:
        if state_dir is None:
            from planner.config import load_config

            state_dir = load_config().state_dir
        folder = state_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "app-crash.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')}\n{crash}")
    except Exception as error:  # noqa: BLE001  # a crash report must not crash
        return f"Error: the app crashed ({what}), and its log could not be written: {error}\n"
    return f"Error: the app crashed ({what}). The details are in {path}; please report them.\n"
