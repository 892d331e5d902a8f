"""What a transfer is told and what it says: the file on the server, how patient and how fast to be, the result."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from planner.core.values import Digest
from planner.errors import PlannerError, RemoteError
from planner.fetch.disk import Disk
from planner.fetch.progress import Phase, Progress
from planner.fetch.rate import RateLimit
from planner.fetch.store import Expected
from planner.fetch.stream import Head
from planner.net.http import TRIES
from planner.units import MIB, format_gb

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True)
class Remote:
    """A file on a server. `token` is sent to the origin of `url` only.

    `refusal` may turn an answer with a 4xx status into a better error than the general one.
    """

    url: str
    expected: Expected
    token: str | None = field(default=None, repr=False)
    refusal: Callable[[Head], PlannerError | None] = lambda _head: None


@dataclass(frozen=True)
class Received:
    """What lies in the partial file now: complete and checked."""

    bytes: int
    sha256: Digest
    verified: bool
    bytes_transferred: int


@dataclass(frozen=True)
class Patience:
    """How long to wait for what. `tries` counts connections in a row that brought nothing."""

    stall_s: float = 30.0
    tries: int = TRIES
    pause_base_s: float = 0.5


@dataclass(frozen=True)
class Pace:
    """How much to ask for at once.

    A file of `parallel_from_bytes` or more whose sha256 is known comes over up to `connections` connections, in
    pieces of `piece_bytes`: a long line that gives each connection a share is used in full, and the few requests
    per file stay far below every server's limit. `limit_bytes_per_s` holds for all of them together.
    """

    connections: int = 4
    parallel_from_bytes: int = 256 * MIB
    piece_bytes: int = 64 * MIB
    limit_bytes_per_s: float | None = None


@dataclass(frozen=True)
class Means:
    """What one transfer works with."""

    session: "requests.Session"
    progress: Progress
    disk: Disk
    patience: Patience
    pace: Pace
    rate: RateLimit

    def wait(self, seconds: float, done_bytes: int, total_bytes: int | None) -> None:
        """Sleep in slices, reporting progress so that the caller may cancel."""
        self.rate.sleep(seconds, lambda: self.progress.update(Phase.DOWNLOADING, done_bytes, total_bytes))


class MismatchError(Exception):
    """What came, or is announced, is not what was promised. `spoilt`: the partial file has wrong bytes in it."""

    def __init__(self, promised: str, got: str, *, spoilt: bool = True) -> None:
        super().__init__(promised, got)
        self.promised = promised
        self.got = got
        self.spoilt = spoilt


def gave_up(name: str, problem: PlannerError, kept_bytes: int) -> RemoteError:
    """The error after the last try: what went wrong last, and that the same command goes on."""
    kept = f" {format_gb(kept_bytes)} are kept." if kept_bytes else ""
    return RemoteError(
        f"{name} could not be downloaded: {problem.message.rstrip('.')}.{kept}",
        hint="Run the same command again; it goes on where it stopped." if kept_bytes else problem.hint,
        reference=problem.reference,
    )
