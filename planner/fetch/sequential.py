"""One attempt at a whole file from its first missing byte to its end, over as many connections as it takes."""

import contextlib
import hashlib
import time
from typing import BinaryIO

from planner.core.values import Digest
from planner.errors import IntegrityError, RemoteError
from planner.fetch.disk import CHUNK_BYTES, disk_errors, require_space
from planner.fetch.judge import (
    BEGINNING_BYTES,
    FATAL,
    Trouble,
    check_beginning,
    content_length,
    content_range,
    passing_trouble,
    require_file,
)
from planner.fetch.parallel import NoRangesError, Pieces
from planner.fetch.partial import PartialNote, discard, open_partial, read_note, write_note
from planner.fetch.piece_map import PieceMap
from planner.fetch.progress import Phase
from planner.fetch.remote import Means, MismatchError, Received, Remote, gave_up
from planner.fetch.store import Place
from planner.fetch.stream import SLICE_S, Cut, Download, Ended, Head, new_inbox
from planner.net.http import CONNECT_TIMEOUT_S, backoff_s, open_url

_MAX_CONNECTIONS = 1000


class Run:
    """One attempt at a whole file; `transferred` counts what came over the network for it."""

    def __init__(self, means: Means, remote: Remote, place: Place) -> None:
        self._means = means
        self._remote = remote
        self._place = place
        self._expected = remote.expected
        self._total = remote.expected.bytes
        self._etag: str | None = None
        self._offset = 0
        self._hasher = hashlib.sha256()
        self._beginning = b""
        self.transferred = 0

    def complete(self, transferred_before: int) -> Received:
        """Resume or start, go on until the file is whole, and check it."""
        means, place = self._means, self._place
        self.transferred = transferred_before
        with disk_errors(place.final, kept=place.partial):
            place.partial.parent.mkdir(parents=True, exist_ok=True)
            with open_partial(place) as file:
                pieces = self._resume(file)
                have_bytes = self._offset if pieces is None else pieces.done_bytes
                if self._total is not None:
                    require_space(means.disk, place.partial.parent, size_bytes=self._total, have_bytes=have_bytes)
                if pieces is None or not self._fill_in_pieces(file, pieces):
                    self._fill(file)
        return self._checked()

    # Where an earlier run stopped

    def _resume(self, file: BinaryIO) -> PieceMap | None:
        """Take over what an earlier run left, if it is the same file; the map of its pieces if it comes in pieces."""
        size = file.seek(0, 2)
        note = read_note(self._place)
        pieces = PieceMap.read(self._place.partial_map, total_bytes=self._total, file_bytes=size)
        if size:
            same_hash = note is not None and note.sha256 is not None and note.sha256 == self._expected.sha256
            same_place = note is not None and note.url == self._remote.url and note.sha256 == self._expected.sha256
            fits = self._total is None or size <= self._total
            torn = pieces is None and self._place.partial_map.exists()
            if note is None or torn or not fits or not (same_hash or (same_place and note.etag)):
                self._means.progress.note(
                    f"The unfinished {self._place.final.name} is not, or may not be, the file asked for now; "
                    "starting again."
                )
                file.truncate(0)
                size, pieces, note = 0, None, None
        if size == 0:
            self._place.partial_map.unlink(missing_ok=True)
            pieces = None
        if note is not None:
            # An etag is only good for the address that gave it; a mirror with the same sha256 resumes without.
            self._etag = note.etag if note.url == self._remote.url else None
            self._total = self._total if self._total is not None else note.size
        if pieces is not None:
            return pieces
        if self._comes_in_pieces(size):
            self._write_note()
            assert self._total is not None, "asked by _comes_in_pieces"
            return PieceMap.begin(
                self._place.partial_map,
                total_bytes=self._total,
                piece_bytes=self._means.pace.piece_bytes,
                have_bytes=size,
                disk=self._means.disk,
            )
        self._take_over(file, size)
        return None

    def _comes_in_pieces(self, have_bytes: int) -> bool:
        """Whether several connections are worth it; only a hash can tell whether pieces belong together."""
        pace = self._means.pace
        if self._total is None or self._expected.sha256 is None or pace.connections < 2:
            return False
        return self._total >= pace.parallel_from_bytes and self._total - have_bytes > pace.piece_bytes

    def _take_over(self, file: BinaryIO, size: int) -> None:
        """Hash what is there."""
        file.seek(0)
        while self._offset < size and (chunk := file.read(min(CHUNK_BYTES, size - self._offset))):
            self._hasher.update(chunk)
            if len(self._beginning) < BEGINNING_BYTES:
                self._beginning = (self._beginning + chunk)[:BEGINNING_BYTES]
            self._offset += len(chunk)
            self._means.progress.update(Phase.CHECKING, self._offset, size)

    def _fill_in_pieces(self, file: BinaryIO, pieces: PieceMap) -> bool:
        """Bring all pieces; False when the server gives whole files only: what is there from byte 0 on is kept."""
        transfer = Pieces(self._means, self._remote, self._place, pieces, etag=self._etag)
        try:
            self._hasher = transfer.fill(file, self._note_etag)
        except NoRangesError:
            kept = pieces.frontier_bytes
            file.truncate(kept)
            pieces.remove()
            self._take_over(file, kept)
            return False
        finally:
            self.transferred += transfer.transferred
            pieces.close()
        assert self._total is not None, "pieces have a known sum"
        self._offset = self._total
        file.seek(0)
        self._beginning = file.read(BEGINNING_BYTES) or b""
        return True

    def _note_etag(self, etag: str | None) -> None:
        self._etag = etag
        self._write_note()

    # From there to the end

    def _fill(self, file: BinaryIO) -> None:
        failures = 0
        patience, name = self._means.patience, self._place.final.name
        for _ in range(_MAX_CONNECTIONS):
            if self._total is not None and self._offset >= self._total:
                return
            before = self._offset
            trouble = self._connection(file)
            if trouble is None:
                return
            failures = 1 if self._offset > before else failures + 1
            if failures >= patience.tries:
                raise gave_up(name, trouble.error, self._offset)
            pause_s = backoff_s(failures, base_s=patience.pause_base_s) if trouble.wait_s is None else trouble.wait_s
            self._means.wait(pause_s, self._offset, self._total)
        raise gave_up(name, RemoteError("the connection broke too often"), self._offset)

    def _connection(self, file: BinaryIO) -> Trouble | None:
        """One request. None = the file is whole."""
        headers = {"Accept-Encoding": "identity"}
        strong_etag = self._etag is not None and not self._etag.startswith("W/")
        if self._offset and not strong_etag and self._expected.sha256 is None:
            # Nothing could tell whether the rest belongs to what is there.
            self._restart(file)
        if self._offset:
            headers["Range"] = f"bytes={self._offset}-"
            if self._etag is not None and strong_etag:
                headers["If-Range"] = self._etag
        token = self._remote.token
        secret = {"Authorization": f"Bearer {token}"} if token else None
        timeout = (CONNECT_TIMEOUT_S, max(self._means.patience.stall_s, 0.1))
        download = Download(
            lambda: open_url(
                self._means.session, self._remote.url, headers=headers, secret_headers=secret, timeout=timeout
            ),
            self._remote.url,
            inbox=new_inbox(limited=self._means.rate.bytes_per_s is not None),
        )
        with contextlib.closing(download):
            return self._read(download, file)

    def _read(self, download: Download, file: BinaryIO) -> Trouble | None:
        patience, progress = self._means.patience, self._means.progress
        last = time.monotonic()
        started = False
        while True:
            item = download.poll(min(SLICE_S, patience.stall_s))
            progress.update(Phase.DOWNLOADING, self._offset, self._total)
            match item:
                case None:
                    limit_s = patience.stall_s + (0.0 if started else CONNECT_TIMEOUT_S)
                    if time.monotonic() - last > limit_s:
                        return Trouble(RemoteError(f"no data for {limit_s:.0f} s", reference="stalled"))
                    continue
                case Head():
                    trouble = self._accept(item, file)
                    if trouble is not None:
                        return trouble
                    started = True
                case bytes():
                    self._store(item, file)
                case Ended():
                    return self._ended()
                case Cut():
                    error = item.error
                    if not isinstance(error, RemoteError) or error.reference in FATAL:
                        raise error
                    return Trouble(error)
            last = time.monotonic()

    def _accept(self, head: Head, file: BinaryIO) -> Trouble | None:
        """Judge status and headers; None = the body may come, and `self._offset` says where it belongs."""
        trouble = passing_trouble(head)
        if trouble is not None:
            return trouble
        if head.status == 416 and self._offset:
            self._restart(file)
            return Trouble(RemoteError(f"{head.host} would not go on from there", reference="http-416"), 0.0)
        require_file(head, self._remote, self._place.final.name)
        etag = head.headers.get("ETag")
        total = content_length(head.headers)
        if head.status == 206:
            span = content_range(head.headers)
            changed = self._etag is not None and etag is not None and etag != self._etag
            if span is None or span.first != self._offset or changed:
                self._restart(file)
                return Trouble(RemoteError(f"{head.host} sent another part than asked for", reference="bad-range"), 0)
            total = span.total
        if self._total is not None and total is not None and total != self._total:
            # Only announced so far: what an earlier run brought may well be right, and this answer a proxy's.
            raise MismatchError(f"size {self._total:,} bytes", f"{total:,}", spoilt=self._offset == 0)
        if head.status == 200 and self._offset:
            self._restart(file)
        if self._total is None and total is not None:
            self._total = total
            folder = self._place.partial.parent
            require_space(self._means.disk, folder, size_bytes=total, have_bytes=self._offset)
        self._note_etag(etag)
        return None

    def _restart(self, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate(0)
        self._offset, self._beginning, self._etag = 0, b"", None
        self._hasher = hashlib.sha256()

    def _store(self, data: bytes, file: BinaryIO) -> None:
        self.transferred += len(data)
        if self._total is not None and self._offset + len(data) > self._total:
            raise MismatchError(f"size {self._total:,} bytes", f"more than {self._total:,}")
        if len(self._beginning) < BEGINNING_BYTES:
            self._beginning = (self._beginning + data)[:BEGINNING_BYTES]
            self._check_beginning(final=False)
        file.seek(self._offset)
        self._means.disk.write(file, data)
        self._hasher.update(data)
        self._offset += len(data)
        done, total = self._offset, self._total
        self._means.rate.take(len(data), lambda: self._means.progress.update(Phase.DOWNLOADING, done, total))

    def _ended(self) -> Trouble | None:
        if self._total is not None and self._offset < self._total:
            return Trouble(
                RemoteError(f"the connection ended after {self._offset:,} of {self._total:,} bytes", reference="cut")
            )
        return None

    # What came

    def _check_beginning(self, *, final: bool) -> None:
        hash_known = self._expected.sha256 is not None
        try:
            check_beginning(self._place.final.name, self._beginning, hash_known=hash_known, final=final)
        except IntegrityError:
            discard(self._place)
            raise

    def _checked(self) -> Received:
        self._check_beginning(final=True)
        digest = Digest(self._hasher.hexdigest())
        expected = self._expected
        if expected.bytes is not None and self._offset != expected.bytes:
            raise MismatchError(f"size {expected.bytes:,} bytes", f"{self._offset:,}")
        if expected.sha256 is not None and digest != expected.sha256:
            raise MismatchError(f"sha256 {expected.sha256}", digest)
        verified = expected.sha256 is not None
        if not verified and expected.git_sha1 is not None:
            got = self._git_sha1()
            if got != expected.git_sha1:
                raise MismatchError(f"git-hash {expected.git_sha1}", got)
            verified = True
        return Received(self._offset, digest, verified, self.transferred)

    def _git_sha1(self) -> str:
        """Git's own hash of a file: sha1 over the word blob, the size, a zero byte, and the content."""
        hasher = hashlib.sha1(f"blob {self._offset}\0".encode(), usedforsecurity=False)
        with self._place.partial.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()

    def _write_note(self) -> None:
        note = PartialNote(self._remote.url, self._etag, self._expected.sha256, self._total)
        write_note(self._place, note, self._means.disk)
