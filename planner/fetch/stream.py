"""Network calls that can be abandoned at any moment.

A lookup of a name or a read from a dead connection cannot be interrupted from Python. So the network side runs
in a daemon thread, and the caller waits for it in slices: between them it reports progress, notices a stall,
and can be cancelled (Ctrl-C included) within a quarter of a second.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from planner.errors import RemoteError
from planner.net.http import network_error

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
SLICE_S = 0.25
_CHUNK_BYTES = 2**20  # at most: a read gives what has arrived
_QUEUE_CHUNKS = 8  # 8 MiB at most between network and disk


@dataclass(frozen=True)
class Head:
    """Status and headers (looked up without case) of an answer, and the host that gave it in the end.

    `url` is that of the last hop, with its signature: never shown.
    """

    status: int
    headers: Mapping[str, str]
    host: str
    url: str = field(default="", repr=False)


@dataclass(frozen=True)
class Cut:
    """The stream ended before its time."""

    error: Exception


class Ended:
    """The stream ended where its sender says it does."""


Item = Head | bytes | Ended | Cut
Inbox = queue.Queue[tuple["Download", Item]]


def new_inbox(*, limited: bool) -> Inbox:
    """Where chunks wait. `limited`: one at most, as somebody does not want the line to be used in full."""
    return queue.Queue(1 if limited else _QUEUE_CHUNKS)


class Download:
    """One answer, read in the background: Head first, then bytes, then Ended or Cut.

    They are taken with `poll`, or from `inbox` where several downloads share one.
    """

    def __init__(
        self,
        open_response: "Callable[[], requests.Response]",
        url: str,
        *,
        inbox: Inbox | None = None,
    ) -> None:
        self._open = open_response
        self._url = url
        self._inbox = inbox or new_inbox(limited=False)
        self._closed = threading.Event()
        self._whole = threading.Event()
        self._response: requests.Response | None = None
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float = SLICE_S) -> Item | None:
        """The next item, or None when nothing came within `timeout_s`."""
        try:
            return self._inbox.get(timeout=timeout_s)[1]
        except queue.Empty:
            return None

    def let_go(self) -> None:
        """Nothing more is wanted. Returns at once; the thread ends by itself when its socket does."""
        self._closed.set()
        response = self._response
        if response is not None:
            # Wakes a read that waits for bytes. The connection may be gone already, in several ways.
            with contextlib.suppress(Exception):
                response.raw.shutdown()

    def close(self) -> None:
        """Let go, and wait a moment for the thread."""
        self.let_go()
        self._thread.join(timeout=SLICE_S)

    def finish(self) -> None:
        """All that was wanted is there: an answer that ends now leaves its connection for the next request."""
        self._whole.set()

    def _run(self) -> None:
        response = None
        try:
            response = self._open()
            self._response = response
            url = response.url or self._url
            self._put(Head(response.status_code, response.headers, urlsplit(url).hostname or "", url))
            while not self._closed.is_set():
                data = response.raw.read1(_CHUNK_BYTES)
                if self._whole.is_set():
                    break
                if not data:
                    self._put(Ended())
                    break
                self._put(data)
        except Exception as error:  # noqa: BLE001  # a thread has nobody above it: the caller gets the error
            self._put(Cut(network_error(error, self._url)))
        finally:
            if response is not None:
                response.close()

    def _put(self, item: Item) -> None:
        while not (self._closed.is_set() or self._whole.is_set()):
            try:
                self._inbox.put((self, item), timeout=SLICE_S)
            except queue.Full:
                continue
            return


def call_with_deadline(function: Callable[[], T], *, deadline_s: float, what: str, tick: Callable[[], None]) -> T:
    """`function()` in a background thread: its result, its exception, or RemoteError after `deadline_s`.

    `tick` is called about four times a second meanwhile and may raise to cancel.
    """
    answer: queue.Queue[tuple[bool, T | BaseException]] = queue.Queue(1)

    def run() -> None:
        try:
            answer.put((True, function()))
        except BaseException as error:  # noqa: BLE001  # handed to the caller whatever it is
            answer.put((False, error))

    threading.Thread(target=run, name="network-call", daemon=True).start()
    end = time.monotonic() + deadline_s
    while True:
        left_s = end - time.monotonic()
        if left_s <= 0:
            raise RemoteError(
                f"{what} did not answer within {deadline_s:.0f} s.",
                hint="Check the network, or work with what is on this machine: --offline.",
                reference="timeout",
            )
        try:
            good, value = answer.get(timeout=min(SLICE_S, left_s))
        except queue.Empty:
            tick()
            continue
        if good:
            return value  # type: ignore[return-value]  # the flag says which of the two it is
        assert isinstance(value, BaseException)
        raise value
