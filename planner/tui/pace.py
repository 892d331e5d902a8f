"""How fast bytes come, from what a fetch tells of itself: rate, time left, and whether it stands still. Pure."""

from dataclasses import dataclass

from planner.core.launch.events import ProgressTold
from planner.fetch.progress import PHASE_WORDS, Phase
from planner.units import format_duration, format_gb

WINDOW_S = 8.0
"""A rate is that of the last seconds: long enough to be calm, short enough to follow a change."""
_LEAST_S = 1.0
_SPACING_S = 0.25
"""Samples nearer than this replace each other, so that a window holds a few dozen at most."""


@dataclass(frozen=True)
class Pace:
    """Where a phase of a fetch stands. `samples`: (seconds, bytes done) of the last `WINDOW_S`, oldest first."""

    phase: str
    done_bytes: int = 0
    total_bytes: int | None = None
    samples: tuple[tuple[float, int], ...] = ()

    @property
    def share(self) -> float | None:
        """0 to 1; None where the whole is not known."""
        return min(1.0, self.done_bytes / self.total_bytes) if self.total_bytes else None

    @property
    def rate_bytes_per_s(self) -> float | None:
        """Of a download; None before it can be told, 0 when nothing came for the whole window."""
        if self.phase != Phase.DOWNLOADING or len(self.samples) < 2:
            return None
        (first_s, first), (last_s, last) = self.samples[0], self.samples[-1]
        return (last - first) / (last_s - first_s) if last_s - first_s >= _LEAST_S else None

    @property
    def left_s(self) -> float | None:
        """Until the phase ends at this rate; None when that is not known, or never."""
        rate = self.rate_bytes_per_s
        return (self.total_bytes - self.done_bytes) / rate if rate and self.total_bytes else None

    @property
    def words(self) -> str:
        """`downloading`; a phase of another planner's stays as it is."""
        return PHASE_WORDS.get(Phase(self.phase), self.phase) if self.phase in list(Phase) else self.phase

    @property
    def figures(self) -> str:
        """`43 %, 2.15 GB of 5.00 GB, 31.2 MB/s, 1:31 min left`."""
        size = f"{format_gb(self.done_bytes)} of {format_gb(self.total_bytes)}" if self.total_bytes else ""
        return ", ".join(part for part in (self._percent, size, *self._speed) if part)

    @property
    def brief(self) -> str:
        """`43 %, 31.2 MB/s, 1:31 min left`, where room is short."""
        return ", ".join(part for part in (self._percent, *self._speed) if part)

    @property
    def _percent(self) -> str:
        if self.share is not None:
            return f"{int(self.share * 100)} %"
        return format_gb(self.done_bytes) if self.done_bytes else ""

    @property
    def _speed(self) -> tuple[str, ...]:
        rate, left_s = self.rate_bytes_per_s, self.left_s
        if rate is None:
            return ()
        if rate == 0:
            return ("nothing comes at the moment",)
        left = left_s is not None and self.done_bytes < (self.total_bytes or 0)
        return (f"{rate / 10**6:.1f} MB/s", *((f"{format_duration(left_s)} left",) if left and left_s else ()))


def moved(before: Pace | None, told: ProgressTold, now_s: float) -> Pace:
    """The pace after an event, at a time of the app's clock. Another phase, or fewer bytes, begins anew."""
    again = before is None or before.phase != told.phase or told.done_bytes < before.done_bytes
    samples = () if again or before is None else before.samples
    kept = [sample for sample in samples if sample[0] >= now_s - WINDOW_S]
    if len(kept) > 1 and now_s - kept[-2][0] < _SPACING_S:
        kept.pop()
    return Pace(told.phase, told.done_bytes, told.total_bytes, (*kept, (now_s, told.done_bytes)))
