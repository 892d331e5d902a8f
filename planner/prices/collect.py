"""Collecting prices: from the cache what is fresh, from the providers what is not, all of them at once.

Nobody is waited for beyond the deadline: threads that are late are left behind, what they had finished counts.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from planner.core.offers import FRESH_S, STALE_S, Quote
from planner.errors import PlannerError, RemoteError
from planner.prices.cache import Cached, read_cache, write_cache
from planner.prices.keys import without_key
from planner.prices.provider import BusyError, Part, Provider, Wanted

if TYPE_CHECKING:
    from planner.net.http import NetworkSettings
    from planner.prices.client import Client

DEADLINE_S = 5.0
_FAILURES_SHOWN = 2
Status = Literal["fresh", "partial", "stale", "none"]
ClientMaker = Callable[[str, "NetworkSettings", float], "Client"]


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


class Collected(msgspec.Struct, frozen=True):
    """Quotes of the parts that were asked for, and how each provider did."""

    quotes: tuple[Quote, ...]
    sources: tuple[Source, ...]


class _Job:
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
        self.due = tuple(stale)

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


def collect(
    providers: Sequence[Provider],
    wanted: Wanted,
    *,
    settings: "NetworkSettings",
    cache_dir: Path,
    keys: Mapping[str, str],
    refresh: bool = False,
    ask: bool = True,
    now: float | None = None,
    deadline_s: float = DEADLINE_S,
    make_client: ClientMaker | None = None,
    tell: Callable[[str], None] | None = None,
) -> Collected:
    """What providers offer now, or lately. Never raises for a provider: that is its status.

    `keys` has the key by its name. Without `ask` (and with `settings.offline`) the cache is read and nobody is asked.
    `tell` hears who is asked before there is a pause.
    """
    now = time.time() if now is None else now
    jobs = [_Job(provider, wanted, read_cache(cache_dir, provider.name), now) for provider in providers]
    asked: list[_Job] = []
    for job in jobs:
        name = job.provider.key_name
        if not ask or settings.offline:
            continue
        if name is not None and name not in keys:
            job.notes.append(f"not asked: there is no {name}")
            continue
        job.plan(refresh=refresh)
        if job.due:
            asked.append(job)
    if asked and tell is not None:
        tell(f"Asking {', '.join(job.provider.name for job in asked)} for prices, {deadline_s:g} s at most.")
    run = _Run(settings=settings, keys=keys, now=now, deadline_s=deadline_s, make_client=make_client or _client)
    late = run.ask(asked) if asked else set()
    for job in asked:
        if job.changed:
            write_cache(cache_dir, job.provider.name, job.kept())
    sources = tuple(job.source(late=job.provider.name in late, deadline_s=deadline_s) for job in jobs)
    return Collected(_merged(jobs), sources)


def _client(name: str, settings: "NetworkSettings", until: float) -> "Client":
    from planner.prices.client import Client  # noqa: PLC0415  # 20 ms that answers from the cache need not pay

    return Client(name, settings, until=until)


class _Run:
    """The threads of one collection and what they bring."""

    def __init__(
        self,
        *,
        settings: "NetworkSettings",
        keys: Mapping[str, str],
        now: float,
        deadline_s: float,
        make_client: ClientMaker,
    ) -> None:
        self._settings, self._keys, self._now, self._make_client = settings, keys, now, make_client
        self._until = time.monotonic() + deadline_s
        self._answers: queue.SimpleQueue[tuple[_Job, str, Part | PlannerError]] = queue.SimpleQueue()

    def ask(self, jobs: Sequence[_Job]) -> set[str]:
        """Ask for all that is due, and take what comes until the deadline. Returns who was late."""
        waiting = {job.provider.name: set(job.due) for job in jobs}
        for job in jobs:
            parts: queue.SimpleQueue[str] = queue.SimpleQueue()
            for part in job.due:
                parts.put(part)
            for _ in range(min(job.provider.workers, len(job.due))):
                # Not a pool: its threads would be waited for when the program ends.
                threading.Thread(target=self._work, args=(job, parts), daemon=True).start()
        while any(waiting.values()) and (left := self._until - time.monotonic()) > 0:
            try:
                job, part, outcome = self._answers.get(timeout=left)
            except queue.Empty:
                break
            job.take(part, outcome)
            waiting[job.provider.name].discard(part)
        return {name for name, parts_left in waiting.items() if parts_left}

    def _work(self, job: _Job, parts: "queue.SimpleQueue[str]") -> None:
        """One thread of a provider: part after part. What the next part would meet too ends it."""
        provider = job.provider
        key = self._keys.get(provider.key_name) if provider.key_name is not None else None
        client: Client | None = None
        stopped: PlannerError | None = None
        while True:
            try:
                part = parts.get_nowait()
            except queue.Empty:
                return
            outcome: Part | PlannerError
            try:
                if stopped is not None:
                    outcome = stopped
                else:
                    client = client or self._make_client(provider.name, self._settings, self._until)
                    found = provider.fetch(
                        part, client, now=self._now, before=job.known.get(part), key=key, due=len(job.due)
                    )
                    outcome = _without(found, key)
            except PlannerError as error:
                if key is not None:
                    error.message = without_key(error.message, key)
                outcome = error
                stopped = error if error.reference in _HOPELESS else None
            except Exception as error:  # noqa: BLE001  # a thread has nobody to raise to, and the others go on
                words = f"its answer could not be understood ({type(error).__name__})"
                outcome = RemoteError(words, reference="bad-answer")
            self._answers.put((job, part, outcome))


_HOPELESS = frozenset(
    {"dns", "tls", "proxy", "access", "deadline", "network", "timeout", "insecure-url", "rate-limited"}
)
"""Failures that the provider's other parts would meet as well."""


def _without(part: Part, key: str | None) -> Part:
    """The part with the key taken out, should the provider have sent it back."""
    if key is None or (raw := msgspec.json.encode(part).decode()) == (clean := without_key(raw, key)):
        return part
    return msgspec.json.decode(clean, type=Part)


def _merged(jobs: Sequence[_Job]) -> tuple[Quote, ...]:
    """All quotes, each once; a source's uninterruptible ones give way to those of the source that replaces it."""
    replaced = {job.provider.instead_of for job in jobs if any(part.quotes for part in job.known.values())}
    quotes = []
    for job in jobs:
        for part in job.known.values():
            quotes += [q for q in part.quotes if q.interruptible or job.provider.name not in replaced]
    return tuple(dict.fromkeys(quotes))


def _minutes(seconds: float) -> str:
    return f"{max(1, round(seconds / 60))} min"
