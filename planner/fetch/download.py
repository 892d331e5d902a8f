"""The transfer of one file: resumable across processes, checked while it streams, honest about failure.

A `.partial` file grows beside a note {url, etag, sha256, size} that says whose bytes they are. A later run goes
on with `Range` and `If-Range`; whatever a server answers instead of the rest of the same file leads back to byte
0, never to a mixture. Size and sha256 decide, and only `Store.commit` gives the file its name.
"""

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from planner.core.values import Digest
from planner.errors import AccessError, IntegrityError, PlannerError, RemoteError
from planner.fetch.disk import CHUNK_BYTES, Disk, disk_errors, require_space
from planner.fetch.partial import PartialNote, discard, open_partial, read_note, write_note
from planner.fetch.progress import Phase, Progress
from planner.fetch.store import Expected, Place
from planner.fetch.stream import SLICE_S, Cut, Download, Ended, Head
from planner.net.http import (
    CONNECT_TIMEOUT_S,
    RETRY_AFTER_CAP_S,
    RETRY_STATUSES,
    TRIES,
    backoff_s,
    come_back_later,
    open_url,
    retry_after_s,
)
from planner.units import format_gb

if TYPE_CHECKING:
    import requests

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_MAX_CONNECTIONS = 1000
_MAGIC = {".gguf": (b"GGUF",), ".llamafile": (b"MZqFpD", b"jartsr")}


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


class _MismatchError(Exception):
    """What came, or is announced, is not what was promised. `spoilt`: the partial file has wrong bytes in it."""

    def __init__(self, promised: str, got: str, *, spoilt: bool = True) -> None:
        super().__init__(promised, got)
        self.promised = promised
        self.got = got
        self.spoilt = spoilt


class Downloader:
    """Transfers files over one session. Not for several threads at once."""

    def __init__(
        self,
        session: "requests.Session",
        *,
        progress: Progress,
        disk: Disk | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._session = session
        self._progress = progress
        self._disk = disk or Disk()
        self._patience = patience or Patience()

    def receive(self, remote: Remote, place: Place) -> Received:
        """Bring the file into `place.partial`, complete and checked; the caller holds the lock and commits.

        Raises NoSpaceError before the first byte, AccessError, IntegrityError (after one fresh try; nothing is
        kept) and RemoteError. Whatever else interrupts it, the partial file stays for the next run.
        """
        transferred = 0
        for last in (False, True):
            run = _Run(self, remote, place)
            try:
                return run.complete(transferred)
            except _MismatchError as wrong:
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
                self._progress.note(
                    f"{place.final.name} is not as promised ({wrong.promised} promised, {wrong.got} got); "
                    "downloading it once more."
                )
        raise AssertionError("unreachable")  # pragma: no cover

    def wait(self, seconds: float, done_bytes: int, total_bytes: int | None) -> None:
        """Sleep in slices, reporting progress so that the caller may cancel."""
        end = time.monotonic() + seconds
        while (left_s := end - time.monotonic()) > 0:
            self._progress.update(Phase.DOWNLOADING, done_bytes, total_bytes)
            time.sleep(min(SLICE_S, left_s))


class _Run:
    """One attempt at a whole file, over as many connections as it takes."""

    def __init__(self, owner: Downloader, remote: Remote, place: Place) -> None:
        self._owner = owner
        self._remote = remote
        self._place = place
        self._expected = remote.expected
        self._total = remote.expected.bytes
        self._etag: str | None = None
        self._offset = 0
        self._hasher = hashlib.sha256()
        self._head = b""
        self.transferred = 0

    def complete(self, transferred_before: int) -> Received:
        """Resume or start, go on until the file is whole, and check it."""
        owner, place = self._owner, self._place
        self.transferred = transferred_before
        with disk_errors(place.final, kept=place.partial):
            place.partial.parent.mkdir(parents=True, exist_ok=True)
            with open_partial(place) as file:
                self._resume(file)
                if self._total is not None:
                    require_space(owner._disk, place.partial.parent, size_bytes=self._total, have_bytes=self._offset)
                self._fill(file)
        return self._checked()

    def _resume(self, file: BinaryIO) -> None:
        """Take over what an earlier run left, if it is the same file; hash it on the way."""
        size = file.seek(0, 2)
        note = read_note(self._place)
        if size == 0:
            return
        same_hash = note is not None and note.sha256 is not None and note.sha256 == self._expected.sha256
        same_place = note is not None and note.url == self._remote.url and note.sha256 == self._expected.sha256
        fits = self._total is None or size <= self._total
        if note is None or not fits or not (same_hash or (same_place and note.etag)):
            self._owner._progress.note(
                f"The unfinished {self._place.final.name} is not, or may not be, the file asked for now; "
                "starting again."
            )
            file.truncate(0)
            return
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            self._hasher.update(chunk)
            self._head = (self._head + chunk)[:512] if len(self._head) < 512 else self._head
            self._offset += len(chunk)
            self._owner._progress.update(Phase.CHECKING, self._offset, size)
        # An etag is only good for the address that gave it; a mirror with the same sha256 resumes without.
        self._etag = note.etag if note.url == self._remote.url else None
        self._total = self._total if self._total is not None else note.size

    def _fill(self, file: BinaryIO) -> None:
        failures = 0
        for _ in range(_MAX_CONNECTIONS):
            if self._total is not None and self._offset >= self._total:
                return
            before = self._offset
            problem, pause_s = self._connection(file)
            if problem is None:
                return
            failures = 1 if self._offset > before else failures + 1
            if failures >= self._owner._patience.tries:
                raise self._gave_up(problem)
            pause_s = backoff_s(failures, base_s=self._owner._patience.pause_base_s) if pause_s is None else pause_s
            self._owner.wait(pause_s, self._offset, self._total)
        raise self._gave_up(RemoteError("the connection broke too often"))

    def _gave_up(self, problem: PlannerError) -> RemoteError:
        kept = f" {format_gb(self._offset)} are kept." if self._offset else ""
        return RemoteError(
            f"{self._place.final.name} could not be downloaded: {problem.message.rstrip('.')}.{kept}",
            hint="Run the same command again; it goes on where it stopped." if self._offset else problem.hint,
            reference=problem.reference,
        )

    def _connection(self, file: BinaryIO) -> tuple[PlannerError | None, float | None]:
        """One request. (None, …) = the file is whole; else what went wrong, and a pause the server asked for."""
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
        timeout = (CONNECT_TIMEOUT_S, max(self._owner._patience.stall_s, 0.1))
        download = Download(
            lambda: open_url(
                self._owner._session, self._remote.url, headers=headers, secret_headers=secret, timeout=timeout
            ),
            self._remote.url,
        )
        with contextlib.closing(download):
            return self._read(download, file)

    def _read(self, download: Download, file: BinaryIO) -> tuple[PlannerError | None, float | None]:
        patience, progress = self._owner._patience, self._owner._progress
        last = time.monotonic()
        started = False
        while True:
            item = download.poll(min(SLICE_S, patience.stall_s))
            progress.update(Phase.DOWNLOADING, self._offset, self._total)
            match item:
                case None:
                    limit_s = patience.stall_s + (0.0 if started else CONNECT_TIMEOUT_S)
                    if time.monotonic() - last > limit_s:
                        return RemoteError(f"no data for {limit_s:.0f} s", reference="stalled"), None
                    continue
                case Head():
                    verdict = self._accept(item, file)
                    if verdict is not None:
                        return verdict
                    started = True
                case bytes():
                    self._store(item, file)
                case Ended():
                    return self._ended()
                case Cut():
                    error = item.error
                    if not isinstance(error, RemoteError) or error.reference in _FATAL:
                        raise error
                    return error, None
            last = time.monotonic()

    def _accept(self, head: Head, file: BinaryIO) -> tuple[PlannerError, float | None] | None:
        """Judge status and headers; None = the body may come, and `self._offset` says where it belongs."""
        status = head.status
        if status in RETRY_STATUSES or 500 <= status < 600:
            wait_s = retry_after_s(head.headers)
            if wait_s is not None and wait_s > RETRY_AFTER_CAP_S:
                raise come_back_later(head.host, wait_s)
            return RemoteError(f"{head.host} answered {status}", reference=f"http-{status}"), wait_s
        if status == 416 and self._offset:
            self._restart(file)
            return RemoteError(f"{head.host} would not go on from there", reference="http-416"), 0.0
        if status not in (200, 206):
            raise self._refused(head)
        self._refuse_web_page(head)
        etag = head.headers.get("ETag")
        total = _length(head.headers)
        if status == 206:
            total = self._range_total(head, etag)
            if total is _NOT_OURS:
                self._restart(file)
                return RemoteError(f"{head.host} sent another part than asked for", reference="bad-range"), 0.0
        if self._total is not None and total is not None and total != self._total:
            # Only announced so far: what an earlier run brought may well be right, and this answer a proxy's.
            raise _MismatchError(f"size {self._total:,} bytes", f"{total:,}", spoilt=self._offset == 0)
        if status == 200 and self._offset:
            self._restart(file)
        if self._total is None and total is not None:
            self._total = total
            require_space(self._owner._disk, self._place.partial.parent, size_bytes=total, have_bytes=self._offset)
        self._etag = etag
        self._write_note()
        return None

    def _range_total(self, head: Head, etag: str | None) -> Any:
        """Total size from Content-Range (None = not said), or `_NOT_OURS` when the part is not the one asked for."""
        found = _CONTENT_RANGE.fullmatch(head.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != self._offset or int(found[2]) < self._offset:
            return _NOT_OURS
        if self._etag is not None and etag is not None and etag != self._etag:
            return _NOT_OURS
        return None if found[3] == "*" else int(found[3])

    def _refused(self, head: Head) -> PlannerError:
        better = self._remote.refusal(head)
        if better is not None:
            return better
        if head.status in (401, 403, 404, 410):
            return AccessError(
                f"{head.host} does not give out {self._place.final.name} (status {head.status}).",
                hint="The file may have been moved or removed, or needs a login.",
                reference="not-found" if head.status in (404, 410) else "login-required",
            )
        return RemoteError(
            f"{head.host} answered {head.status} to a plain download.", reference=f"http-{head.status}"
        )

    def _refuse_web_page(self, head: Head) -> None:
        encoding = head.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise RemoteError(
                f"{head.host} sent {self._place.final.name} as “{encoding[:20]}” though asked not to.",
                hint="A proxy that recompresses downloads is in the way; try another network.",
                reference="recompressed",
            )
        if head.headers.get("Content-Type", "").lower().startswith(("text/html", "application/xhtml")):
            raise _web_page(head.host, self._place.final.name)

    def _restart(self, file: BinaryIO) -> None:
        file.seek(0)
        file.truncate(0)
        self._offset, self._head, self._etag = 0, b"", None
        self._hasher = hashlib.sha256()

    def _store(self, data: bytes, file: BinaryIO) -> None:
        self.transferred += len(data)
        if self._total is not None and self._offset + len(data) > self._total:
            raise _MismatchError(f"size {self._total:,} bytes", f"more than {self._total:,}")
        if len(self._head) < 512:
            self._head = (self._head + data)[:512]
            self._check_beginning(final=False)
        file.seek(self._offset)
        self._owner._disk.write(file, data)
        self._hasher.update(data)
        self._offset += len(data)

    def _check_beginning(self, *, final: bool) -> None:
        """A login page in place of the file is told by its first bytes, not after five gigabytes."""
        name = self._place.final.name
        if self._head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
            raise _web_page("The server", name)
        if self._expected.sha256 is not None or (len(self._head) < 8 and not final):
            return
        magic = next((m for suffix, m in _MAGIC.items() if name.lower().endswith(suffix)), None)
        if magic is not None and not self._head.startswith(magic):
            discard(self._place)
            raise IntegrityError(
                f"What the server sent as {name} is not such a file (it begins with {self._head[:8]!r}).",
                hint="The repository may hold only a pointer to the file, or a proxy answered instead.",
                reference="not-a-model",
            )

    def _ended(self) -> tuple[PlannerError | None, float | None]:
        if self._total is not None and self._offset < self._total:
            return RemoteError(
                f"the connection ended after {self._offset:,} of {self._total:,} bytes", reference="cut"
            ), None
        return None, None

    def _checked(self) -> Received:
        self._check_beginning(final=True)
        digest = Digest(self._hasher.hexdigest())
        expected = self._expected
        if expected.bytes is not None and self._offset != expected.bytes:
            raise _MismatchError(f"size {expected.bytes:,} bytes", f"{self._offset:,}")
        if expected.sha256 is not None and digest != expected.sha256:
            raise _MismatchError(f"sha256 {expected.sha256}", digest)
        verified = expected.sha256 is not None
        if not verified and expected.git_sha1 is not None:
            got = self._git_sha1()
            if got != expected.git_sha1:
                raise _MismatchError(f"git-hash {expected.git_sha1}", got)
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
        write_note(self._place, note, self._owner._disk)


_NOT_OURS = object()
_FATAL = {"offline", "tls", "insecure-url", "redirect-refused"}


def _web_page(host: str, name: str) -> RemoteError:
    return RemoteError(
        f"{host} sent a web page instead of {name}.",
        hint="A login page of the network (hotel, company) may be in the way: open any site in a browser, "
        "sign in, and try again.",
        reference="web-page",
    )


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
