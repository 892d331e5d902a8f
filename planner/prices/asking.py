"""Asking several providers at once, part by part, and waiting for none of them beyond the deadline.

Threads that are late are left behind; what they had finished counts.
"""

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from planner.errors import PlannerError, RemoteError
from planner.net.http import NetworkSettings
from planner.prices.client import Client
from planner.prices.job import Job
from planner.prices.keys import without_key
from planner.prices.provider import Part

ClientMaker = Callable[[str, NetworkSettings, float], Client]
_HOPELESS = frozenset(
    {"dns", "tls", "proxy", "access", "deadline", "network", "timeout", "insecure-url", "rate-limited"}
)
"""Failures that the provider's other parts would meet as well."""


class Asking:
    """The threads of one collection and what they bring."""

    def __init__(
        self,
        *,
        settings: NetworkSettings,
        keys: Mapping[str, str],
        now: float,
        deadline_s: float,
        make_client: ClientMaker | None = None,
    ) -> None:
        self._settings, self._keys, self._now = settings, keys, now
        self._make_client = make_client or _client
        self._until = time.monotonic() + deadline_s
        self._answers: queue.SimpleQueue[tuple[Job, str, Part | PlannerError]] = queue.SimpleQueue()

    def ask(self, jobs: Sequence[Job]) -> set[str]:
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

    def _work(self, job: Job, parts: queue.SimpleQueue[str]) -> None:
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
                    before, allowed = job.known.get(part), job.requests_each
                    found = provider.fetch(part, client, now=self._now, before=before, key=key, requests=allowed)
                    outcome = _without(found, key)
            except PlannerError as error:
                if key is not None:
                    error.message = without_key(error.message, key)
                    error.args = (error.message,)
                outcome = error
                stopped = error if error.reference in _HOPELESS else None
            except Exception as error:  # noqa: BLE001  # a thread has nobody to raise to, and the others go on
                words = f"its answer could not be understood ({type(error).__name__})"
                outcome = RemoteError(words, reference="bad-answer")
            self._answers.put((job, part, outcome))


def _without(part: Part, key: str | None) -> Part:
    """The part with the key taken out, should the provider have sent it back."""
    if key is None or (raw := msgspec.json.encode(part).decode()) == (clean := without_key(raw, key)):
        return part
    return msgspec.json.decode(clean, type=Part)


def _client(name: str, settings: NetworkSettings, until: float) -> Client:
    return Client(name, settings, until=until)
