"""One provider in one collection: what is known of it, what is to be asked for, what came, and how it did."""

from typing import Literal

import msgspec

from planner.core.costs.offers import FRESH_S, STALE_S
from planner.errors import PlannerError
from planner.prices.cache import Cached
from planner.prices.provider import BusyError, Part, Provider, Wanted

_FAILURES_SHOWN = 2
_MINUTE_S = 60
_MANY = 1000
"""Requests of a part where the provider has no limit: more than any takes."""
Status = Literal["fresh", "partial", "stale", "none"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider did. `age_s` is that of the oldest part used; `note` says what went wrong, if anything.

    `fresh`: everything asked for is less than an hour old; `partial`: some of it could not be had; `stale`: nothing
    new, older prices are used; `none`: nothing at all. `missing` parts are known from nowhere.
    """

    name: str
    status: Status
    age_s: int | None
    note: str
    missing: int = 0


class Job:
    """One provider in this run: what is known, what is to be asked, what came back."""

    def __init__(self, provider: Provider, wanted: Wanted, cached: Cached, now: float) -> None:
        self.provider, self.cached, self.now = provider, cached, now
        self.parts = provider.parts(wanted)
        self.known = {
            part: found
            for part in self.parts
            if (found := cached.parts.get(part)) is not None and 0 <= now - found.fetched_at < STALE_S
        }
        self.due: tuple[str, ...] = ()
        self.requests_each = _MANY
        self.notes: list[str] = []
        self.failures: set[str] = set()
        self.not_before = cached.not_before
        self.changed = False

    def plan(self, *, refresh: bool) -> None:
        """Decide what to ask for: all with `refresh`, else what is not fresh; nothing where it asked us to wait."""
        stale = [
            part
            for part in self.parts
            if refresh or part not in self.known or self.now - self.known[part].fetched_at >= FRESH_S
        ]
        wait_s = self.not_before - self.now
        if stale and 0 < wait_s < STALE_S:
            self.notes.append(f"asked us to wait {_minutes(wait_s)} before the next request (rate limit)")
            stale = []
        limit = self.provider.requests_a_minute
        if stale and limit is not None:
            left = max(0, limit - self._requests_just_made())
            if left < len(stale):
                self.notes.append(f"allows {limit} requests a minute, and was asked just now: the rest can wait")
                stale = stale[:left]
            self.requests_each = left // len(stale) if stale else 0
        self.due = tuple(stale)

    def _requests_just_made(self) -> int:
        """Requests of the last minute that were answered, as far as what they brought is kept."""
        ages = ((part, self.now - part.fetched_at) for part in self.cached.parts.values())
        return sum(part.requests for part, age in ages if 0 <= age < _MINUTE_S)

    def take(self, part: str, outcome: Part | PlannerError) -> None:
        """Note how a part went."""
        if isinstance(outcome, Part):
            self.known[part], self.changed = outcome, True
            if outcome.note:
                self.notes.append(f"says: {outcome.note}")
            return
        self.notes.append(outcome.message)
        self.failures.add(outcome.message.rstrip("."))
        if isinstance(outcome, BusyError):
            self.not_before, self.changed = self.now + min(outcome.wait_s, float(FRESH_S)), True

    def kept(self) -> Cached:
        """What to keep: this run's parts over older ones, less those that are too old to be used."""
        parts = {name: part for name, part in self.cached.parts.items() if self.now - part.fetched_at < STALE_S}
        return Cached(parts={**parts, **self.known}, not_before=self.not_before)

    def source(self, *, late: bool, deadline_s: float) -> Source:
        """The status line."""
        if late:
            self.notes.append(f"did not answer within {deadline_s:g} s")
        ages = [self.now - part.fetched_at for part in self.known.values()]
        fresh = [age < FRESH_S for age in ages]
        status: Status
        if not ages:
            status = "none"
        elif all(fresh) and len(ages) == len(self.parts):
            status = "fresh"
        else:
            status = "partial" if any(fresh) else "stale"
        missing = len(self.parts) - len(ages)
        if missing:
            self.notes.append(f"{missing} of {len(self.parts)} parts are missing" if ages else "")
        if any(not part.complete for part in self.known.values()):
            self.notes.append("has more offers than it lists; those shown are marked incomplete")
        notes = list(dict.fromkeys(note.rstrip(".") for note in self.notes if note))
        failures = [note for note in notes if note in self.failures]
        for note in failures[_FAILURES_SHOWN:]:
            notes.remove(note)
        if (more := len(failures) - _FAILURES_SHOWN) > 0:
            notes[notes.index(failures[_FAILURES_SHOWN - 1])] += f" (and {more} more like it)"
        age = round(max(ages)) if ages else None
        return Source(name=self.provider.name, status=status, age_s=age, note="; ".join(notes), missing=missing)


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min"
