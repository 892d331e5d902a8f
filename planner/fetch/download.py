"""The transfer of one file: resumable across processes, checked while it streams, honest about failure.

A `.partial` file grows beside a note {url, etag, sha256, size} that says whose bytes they are. A later run goes
on with `Range` and `If-Range`; whatever a server answers instead of the rest of the same file leads back to byte
0, never to a mixture. Size and sha256 decide, and only `Store.commit` gives the file its name.

A file comes over one connection (`planner.fetch.sequential`) or, when it is large and its sha256 is known, in pieces
over several (`planner.fetch.parallel`).
"""

from typing import TYPE_CHECKING

from planner.errors import IntegrityError
from planner.fetch.disk import Disk
from planner.fetch.partial import discard
from planner.fetch.progress import Progress
from planner.fetch.rate import RateLimit
from planner.fetch.remote import Means, MismatchError, Pace, Patience, Received, Remote
from planner.fetch.sequential import Run
from planner.fetch.store import Place

if TYPE_CHECKING:
    import requests


class Downloader:
    """Transfers files over one session. Not for several threads at once."""

    def __init__(
        self,
        session: "requests.Session",
        *,
        progress: Progress,
        disk: Disk | None = None,
        patience: Patience | None = None,
        pace: Pace | None = None,
    ) -> None:
        pace = pace or Pace()
        rate = RateLimit(pace.limit_bytes_per_s)
        self._means = Means(session, progress, disk or Disk(), patience or Patience(), pace, rate)

    def receive(self, remote: Remote, place: Place) -> Received:
        """Bring the file into `place.partial`, complete and checked; the caller holds the lock and commits.

        Raises NoSpaceError before the first byte, AccessError, IntegrityError (after one fresh try; nothing is
        kept) and RemoteError. Whatever else interrupts it, the partial file stays for the next run.
        """
        transferred = 0
        for last in (False, True):
            run = Run(self._means, remote, place)
            try:
                return run.complete(transferred)
            except MismatchError as wrong:
                transferred = run.transferred
                if wrong.spoilt:
                    discard(place)
                if last:
                    raise IntegrityError(
                        f"{place.final.name} came with the wrong {wrong.promised.split()[0]}, twice: "
                        f"promised {wrong.promised}, got {wrong.got}. None of it was kept.",
                        hint="The server, a proxy or the publisher changed the file. Try another network, or "
                        "update the catalog.",
                    ) from None
                self._means.progress.note(
                    f"{place.final.name} is not as promised ({wrong.promised} promised, {wrong.got} got); "
                    "downloading it once more."
                )
        raise AssertionError("unreachable")  # pragma: no cover
