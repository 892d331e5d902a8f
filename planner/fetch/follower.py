"""sha256 of a file that is still growing: a thread reads behind the writers, while they wait for the network."""

import errno
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from planner.fetch.disk import CHUNK_BYTES
from planner.fetch.stream import SLICE_S


class Follower:
    """Hashes the first `reach` bytes of a file; `advance` moves that mark on, `finish` waits for the rest."""

    def __init__(self, path: Path) -> None:
        self.hashed_bytes = 0
        self._path = path
        self._hasher = hashlib.sha256()
        self._reach = 0
        self._moved = threading.Condition()
        self._stopped = False
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="hash", daemon=True)
        self._thread.start()

    def advance(self, reach: int) -> None:
        """The first `reach` bytes will not change any more."""
        with self._moved:
            if reach > self._reach:
                self._reach = reach
                self._moved.notify()

    def finish(self, total_bytes: int, tick: Callable[[int], None]) -> "hashlib._Hash":
        """The hash of all `total_bytes`; `tick` is told how far it is, and may raise. Raises OSError."""
        self.advance(total_bytes)
        while self.hashed_bytes < total_bytes and self._failed is None and self._thread.is_alive():
            tick(self.hashed_bytes)
            with self._moved:
                self._moved.wait(SLICE_S)
        self.stop()
        if self._failed is not None:
            raise self._failed
        return self._hasher

    def stop(self) -> None:
        """End the thread."""
        with self._moved:
            self._stopped = True
            self._moved.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                while (reach := self._wait()) is not None:
                    self._hash_up_to(reach, file)
        except OSError as error:
            self._failed = error
        finally:
            with self._moved:
                self._moved.notify_all()

    def _hash_up_to(self, reach: int, file: BinaryIO) -> None:
        while self.hashed_bytes < reach and not self._stopped:
            chunk = file.read(min(CHUNK_BYTES, reach - self.hashed_bytes))
            if not chunk:
                raise OSError(errno.EIO, "the file became shorter while it was hashed")
            self._hasher.update(chunk)
            self.hashed_bytes += len(chunk)
        with self._moved:
            self._moved.notify_all()

    def _wait(self) -> int | None:
        with self._moved:
            while self.hashed_bytes >= self._reach and not self._stopped:
                self._moved.wait()
            return None if self._stopped else self._reach
