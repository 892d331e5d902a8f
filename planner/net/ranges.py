"""Reading parts of a remote file by HTTP Range requests (RFC 9110, section 14): a header without the download.

`HttpRangeSource` has the shape of `planner.gguf.source.ByteSource` (`name`, `size`, `read_at`).
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from planner.errors import AccessError, RemoteError
from planner.net.http import RETRY_AFTER_CAP_S, come_back_later, network_error, open_url, origin, retry_after_s
from planner.units import GB, KIB, MIB, printable

if TYPE_CHECKING:
    import requests

LEAST_REQUEST_BYTES = 64 * KIB
"""A request costs a round trip: asking for less saves nothing."""
CACHE_BYTES = 8 * MIB
TRANSFER_LIMIT_BYTES = 128 * MIB
"""All requests of one source together; the largest header seen has 15 MiB."""
PREFIX_LIMIT_BYTES = 32 * MIB
"""How much is read of a server that ignores Range and sends the file from its beginning."""
REQUEST_DEADLINE_S = 60.0

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})")


class _Segment(NamedTuple):
    start: int
    data: bytes


class HttpRangeSource:
    """A remote file as bytes at offsets; a context manager. Nothing is requested before it is asked for.

    `headers` go to every hop, `secret_headers` (Authorization) to the origin of `url` only. What was read is
    cached (8 MiB), a redirect's target is remembered. A server without range support is read from the beginning,
    up to 32 MiB. All failures are RemoteErrors; https is required except on this machine.
    """

    def __init__(
        self,
        session: "requests.Session",
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
        deadline_s: float = REQUEST_DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        self.name = printable(unquote(f"{parts.hostname or ''}{parts.path}"))
        self.transferred_bytes = 0
        self._session = session
        self._url = url
        self._target: str | None = None
        # A compressed answer would make every offset wrong.
        self._headers = {**(headers or {}), "Accept-Encoding": "identity"}
        self._secret_headers = dict(secret_headers or {})
        self._deadline_s = deadline_s
        self._clock = clock
        self._size: int | None = None
        self._etag: str | None = None
        self._segments: OrderedDict[int, _Segment] = OrderedDict()
        self._stream: requests.Response | None = None
        self._prefix = bytearray()

    @property
    def size(self) -> int:
        """Length of the remote file in bytes, from the first answer."""
        if self._size is None:
            self._fetch(0, LEAST_REQUEST_BYTES)
        assert self._size is not None, "set by the first answer"
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; fewer only where the file ends. Raises RemoteError."""
        length = max(0, min(length, self.size - offset))
        if not length:
            return b""
        if self._stream is None and self._cached(offset, length) is None:
            self._fetch(offset, max(length, LEAST_REQUEST_BYTES))
        if self._stream is not None:
            return self._read_prefix(offset, length)
        cached = self._cached(offset, length)
        assert cached is not None, "just fetched"
        return cached

    def close(self) -> None:
        """Close a connection that is still sending."""
        if self._stream is not None:
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Requests

    def _cached(self, offset: int, length: int) -> bytes | None:
        for start, segment in self._segments.items():
            if start <= offset and offset + length <= start + len(segment.data):
                return segment.data[offset - start : offset - start + length]
        return None

    def _fetch(self, offset: int, length: int) -> None:
        """Ask for a range and keep it; learns the size; falls back to the stream of a server without ranges."""
        if self.transferred_bytes + length > TRANSFER_LIMIT_BYTES:
            raise self._error(
                f"more than {TRANSFER_LIMIT_BYTES // MIB} MiB would have to be read of it to know what it is.",
                "Download the file and look at it here.",
            )
        last = offset + length - 1
        if self._size is not None:
            last = min(last, self._size - 1)
        response = self._request(f"bytes={offset}-{last}")
        keep_open = False
        try:
            if response.status_code == 416 and self._is_empty(response):
                self._size = 0
                return
            self._check_status(response)
            self._check_form(response)
            if response.status_code == 206:
                self._keep(offset, self._partial(response, offset, last))
            else:
                self._start_stream(response)
                keep_open = True
        finally:
            if not keep_open:
                response.close()

    def _request(self, value: str) -> "requests.Response":
        headers = {**self._headers, "Range": value}
        if self._target is not None:
            secret = self._secret_headers if origin(self._target) == origin(self._url) else None
            response = open_url(self._session, self._target, headers=headers, secret_headers=secret)
            if response.status_code not in (401, 403, 404, 410):
                return response
            # A signed link has run out: ask the first address for a new one.
            response.close()
            self._target = None
        response = open_url(self._session, self._url, headers=headers, secret_headers=self._secret_headers)
        if response.url and response.url != self._url:
            self._target = response.url
        return response

    def _is_empty(self, response: "requests.Response") -> bool:
        match = _UNSATISFIED.fullmatch(response.headers.get("Content-Range", ""))
        return self._size is None and match is not None and int(match[1]) == 0

    def _check_status(self, response: "requests.Response") -> None:
        status = response.status_code
        if status in (200, 206):
            return
        code = response.headers.get("X-Error-Code", "")
        if code == "GatedRepo":
            raise AccessError(
                f"{self.name}: its licence must be accepted before it can be read.",
                hint="Accept the terms on the model's page and set HF_TOKEN to a token of that account.",
                reference="licence-not-accepted",
            )
        if status in (401, 403):
            raise AccessError(
                f"{self.name}: the server refuses access ({status}).",
                hint="Set HF_TOKEN to a token that may read it, and check the spelling: a missing file looks alike.",
                reference="login-required",
            )
        if status in (404, 410):
            raise AccessError(
                f"{self.name}: the server has no such file ({status}).",
                hint="Check the spelling; publishers rename and remove files.",
                reference="not-found",
            )
        wait_s = retry_after_s(response.headers)
        if status == 429 and wait_s is not None and wait_s > RETRY_AFTER_CAP_S:
            raise come_back_later(urlsplit(self._url).hostname or "the server", wait_s)
        raise RemoteError(
            f"{self.name}: the server answered {status}.", hint="Try again later.", reference=f"http-{status}"
        )

    def _check_form(self, response: "requests.Response") -> None:
        if response.headers.get("Content-Type", "").split(";")[0].strip().lower() in {
            "text/html",
            "application/xhtml+xml",
        }:
            raise self._error(
                "the server sent a web page instead of the file.",
                "Use the file's download address; behind a login page of the network, log in first.",
                reference="web-page",
            )
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise self._error(f"the server sent it compressed ({encoding:.20}), against the request.", "")
        etag = response.headers.get("ETag")
        if self._etag is not None and etag is not None and etag != self._etag:
            raise self._error(
                "the file changed on the server while it was read.", "Try again.", reference="remote-changed"
            )
        self._etag = self._etag or etag

    # A server with ranges

    def _partial(self, response: "requests.Response", offset: int, last: int) -> bytes:
        said = response.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(said.strip())
        if match is None:
            raise self._error(f"the server does not say what it sent (Content-Range: {said:.60}).", "")
        start, end, total = (int(number) for number in match.groups())
        if start != offset or not start <= end < total or end > last or (end < last and end != total - 1):
            raise self._error(f"asked for bytes {offset}-{last}, the server sent {said:.60}.", "")
        if self._size is not None and total != self._size:
            raise self._error("its size changed while it was read.", "Try again.", reference="remote-changed")
        expected = end - start + 1
        data = self._read_body(response, expected)
        if len(data) != expected:
            raise self._error(f"the server promised {expected:,} bytes and sent {len(data):,}.", "Try again.")
        self._size = total
        return data

    def _keep(self, offset: int, data: bytes) -> None:
        self._segments[offset] = _Segment(offset, data)
        self._segments.move_to_end(offset)
        kept = sum(len(segment.data) for segment in self._segments.values())
        while kept > CACHE_BYTES and len(self._segments) > 1:
            _, dropped = self._segments.popitem(last=False)
            kept -= len(dropped.data)

    def _read_body(self, response: "requests.Response", length: int) -> bytes:
        """Up to `length` bytes of the body; a slow drip ends at the deadline, not at the read timeout."""
        end = self._clock() + self._deadline_s
        body = bytearray()
        while len(body) < length:
            data = self._read_piece(response, length - len(body))
            if not data:
                break
            body += data
            if self._clock() > end:
                raise self._error(
                    f"the server sends too slowly: {len(body):,} bytes in {self._deadline_s:.0f} s.",
                    "Try again later.",
                    reference="timeout",
                )
        return bytes(body)

    def _read_piece(self, response: "requests.Response", length: int) -> bytes:
        """What has arrived, at most `length` bytes."""
        try:
            data: bytes = response.raw.read1(min(length, LEAST_REQUEST_BYTES), decode_content=False)
        except Exception as error:
            raise network_error(error, self._url) from error
        self.transferred_bytes += len(data)
        return data

    # A server without ranges

    def _start_stream(self, response: "requests.Response") -> None:
        length = response.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) <= 18):
            raise self._error("the server does not say how large it is.", "Download the file and look at it here.")
        if self._size is not None and int(length) != self._size:
            raise self._error("its size changed while it was read.", "Try again.", reference="remote-changed")
        self._size = int(length)
        self._stream = response

    def _read_prefix(self, offset: int, length: int) -> bytes:
        assert self._stream is not None, "called in stream mode only"
        end = offset + length
        if end > PREFIX_LIMIT_BYTES:
            raise self._error(
                f"the server sends only whole files, and this one has {self.size / GB:.2f} GB.",
                "Download the file and look at it here.",
                reference="no-ranges",
            )
        if end > len(self._prefix):
            self._prefix += self._read_body(self._stream, end - len(self._prefix))
        if end > len(self._prefix):
            raise self._error(f"the server stopped after {len(self._prefix):,} bytes.", "Try again.")
        return bytes(self._prefix[offset:end])

    def _error(self, what: str, hint: str, *, reference: str = "bad-answer") -> RemoteError:
        return RemoteError(f"{self.name}: {printable(what)}", hint=hint, reference=reference)
