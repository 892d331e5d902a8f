"""Downloads beside the app: `planner fetch` in a child process, one after the other, pausable, kept over runs."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from planner.core.launch.events import Event, ProgressTold
from planner.core.models.model import Commercial, Model, Variant
from planner.tui.child import Job, Outcome
from planner.tui.messages import DownloadEnded, DownloadTold
from planner.tui.pace import moved
from planner.tui.problem import Problem
from planner.tui.queue import (
    Download,
    DownloadState,
    Queue,
    added,
    changed,
    find,
    kept,
    next_one,
    recalled,
    under_way,
    waiting,
)
from planner.tui.workers import in_background
from planner.units import format_gb

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

REMEMBERED = "downloads"
QUIT_GRACE_S = 0.6


class Downloader:
    """Part of the app; its methods run in the app's loop unless they say otherwise."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app
        self._job: Job | None = None
        self._dropping: set[str] = set()

    @property
    def queue(self) -> Queue:
        """All downloads of this run, and those an earlier one left."""
        return self._app.state.downloads

    def _set(self, queue: Queue) -> None:
        self._app.state = replace(self._app.state, downloads=queue)
        self._app.remember(REMEMBERED, kept(queue) or None)

    def _change(self, reference: str, change: Callable[[Download], Download]) -> None:
        self._set(changed(self.queue, reference, change))

    def recall(self) -> None:
        """What an earlier run left, paused."""
        found = recalled(self._app.remembered.get(REMEMBERED, list[object]()))
        if found:
            self._app.state = replace(self._app.state, downloads=found)

    def add(self, model: Model, variant: Variant) -> None:
        """Fetch a model in a quant when it is its turn, after its licence was accepted where that is needed."""
        download = Download(model.id, variant.quant, variant.file_bytes)
        if model.licence.commercial is not Commercial.NO:
            self._put(download)
            return
        self._app.run_worker(self._with_consent(download, model, variant), exit_on_error=False, group="licences")

    async def _with_consent(self, download: Download, model: Model, variant: Variant) -> None:
        terms = await in_background(partial(self._app.services.unaccepted, ((model, variant),)))
        if isinstance(terms, Problem) or not terms:
            self._put(download)  # the command itself refuses what is not accepted, and says why
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._put(replace(download, accepted=True))

        self._app.ask_about_licences(terms, answered)

    def _put(self, download: Download) -> None:
        self._set(added(self.queue, download))
        self._go_on()

    def _go_on(self) -> None:
        """Start the next one, if nothing runs."""
        download = next_one(self.queue)
        if download is None or self._job is not None:
            return
        reference = download.reference
        arguments = ["fetch", reference, *(["--accept-licence"] if download.accepted else []), "--json"]
        self._change(reference, lambda one: replace(one, state=DownloadState.ACTIVE, pace=None))
        try:
            self._job = self._app.services.start(arguments, _silent, partial(self._tells, reference))
        except OSError as error:
            problem = Problem(f"planner could not be started: {error.strerror or error}.", reference="no-child")
            self.ended(reference, Outcome({}, problem))
            return
        self._app.run_worker(self._wait_for(reference, self._job), exit_on_error=False, group="downloads")

    async def _wait_for(self, reference: str, job: Job) -> None:
        found = await in_background(job.wait)
        outcome = Outcome({}, found) if isinstance(found, Problem) else found
        self._app.post_message(DownloadEnded(reference, outcome))

    def _tells(self, reference: str, event: Event) -> None:
        """Called from the download's own thread."""
        with contextlib.suppress(RuntimeError):  # the app has ended meanwhile
            self._app.post_message(DownloadTold(reference, event))

    def told(self, reference: str, event: Event) -> None:
        """Bytes came."""
        if not isinstance(event, ProgressTold):
            return
        now_s = self._app.services.clock()
        queue = changed(self.queue, reference, lambda one: replace(one, pace=moved(one.pace, event, now_s)))
        self._app.state = replace(self._app.state, downloads=queue)

    def ended(self, reference: str, outcome: Outcome) -> None:
        """One is over: done, paused, failed, or to be forgotten."""
        self._job = None
        dropped = reference in self._dropping
        self._dropping.discard(reference)
        if dropped:
            self._set(tuple(one for one in self.queue if one.reference != reference))
            self._discard(reference)
        elif outcome.problem is None:
            detail = _summary(outcome)
            self._change(reference, lambda one: replace(one, state=DownloadState.DONE, detail=detail, stopping=False))
            self.store_changed()
        elif outcome.cancelled:
            self._change(reference, lambda one: replace(one, state=DownloadState.PAUSED, stopping=False))
        else:
            problem = outcome.problem
            self._change(
                reference,
                lambda one: replace(one, state=DownloadState.FAILED, problem=problem, stopping=False),
            )
        self._go_on()

    def pause(self, reference: str) -> None:
        """Stop here; what came so far is kept."""
        one = find(self.queue, reference)
        if one is not None and one.state is DownloadState.WAITING:
            self._change(reference, lambda one: replace(one, state=DownloadState.PAUSED))
        elif one is not None and one.state is DownloadState.ACTIVE and self._job is not None and not one.stopping:
            self._job.interrupt()
            self._change(reference, lambda one: replace(one, stopping=True))

    def resume(self, reference: str) -> None:
        """Go on where it stopped, when it is its turn."""
        one = find(self.queue, reference)
        if one is not None and one.state in {DownloadState.PAUSED, DownloadState.FAILED}:
            self._change(reference, waiting)
            self._go_on()

    def drop(self, reference: str) -> None:
        """Take it from the queue, and what came so far from the disk."""
        one = find(self.queue, reference)
        if one is None:
            return
        if one.state is DownloadState.ACTIVE and self._job is not None:
            self._dropping.add(reference)
            self._job.interrupt()
            self._change(reference, lambda one: replace(one, stopping=True))
            return
        self._set(tuple(other for other in self.queue if other is not one))
        if not one.ended:
            self._discard(reference)

    def _discard(self, reference: str) -> None:
        """Remove what came of it; that nothing had come is no problem."""

        async def remove() -> None:
            await in_background(
                lambda: self._app.services.start(["fetch", "--remove", reference, "--json"], _silent).wait()
            )
            self.store_changed()

        self._app.run_worker(remove(), exit_on_error=False, group="upkeep")

    def store_changed(self) -> None:
        """Whoever shows the store reads it again."""
        self._app.state = replace(self._app.state, store_version=self._app.state.store_version + 1)

    @property
    def at_stake(self) -> Queue:
        """What quitting would stop."""
        return under_way(self.queue)

    def close(self) -> None:
        """After the app: the one that runs is told to end; the next run goes on there."""
        if self._job is not None:
            self._job.interrupt()
            self._job.settle(QUIT_GRACE_S)


def _summary(outcome: Outcome) -> str:
    """`4.92 GB transferred, checked`, from the answer of `planner fetch`."""
    files = outcome.answer.get("artifacts")
    rows = [row for row in files if isinstance(row, dict)] if isinstance(files, list) else []
    moved_bytes = sum(row["bytes_transferred"] for row in rows if isinstance(row.get("bytes_transferred"), int))
    how = f"{format_gb(moved_bytes)} transferred" if moved_bytes else "was here already"
    checked = bool(rows) and all(row.get("verified") is True for row in rows)
    return f"{how}, {'checked' if checked else 'NOT checked'}"


def _silent(_text: str, _transient: bool) -> None:
    """Progress comes as events, problems in the answer."""
