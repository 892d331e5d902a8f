"""Downloads: the queue with what can be done to it, and the store with verify, remove and the room on the disk."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from planner.core.launch.events import Event, ProgressTold
from planner.core.models.model import Model, Variant
from planner.tui.child import Outcome
from planner.tui.data.machine import Situation
from planner.tui.data.store import StoreView
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.queue import Download, DownloadState, Queue, find
from planner.tui.screens.confirm import Confirm
from planner.tui.screens.page import Page
from planner.tui.screens.pick import Line, Pick
from planner.tui.state import State
from planner.tui.widgets.download_list import DownloadList
from planner.tui.widgets.store_list import StoreList
from planner.tui.workers import in_background
from planner.units import format_gb

_ALL = ""
"""Stands for every file of the store."""


class DownloadsPage(Page):
    """Draws the app's queue, and the store as it was last read."""

    CSS_PATH = "downloads.tcss"
    AUTO_FOCUS = "#downloads-list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add", tooltip="choose a model to fetch"),
        Binding("space", "pause", "Pause", key_display="space", tooltip="pause a download, or let it go on"),
        Binding(
            "x,delete", "remove", "Remove", key_display="x", tooltip="cancel a download, or remove a model; asks"
        ),
        Binding("v", "verify", "Verify", tooltip="hash a model's files again"),
        Binding("V", "verify_all", "Verify all", key_display="V", tooltip="hash everything in the store again"),
        Binding("r", "refresh", "Refresh", tooltip="read the store again"),
    ]

    class UpkeepTold(Message):
        """Where the hashing of a model stands."""

        def __init__(self, reference: str, told: ProgressTold) -> None:
            super().__init__()
            self.reference = reference
            self.told = told

    def __init__(self, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._view: StoreView | None = None
        self._problem: Problem | None = None
        self._situation: Situation | None = None
        self._version: int | None = None
        self._busy: dict[str, str] = {}
        self._told: dict[str, Problem | str] = {}

    def compose_body(self) -> ComposeResult:
        """The queue above the store."""
        queue = DownloadList(id="downloads-queue", marks=self.marks)
        queue.border_title = "Downloads"
        yield queue
        store = StoreList(id="downloads-store", marks=self.marks)
        store.border_title = "In the store"
        yield store

    def status(self, state: State) -> str:
        """How many there are."""
        running = sum(one.state is DownloadState.ACTIVE for one in state.downloads)
        waits = sum(one.state is DownloadState.WAITING for one in state.downloads)
        words = [f"{running} downloading"] if running else []
        words += [f"{waits} waiting"] if waits else []
        return ", ".join(words) or "downloads"

    def show_state(self, state: State) -> None:
        """Draw the queue; read the store again when something in it changed."""
        self._draw_queue(state.downloads)
        if state.situation is not None and (
            state.situation is not self._situation or state.store_version != self._version
        ):
            self._situation, self._version = state.situation, state.store_version
            self._read_store()
        elif state.situation is None and state.look_problem is not None:
            self._problem = state.look_problem
            self._draw_store()

    # --- the store -----------------------------------------------------------------------------------------------

    def _read_store(self) -> None:
        self.run_worker(self._store_read(), exclusive=True, exit_on_error=False, group="store")

    async def _store_read(self) -> None:
        situation = self._situation
        if situation is None:
            return
        found = await in_background(partial(self.planner.services.store, situation.models))
        if isinstance(found, Problem):
            self._problem = found
        else:
            self._view, self._problem = found, None
        self._draw_store()
        self._draw_queue(self.planner.state.downloads)

    def _draw_store(self) -> None:
        self.query_one(StoreList).show(self._view, self._problem, self._busy, self._told)
        self._give_keys()

    def _draw_queue(self, queue: Queue) -> None:
        self.query_one(DownloadList).show(queue, self._view.begun if self._view is not None else {})
        self._give_keys()

    def _give_keys(self) -> None:
        """To the queue, or to the store where that is empty, unless somebody has them already."""
        if self.focused is None:
            self.query_one("#downloads-list" if self.planner.state.downloads else "#store-list").focus()
        self.refresh_bindings()

    @on(DownloadList.Highlighted)
    @on(StoreList.Highlighted)
    def _highlighted(self, event: Message) -> None:
        event.stop()
        self.refresh_bindings()

    @on(StoreList.Chosen)
    def _chosen(self, event: StoreList.Chosen) -> None:
        event.stop()
        if event.stored.model:
            self.planner.open_model(event.stored.model)

    # --- what has the keys ---------------------------------------------------------------------------------------

    @property
    def _in_store(self) -> bool:
        """Whether the store has the keys; the queue where that is empty."""
        store = self.query_one(StoreList)
        return store.has_focus_within or not self.planner.state.downloads

    @property
    def _download(self) -> Download | None:
        return None if self._in_store else self.query_one(DownloadList).selected

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that have nothing to act on are not offered."""
        if not self.is_mounted:
            return True
        one = self._download
        stored = self.query_one(StoreList).selected if self._in_store else None
        offered = {
            "add": self._situation is not None,
            "pause": one is not None and not one.ended and not one.stopping,
            "remove": one is not None or stored is not None,
            "verify": stored is not None and stored.reference not in self._busy,
            "verify_all": self._view is not None and bool(self._view.stored) and not self._busy,
        }
        return offered.get(action, super().check_action(action, parameters))

    def on_descendant_focus(self) -> None:
        """Other keys do something now."""
        self.refresh_bindings()

    # --- keys ----------------------------------------------------------------------------------------------------

    def action_add(self) -> None:
        """Choose a model from all that can be fetched."""
        if self._situation is not None:
            self.run_worker(self._pick(self._situation), exclusive=True, exit_on_error=False, group="pick")

    async def _pick(self, situation: Situation) -> None:
        found = await in_background(partial(self.planner.services.fetchable, situation))
        offered = () if isinstance(found, Problem) else found
        here = {one.reference for one in self._view.stored} if self._view is not None else set()
        lines = [
            Line(
                one.reference,
                f"{one.model.rsplit('/', 1)[-1]} {one.quant}",
                f"{one.role}, {one.model}" + (", is here" if one.reference in here else ""),
                "" if one.bytes is None else format_gb(one.bytes),
            )
            for one in offered
        ]

        def picked(reference: str | None) -> None:
            wanted = None if reference is None else _named(situation, reference)
            if wanted is not None:
                self.planner.download(*wanted)

        self.app.push_screen(Pick("Which model?", lines, marks=self.marks), picked)

    def action_pause(self) -> None:
        """Pause, or go on."""
        one = self._download
        if one is None:
            return
        if one.state in {DownloadState.PAUSED, DownloadState.FAILED}:
            self.planner.downloader.resume(one.reference)
        else:
            self.planner.downloader.pause(one.reference)

    def action_remove(self) -> None:
        """Cancel the download, or remove the model, after a yes."""
        one = self._download
        if one is not None:
            self._cancel(one)
            return
        stored = self.query_one(StoreList).selected
        if stored is None:
            return
        question = Confirm(
            f"Remove {stored.name} {stored.quant}?".replace(" ?", "?"),
            f"{format_gb(stored.bytes)} become free. It can be fetched again.",
            yes="Remove it",
            no="Keep it",
        )

        def answered(yes: bool | None) -> None:
            if yes:
                self._run(stored.reference, ["fetch", "--remove", stored.reference], "removing")

        self.app.push_screen(question, answered)

    def _cancel(self, one: Download) -> None:
        downloader = self.planner.downloader
        if one.ended:
            downloader.drop(one.reference)
            return
        here = one.pace.done_bytes if one.pace is not None else self._begun(one.reference)
        kept = (
            f"{format_gb(here)} that came so far are removed; space pauses instead." if here else "Nothing came yet."
        )
        question = Confirm(f"Cancel {one.name}?", kept, yes="Cancel it", no="Keep it")

        def answered(yes: bool | None) -> None:
            if yes and find(downloader.queue, one.reference) is not None:
                downloader.drop(one.reference)

        self.app.push_screen(question, answered)

    def _begun(self, reference: str) -> int:
        return self._view.begun.get(reference, 0) if self._view is not None else 0

    def action_verify(self) -> None:
        """Hash the model's files again."""
        stored = self.query_one(StoreList).selected
        if stored is not None:
            # Of a file that belongs to no model the command line knows no name: everything is hashed then.
            self._verify(stored.reference if stored.model else _ALL)

    def action_verify_all(self) -> None:
        """Hash everything again."""
        self._verify(_ALL)

    def _verify(self, reference: str) -> None:
        self._told = {}
        self._run(reference, ["fetch", "--verify", *([reference] if reference else [])], "hashing")

    def action_refresh(self) -> None:
        """Read the store again."""
        self._read_store()

    # --- commands about the store --------------------------------------------------------------------------------

    def _references(self, reference: str) -> list[str]:
        if reference != _ALL:
            return [reference]
        return [one.reference for one in self._view.stored] if self._view is not None else []

    def _run(self, reference: str, arguments: list[str], words: str) -> None:
        for each in self._references(reference):
            self._busy[each] = f"{words} {self.marks.ellipsis}"
            self._told.pop(each, None)
        self._draw_store()
        self.run_worker(self._done(reference, arguments), exit_on_error=False, group="upkeep")

    async def _done(self, reference: str, arguments: list[str]) -> None:
        def tells(event: Event) -> None:
            if isinstance(event, ProgressTold):
                self.post_message(self.UpkeepTold(reference, event))

        def work() -> Outcome:
            return self.planner.services.start([*arguments, "--json"], lambda *_: None, tells).wait()

        found = await in_background(work)
        outcome = Outcome({}, found) if isinstance(found, Problem) else found
        for each in self._references(reference):
            self._busy.pop(each, None)
        self._conclude(reference, outcome)
        self.planner.downloader.store_changed()
        self._draw_store()

    @on(UpkeepTold)
    def _upkeep_told(self, event: UpkeepTold) -> None:
        event.stop()
        told = event.told
        share = f"{100 * told.done_bytes // told.total_bytes} %" if told.total_bytes else format_gb(told.done_bytes)
        for each in self._references(event.reference):
            if each in self._busy:
                self._busy[each] = f"hashing, {share}"
        self._draw_store()

    def _conclude(self, reference: str, outcome: Outcome) -> None:
        """Say what came of it, at the models it is about."""
        rows = outcome.answer.get("artifacts")
        if not isinstance(rows, list):
            if outcome.problem is not None:
                self._told = dict.fromkeys(self._references(reference), outcome.problem)
            return
        bad = [row for row in rows if isinstance(row, dict) and row.get("health") != "ok"]
        if not bad:
            self._told = dict.fromkeys(self._references(reference), "hashed again just now: it is as it was fetched")
            return
        names = ", ".join(str(row.get("path", "")).rsplit("/", 1)[-1] for row in bad)
        self._told = {
            _ALL: Problem(
                f"Not as it was fetched: {names}.",
                "A damaged file was set aside, so that nothing uses it. Fetch the model again: a.",
                "damaged",
            )
        }


def _named(situation: Situation, reference: str) -> tuple[Model, Variant] | None:
    name, _, quant = reference.rpartition(":")
    model = next((model for model in situation.models if model.id == name), None)
    variant = None if model is None else model.variant(quant)
    return None if model is None or variant is None else (model, variant)
