"""The app: it puts its parts together, owns the state, and gives each message to the part whose it is."""

import signal
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.events import Resize
from textual.filter import LineFilter
from textual.reactive import reactive

from planner.core.models.model import Model, Variant
from planner.core.pairs.recommendation import Recommendation
from planner.tui.deployments import READ_EVERY_S, Deployments
from planner.tui.downloader import Downloader
from planner.tui.keeping import Keeping
from planner.tui.launcher import Launcher
from planner.tui.marks import UNICODE, AsciiFilter, Marks
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
from planner.tui.navigation import Navigation
from planner.tui.planning import Planning
from planner.tui.problem import Problem
from planner.tui.quitting import Quitting
from planner.tui.remembered import Remembered
from planner.tui.screens import registry
from planner.tui.screens.confirm import Confirm
from planner.tui.services import Services
from planner.tui.signals import Ending
from planner.tui.state import State
from planner.tui.themes import THEMES, described, first_theme

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord


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
        Binding("f1", "help", "Help", show=False, priority=True, key_display="F1"),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True, key_display="^q"),
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
        self.services = services or Services()
        self.marks = marks
        self.crash: str | None = None
        self._first = (page, model)
        self._ending = Ending(signals, lambda code: self.exit(return_code=code))
        self._keeping = Keeping(self)
        self._navigation = Navigation(self)
        self._planning = Planning(self)
        self._deployments = Deployments(self)
        self.launcher = Launcher(self)
        self.downloader = Downloader(self)
        self._quitting = Quitting(self)
        for theme in THEMES:
            self.register_theme(theme)
        remembered = self.remembered.get("theme", "")
        self._begin_with(first_theme(remembered, self.available_themes, few_colours=few_colours))
        self._navigation.offer_pages()

    def on_mount(self) -> None:
        """Begin to look, and keep an eye on the servers."""
        self._ending.listen()
        self.look()
        self.downloader.recall()
        self.set_interval(READ_EVERY_S, self._deployments.follow)
        page, model = self._first
        self.open_page(page)
        if model:
            self.open_model(model)

    def end(self) -> None:
        """After the app: choices are written, what is still under way is told to end."""
        self._keeping.close()
        self.downloader.close()
        self.launcher.close()

    def hung_up(self) -> None:
        """The terminal is gone; called from a thread of its own."""
        self._ending.hung_up()

    def _handle_exception(self, error: Exception) -> None:
        """Keep the traceback for the log file; the terminal gets one line (see `run`), not a page full of values."""
        if self.crash is None:
            self.crash = "".join(traceback.format_exception(error))
        super()._handle_exception(error)
        self._exit_renderables.clear()

    # --- how it looks ----------------------------------------------------------------------------------------------

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

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Nothing but ASCII for a terminal without Unicode."""
        filters = super().get_line_filters()
        return filters if self.marks is UNICODE else [*filters, AsciiFilter()]

    # --- what screens wish -----------------------------------------------------------------------------------------

    @property
    def remembered(self) -> Remembered:
        """The choices of this run and those before."""
        return self._keeping.remembered

    def remember(self, name: str, value: object) -> None:
        """Keep a choice (a JSON value) beyond this run, without waiting; None forgets it."""
        self._keeping.remember(name, value)

    @property
    def highlighted_plan(self) -> Recommendation | None:
        """The plan that Home looks at closer."""
        return self._navigation.highlighted_plan

    def open_page(self, name: str) -> None:
        """Go to a page as it was left."""
        self._navigation.open_page(name)

    def open_model(self, model_id: str) -> None:
        """A model's page, on top of this one."""
        self._navigation.open_detail("model", model_id)

    def open_compare(self, model_ids: Sequence[str]) -> None:
        """Models side by side, on top of this page."""
        self._navigation.open_detail("compare", tuple(model_ids))

    def open_explain(self, what: object) -> None:
        """Where a number comes from, on top of this page."""
        self._navigation.open_detail("explain", what)

    def act_on(self, page: str, action: str) -> None:
        """Go to a page, then do what one of its keys does."""
        self._navigation.act_on(page, action)

    def look(self) -> None:
        """Look at the machine, then plan; what is shown stays until there is something newer."""
        self._planning.look()

    def give_up_looking(self) -> None:
        """Drop a look at the machine, or a search for plans, that goes on."""
        self._planning.give_up()

    def ask_to_stop(self, record: "DeploymentRecord") -> None:
        """Stop a deployment, after a yes."""
        self._deployments.ask_to_stop(record)

    def launch(self, plan: Recommendation | None) -> None:
        """Fetch and launch a plan, or the starter pair; one launch at a time."""
        self.launcher.start(plan)
        self.show_launch()

    def show_launch(self) -> None:
        """Go to the launch's screen, wherever it was left open."""
        self._navigation.open_once("launch")

    def cancel_launch(self) -> None:
        """Ask the launch to end; how it does is shown."""
        self.launcher.cancel()
        self.screen.refresh_bindings()

    def download(self, model: Model, variant: Variant) -> None:
        """Fetch a model in a quant beside everything else; one after the other."""
        self.downloader.add(model, variant)

    def ask_about_licences(self, terms: Sequence[str], answered: Callable[[bool | None], None]) -> None:
        """Whether what a licence does not allow is accepted, before anything under it is fetched."""
        question = "Do you accept this licence?" if len(terms) == 1 else "Do you accept these licences?"
        body = "\n\n".join([*terms, "The answer is remembered for this machine."])
        self.push_screen(Confirm(question, body, yes="Accept", no="Do not fetch"), answered)

    # --- what background work tells --------------------------------------------------------------------------------

    @on(Looked)
    def _looked(self, message: Looked) -> None:
        self._planning.looked(message.found)
        if isinstance(message.found, Problem):
            self._deployments.read()

    @on(Planned)
    def _planned(self, message: Planned) -> None:
        self._planning.planned(message.found)
        self._deployments.read()  # not earlier: at the start it would keep the plans waiting

    @on(MoreFound)
    def _more_found(self, message: MoreFound) -> None:
        self._planning.more_found(message.plans, message.found)

    @on(ServersRead)
    def _servers_read(self, message: ServersRead) -> None:
        self._deployments.found(message.found)

    @on(StopEnded)
    def _stopped(self, message: StopEnded) -> None:
        self._deployments.stopped(message.name, message.outcome)

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
        self._deployments.read()

    @on(DownloadTold)
    def _download_told(self, message: DownloadTold) -> None:
        self.downloader.told(message.reference, message.told)

    @on(DownloadEnded)
    def _download_ended(self, message: DownloadEnded) -> None:
        self.downloader.ended(message.reference, message.outcome)

    def on_resize(self, event: Resize) -> None:
        """There may be too little room, or enough again."""
        self._navigation.fit(event.size)

    # --- its own keys ----------------------------------------------------------------------------------------------

    def action_open_page(self, name: str) -> None:
        """A page, from a key or a click."""
        self.open_page(name)

    def action_help(self) -> None:
        """Show the keys, those of this screen first."""
        self._navigation.open_help()

    async def action_quit(self) -> None:
        """Quit at once; asks only when that ends a launch or a download. Deployments keep running."""
        self._quitting.quit()
