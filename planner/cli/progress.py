"""A fetch as people see it: one line that moves on a terminal, a line a percent elsewhere. On stderr."""

import time
from collections.abc import Callable
from typing import Self

from planner.cli import diagnostics
from planner.core.launch.events import ProgressTold
from planner.fetch.progress import PHASE_WORDS, Phase
from planner.units import format_duration, format_gb

_REDRAW_S = 0.1
_BAR = 24
_LINE_S = 5.0
"""Into a file or a log goes a line for each whole percent, but not more often than this."""
# What takes a moment only is not worth a line.
_SHOWN_FROM_BYTES = {Phase.DOWNLOADING: 10 * 10**6, Phase.CHECKING: 2 * 10**9}


class ProgressLine:
    """Shows a fetch of `label`; close it when the fetch ends, however it ends."""

    def __init__(
        self,
        label: str,
        *,
        interactive: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        quiet: bool = False,
    ) -> None:
        self._label = label
        self._interactive = diagnostics.is_interactive() if interactive is None else interactive
        self._clock = clock
        self._quiet = quiet
        self._phase: Phase | None = None
        self._began_s = 0.0
        self._began_bytes = 0
        self._drawn_s = float("-inf")
        self._percent = 0
        self._lined_s = float("-inf")
        self._said: set[Phase] = set()
        self._open = False

    def __enter__(self) -> Self:
        """The line itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the line."""
        self.close()

    def close(self) -> None:
        """Leave what was drawn and go to a new line."""
        if self._open:
            diagnostics.end_redraw()
            self._open = False

    def note(self, text: str) -> None:
        """A line of its own."""
        self.close()
        diagnostics.note(text)

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        """Show where the fetch stands, no more often than eyes can follow."""
        if self._quiet:
            return
        now_s = self._clock()
        if phase is not self._phase:
            self._phase, self._began_s, self._began_bytes, self._percent = phase, now_s, done_bytes, 0
            self._lined_s = float("-inf")
        if diagnostics.tells_events():
            ended = total_bytes is not None and done_bytes >= total_bytes
            if now_s - self._drawn_s >= _REDRAW_S or ended:
                diagnostics.tell(ProgressTold(self._label, phase.value, done_bytes, total_bytes))
                self._drawn_s = now_s
            return
        if self._interactive:
            if now_s - self._drawn_s >= _REDRAW_S or (total_bytes is not None and done_bytes >= total_bytes):
                diagnostics.redraw(self._text(done_bytes, total_bytes, now_s))
                self._drawn_s, self._open = now_s, True
            return
        if total_bytes is None and phase not in self._said and phase is not Phase.WAITING:
            self._said.add(phase)
            diagnostics.note(f"{self._label}: {PHASE_WORDS[phase]}")
        if not total_bytes or total_bytes < _SHOWN_FROM_BYTES.get(phase, total_bytes + 1):
            return
        percent = min(100, done_bytes * 100 // total_bytes)
        if percent > self._percent and (percent == 100 or now_s - self._lined_s >= _LINE_S):
            self._percent, self._lined_s = percent, now_s
            left = self._rate(done_bytes, total_bytes, now_s)
            diagnostics.note(f"{self._label}: {PHASE_WORDS[phase]} {percent} % of {format_gb(total_bytes)}{left}")

    def _text(self, done_bytes: int, total_bytes: int | None, now_s: float) -> str:
        assert self._phase is not None
        head = f"{self._label}  {PHASE_WORDS[self._phase]}"
        if not total_bytes:
            return f"{head}  {format_gb(done_bytes)}" if done_bytes else head
        share = min(1.0, done_bytes / total_bytes)
        filled = round(share * _BAR)
        bar = "#" * filled + "-" * (_BAR - filled)
        text = f"{head}  [{bar}] {share * 100:3.0f} %  {format_gb(done_bytes)} of {format_gb(total_bytes)}"
        return text + self._rate(done_bytes, total_bytes, now_s)

    def _rate(self, done_bytes: int, total_bytes: int, now_s: float) -> str:
        """How fast it has gone in this phase, and how long it takes at that rate; empty until that can be told."""
        elapsed_s, moved = now_s - self._began_s, done_bytes - self._began_bytes
        if elapsed_s <= 1 or moved <= 0 or self._phase is not Phase.DOWNLOADING or done_bytes >= total_bytes:
            return ""
        rate = moved / elapsed_s
        return f"  {rate / 10**6:.1f} MB/s  {format_duration((total_bytes - done_bytes) / rate)} left"
