"""One process at a time per file: the others wait, say so, and then find the file."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from planner.errors import RemoteError
from planner.fetch.disk import disk_errors
from planner.fetch.progress import Phase, Progress
from planner.fetch.store import Place

_POLL_S = 0.2


@contextlib.contextmanager
def locked(
    place: Place,
    progress: Progress,
    *,
    stall_s: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Hold the lock of a file; yields when it is ours.

    The system frees the lock of a process that dies, so only a live one can block. While its partial file grows
    we wait as long as it takes; after `stall_s` without growth RemoteError names the lock file.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415  # only a fetch needs it

    with disk_errors(place.final):
        place.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place.lock)
    seen, since, told = -1, clock(), False
    while True:
        with disk_errors(place.final):
            try:
                lock.acquire(timeout=_POLL_S if told else 0)
                break
            except Timeout:  # an OSError, but not one of the disk
                pass
        if not told:
            progress.note(f"Another planner is fetching {place.final.name}; waiting for it.")
            told = True
        grown = _size(place.partial) + _size(place.scratch)
        progress.update(Phase.WAITING, grown, None)
        if grown != seen:
            seen, since = grown, clock()
        elif clock() - since > stall_s:
            raise RemoteError(
                f"Another process holds {place.lock} and has made no progress for {stall_s / 60:.0f} min.",
                hint="End that process; what it downloaded is used.",
                reference="locked",
            )
    try:
        yield
    finally:
        lock.release()


def is_locked(place: Place) -> bool:
    """Whether a process works on this file right now."""
    from filelock import FileLock, Timeout  # noqa: PLC0415  # only the store's upkeep needs it

    if not place.lock.exists():
        return False
    lock = FileLock(place.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 when it is not there."""
    try:
        if path.is_dir():
            return sum(_size(child) for child in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0
