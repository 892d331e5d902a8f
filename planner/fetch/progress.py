"""How a fetch reports what it is doing. The command line draws a bar, the TUI a widget, tests a list."""

from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    """What is going on right now."""

    WAITING = "waiting"
    """Another process has the file."""
    CHECKING = "checking"
    """Bytes on the disk are hashed."""
    DOWNLOADING = "downloading"
    COPYING = "copying"
    """The file is on this machine already, on another file system."""
    EXTRACTING = "extracting"
    CONVERTING = "converting"


PHASE_WORDS = {
    Phase.WAITING: "waiting for another planner",
    Phase.CHECKING: "checking",
    Phase.DOWNLOADING: "downloading",
    Phase.COPYING: "copying",
    Phase.EXTRACTING: "unpacking",
    Phase.CONVERTING: "converting",
}
"""A phase for people."""


class Progress(Protocol):
    """Called from the thread that fetches, about four times a second, also while nothing arrives.

    Raising from `update` is how a caller cancels; what was downloaded is kept.
    """

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        """Where the current phase stands; `total_bytes` is None when nobody knows."""

    def note(self, text: str) -> None:
        """One line for people: something unexpected that was dealt with."""


class Silent:
    """Reports to nobody."""

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


class Part:
    """Progress of one file out of several: shifts its counts by what came before."""

    def __init__(self, whole: Progress, *, before_bytes: int, total_bytes: int) -> None:
        self._whole = whole
        self._before_bytes = before_bytes
        self._total_bytes = total_bytes

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        """Pass on, counted over all files; phases without a known total keep their own count."""
        if total_bytes is None or phase is Phase.WAITING:
            self._whole.update(phase, done_bytes, total_bytes)
        else:
            self._whole.update(phase, self._before_bytes + done_bytes, self._total_bytes)

    def note(self, text: str) -> None:
        """Pass on."""
        self._whole.note(text)
