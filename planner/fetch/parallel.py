"""A large file in pieces over several connections.

Every byte has its one place, and the sha256 at the end decides: only files with a known one come this way. Where a
redirect led is remembered: one request per file goes to the Hub, the rest straight to where the bytes are.
"""

import hashlib
import queue
import time
from collections.abc import Callable
from typing import BinaryIO

from planner.errors import PlannerError, RemoteError
from planner.fetch.follower import Follower
from planner.fetch.judge import FATAL, check_beginning, content_range, passing_trouble, require_file
from planner.fetch.piece_map import PieceMap
from planner.fetch.progress import Phase
from planner.fetch.remote import Means, MismatchError, Remote, gave_up
from planner.fetch.store import Place
from planner.fetch.stream import SLICE_S, Cut, Download, Ended, Head, new_inbox
from planner.net.http import CONNECT_TIMEOUT_S, backoff_s, open_url, origin

_MAX_FAILURES = 1000
_TOO_MUCH = frozenset({429, 503})
"""Answers of a server that may mean us."""
_LINK_EXPIRED = frozenset({401, 403, 404, 410})


class NoRangesError(Exception):
    """The server gives whole files only, or says the file is another one: one connection has to sort that out."""


class _Connection:
    """One request for the rest of one piece."""

    def __init__(self, number: int, download: Download, *, to_target: bool) -> None:
        self.number = number
        self.download = download
        self.to_target = to_target
        self.accepted = False
        self.brought = 0
        self.asked_at = self.heard_at = time.monotonic()

    def is_silent(self, stall_s: float) -> bool:
        limit_s = stall_s + (0.0 if self.accepted else CONNECT_TIMEOUT_S)
        return time.monotonic() - self.heard_at > limit_s


class Pieces:
    """The transfer of all missing pieces; `transferred` counts what came over the network."""

    def __init__(self, means: Means, remote: Remote, place: Place, pieces: PieceMap, *, etag: str | None) -> None:
        self.transferred = 0
        self._means = means
        self._remote = remote
        self._name = place.final.name
        self._path = place.partial
        self._map = pieces
        self._etag = etag
        self._target: str | None = None
        limited = means.rate.bytes_per_s is not None
        self._inbox = new_inbox(limited=limited)
        self._active: dict[Download, _Connection] = {}
        # A line that is not to be used in full needs no second connection.
        self._allowed = 1 if limited else max(1, means.pace.connections)
        self._gives_parts = False
        self._failures = 0
        self._failures_in_all = 0
        self._failed_at = 0.0
        self._not_before = 0.0

    def fill(self, file: BinaryIO, note_etag: Callable[[str | None], None]) -> "hashlib._Hash":
        """Bring what is missing and return the hash of it all.

        Raises NoRangesError when one connection must go on alone, MismatchError, RemoteError and OSError.
        """
        follower = Follower(self._path)
        try:
            while missing := self._map.missing:
                follower.advance(self._map.frontier_bytes)
                self._open(missing)
                try:
                    download, item = self._inbox.get(timeout=min(SLICE_S, self._means.patience.stall_s))
                except queue.Empty:
                    self._tick()
                    self._drop_silent()
                    continue
                self._tick()
                connection = self._active.get(download)
                if connection is not None:
                    self._handle(connection, item, file, note_etag)
                    connection.heard_at = time.monotonic()  # after it: writing may take its time
            return follower.finish(self._map.total_bytes, self._tick_checking)
        finally:
            for download in self._active:
                download.let_go()
            for download in self._active:
                download.close()
            follower.stop()

    def _tick(self) -> None:
        self._means.progress.update(Phase.DOWNLOADING, self._map.done_bytes, self._map.total_bytes)

    def _tick_checking(self, hashed_bytes: int) -> None:
        self._means.progress.update(Phase.CHECKING, hashed_bytes, self._map.total_bytes)

    # Connections

    def _open(self, missing: list[int]) -> None:
        if len(self._active) >= self._allowed or time.monotonic() < self._not_before:
            return
        busy = {connection.number for connection in self._active.values()}
        allowed = self._allowed if self._gives_parts else 1
        for number in missing:
            if len(self._active) >= allowed:
                return
            if number not in busy:
                self._ask(number)

    def _ask(self, number: int) -> None:
        first = self._map.start(number) + self._map.done[number]
        last = self._map.start(number) + self._map.length(number) - 1
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={first}-{last}"}
        if self._etag is not None and not self._etag.startswith("W/"):
            headers["If-Range"] = self._etag
        url = self._target or self._remote.url
        at_home = origin(url) == origin(self._remote.url)
        token = self._remote.token if at_home else None
        secret = {"Authorization": f"Bearer {token}"} if token else None
        timeout = (CONNECT_TIMEOUT_S, max(self._means.patience.stall_s, 0.1))
        download = Download(
            lambda: open_url(self._means.session, url, headers=headers, secret_headers=secret, timeout=timeout),
            url,
            inbox=self._inbox,
        )
        self._active[download] = _Connection(number, download, to_target=self._target is not None)

    def _end(self, connection: _Connection) -> None:
        del self._active[connection.download]
        connection.download.let_go()

    def _drop_silent(self) -> None:
        stall_s = self._means.patience.stall_s
        for connection in [c for c in self._active.values() if c.is_silent(stall_s)]:
            self._failed(connection, RemoteError(f"no data for {stall_s:.0f} s", reference="stalled"))

    def _failed(self, connection: _Connection, error: PlannerError, wait_s: float | None = None) -> None:
        """End a connection; its piece waits for another. Several that fail together are one failure."""
        self._end(connection)
        patience = self._means.patience
        now = time.monotonic()
        self._failures_in_all += 1
        if connection.brought:
            self._failures = 0
        if connection.asked_at >= self._failed_at:
            self._failures += 1
            self._failed_at = now
        if self._failures >= patience.tries or self._failures_in_all >= _MAX_FAILURES:
            raise gave_up(self._name, error, self._map.done_bytes)
        pause_s = backoff_s(max(1, self._failures), base_s=patience.pause_base_s) if wait_s is None else wait_s
        self._not_before = max(self._not_before, now + pause_s)

    # Answers

    def _handle(
        self,
        connection: _Connection,
        item: Head | bytes | Ended | Cut,
        file: BinaryIO,
        note_etag: Callable[[str | None], None],
    ) -> None:
        match item:
            case Head():
                self._accept(connection, item, note_etag)
            case bytes():
                self._store(connection, item, file)
            case Ended():
                self._failed(connection, RemoteError("the connection ended before its part did", reference="cut"))
            case Cut():
                if not isinstance(item.error, RemoteError) or item.error.reference in FATAL:
                    raise item.error
                self._failed(connection, item.error)

    def _accept(self, connection: _Connection, head: Head, note_etag: Callable[[str | None], None]) -> None:
        trouble = passing_trouble(head)
        if trouble is not None:
            if head.status in _TOO_MUCH:
                self._allowed = max(1, self._allowed - 1)
            self._failed(connection, trouble.error, trouble.wait_s)
            return
        if connection.to_target and head.status in _LINK_EXPIRED:
            # A signed link has run out: the first address gives a new one.
            self._target = None
            self._failed(connection, RemoteError(f"{head.host} answered {head.status}"), 0.0)
            return
        if head.status == 416:
            raise NoRangesError
        require_file(head, self._remote, self._name)
        span = content_range(head.headers) if head.status == 206 else None
        first = self._map.start(connection.number) + self._map.done[connection.number]
        if span is None or span.first != first:
            raise NoRangesError
        total = self._map.total_bytes
        if span.total not in (None, total):
            raise MismatchError(f"size {total:,} bytes", f"{span.total:,}", spoilt=not self._map.done_bytes)
        connection.accepted = self._gives_parts = True
        if head.url != self._remote.url:
            self._target = head.url
        etag = head.headers.get("ETag")
        if etag is not None and self._etag is None:
            self._etag = etag
            note_etag(etag)

    def _store(self, connection: _Connection, data: bytes, file: BinaryIO) -> None:
        number = connection.number
        done, length = self._map.done[number], self._map.length(number)
        self.transferred += len(data)
        data = data[: length - done]
        if number == 0 and done == 0:
            check_beginning(self._name, data, hash_known=True, final=False)
        file.seek(self._map.start(number) + done)
        self._means.disk.write(file, data)
        self._map.add(number, len(data))
        connection.brought += len(data)
        self._failures = 0
        if done + len(data) >= length:
            self._end_whole(connection)
        self._means.rate.take(len(data), self._tick)

    def _end_whole(self, connection: _Connection) -> None:
        """The piece is whole: its connection reads to its end by itself, so that it can be used again."""
        del self._active[connection.download]
        connection.download.finish()
