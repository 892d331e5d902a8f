"""The interface of a provider: what can be asked apart from each other, and the asking."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from planner.core.costs.offers import Quote
from planner.errors import RemoteError


class BusyError(RemoteError):
    """The provider asks to be left alone for `wait_s` seconds (rate limit)."""

    reference = "rate-limited"

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__(message, hint="What was collected before is shown; try again later.")
        self.wait_s = wait_s


class Answer(msgspec.Struct, frozen=True):
    """An answer read to its end; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Asking(Protocol):
    """What a provider's module gets to ask with."""

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, secret: str | None = None) -> Answer:
        """Ask; `secret` is the value of an Authorization header."""
        ...

    def post(self, url: str, body: object) -> Answer:
        """Ask with a JSON document."""
        ...


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the question is about, so that nothing else is asked for: memory per GPU in GiB, tiers (empty: all)."""

    min_vram_gib: float | None = None
    tiers: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a provider's market as it was at `fetched_at` (seconds since 1970).

    `complete` is False where there is more than the answer held. `validators` are what a conditional request needs
    (`etag`, `version`); the part that they belong to comes back with a new time when nothing has changed. It took
    `requests`.
    """

    fetched_at: float
    quotes: tuple[Quote, ...]
    complete: bool = True
    validators: dict[str, str] = {}
    note: str = ""
    requests: int = 1


class Provider(Protocol):
    """One source of prices. `name` is that of its cache file and status line; `key_name` of the key it needs.

    `workers` parts may be asked for at the same time, with no more than `requests_a_minute` (None: not limited).
    `instead_of` names a source whose uninterruptible offers it
    replaces.
    """

    @property
    def name(self) -> str:
        """In small letters, fit for a file."""
        ...

    @property
    def key_name(self) -> str | None:
        """Of the environment variable."""
        ...

    @property
    def workers(self) -> int:
        """Threads."""
        ...

    @property
    def requests_a_minute(self) -> int | None:
        """The provider's own limit."""
        ...

    @property
    def instead_of(self) -> str | None:
        """Another source's name."""
        ...

    def parts(self, wanted: Wanted) -> tuple[str, ...]:
        """Names of the parts that hold what is wanted, the most telling first."""
        ...

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """Ask for a part, in at most so many `requests`; `before` is what is known of it. Raises RemoteError."""
        ...
