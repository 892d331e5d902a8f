"""The queue of downloads, as values: what waits, what runs, what was paused. One at a time. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from planner.tui.pace import Pace
from planner.tui.problem import Problem


class DownloadState(StrEnum):
    """Where a download stands."""

    WAITING = "waiting"
    ACTIVE = "downloading"
    PAUSED = "paused"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class Download:
    """A model in a quant. `bytes` of all its files, None where not known; `stopping`: told to end, and has not yet.

    `accepted`: its licence was. `pace` is what it last told, also once it no longer runs.
    """

    model: str
    quant: str
    bytes: int | None = None
    state: DownloadState = DownloadState.WAITING
    pace: Pace | None = None
    problem: Problem | None = None
    accepted: bool = False
    stopping: bool = False
    detail: str = ""

    @property
    def reference(self) -> str:
        """What the command line takes for it."""
        return f"{self.model}:{self.quant}"

    @property
    def name(self) -> str:
        """`Qwen3-8B Q4_K_M`."""
        return f"{self.model.rsplit('/', 1)[-1]} {self.quant}"

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.state is DownloadState.DONE


Queue = tuple[Download, ...]


def find(queue: Queue, reference: str) -> Download | None:
    """The download of a model in a quant."""
    return next((download for download in queue if download.reference == reference), None)


def changed(queue: Queue, reference: str, change: Callable[[Download], Download]) -> Queue:
    """The queue with one of them changed."""
    return tuple(change(download) if download.reference == reference else download for download in queue)


def added(queue: Queue, download: Download) -> Queue:
    """The queue with one more at its end; one that had ended, failed or paused before waits again in its place."""
    there = find(queue, download.reference)
    if there is None or there.ended:
        return (*(one for one in queue if one is not there), download)
    if there.state in {DownloadState.PAUSED, DownloadState.FAILED}:
        accepted = there.accepted or download.accepted
        return changed(queue, download.reference, lambda one: waiting(replace(one, accepted=accepted)))
    return queue


def waiting(download: Download) -> Download:
    """It shall go on when it is its turn."""
    return replace(download, state=DownloadState.WAITING, problem=None, stopping=False)


def next_one(queue: Queue) -> Download | None:
    """Whose turn it is; None while another one runs."""
    if any(download.state is DownloadState.ACTIVE for download in queue):
        return None
    return next((download for download in queue if download.state is DownloadState.WAITING), None)


def under_way(queue: Queue) -> Queue:
    """Those that quitting would stop."""
    return tuple(one for one in queue if one.state in {DownloadState.ACTIVE, DownloadState.WAITING})


def kept(queue: Queue) -> list[dict[str, Any]]:
    """What the next run of the app shall know: all that is not done."""
    return [
        {"model": one.model, "quant": one.quant, "bytes": one.bytes, "accepted": one.accepted}
        for one in queue
        if not one.ended
    ]


def recalled(values: Sequence[object]) -> Queue:
    """What an earlier run left, all of it paused: nothing is transferred before somebody says so."""
    found: Queue = ()
    for value in values:
        if not isinstance(value, dict):
            continue
        model, quant, size = value.get("model"), value.get("quant"), value.get("bytes")
        if not (isinstance(model, str) and isinstance(quant, str) and model and quant):
            continue
        if size is not None and not (isinstance(size, int) and size > 0):
            size = None
        one = Download(model, quant, size, DownloadState.PAUSED, accepted=value.get("accepted") is True)
        if find(found, one.reference) is None:
            found = (*found, one)
    return found
