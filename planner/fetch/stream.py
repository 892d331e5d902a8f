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
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from planner.errors import RemoteError
from planner.net.http import network_error

if TYPE_CHECKING:
    import requests

T = TypeVar("T")
SLICE_S = 0.25
_CHUNK_BYTES = 2**18
_QUEUE_CHUNKS = 32  # 8 MiB at most between network and disk


@dataclass(frozen=True)
class Head:
    """Status and headers (looked up without case) of an answer, and the host that gave it in the end."""

    status: int
    headers: Mapping[str, str]
    host: str


@dataclass(frozen=True)
class Cut:
    """The stream ended before its time."""

    error: Exception


class Ended:
    """The stream ended where its sender says it does."""


class Download:
    """One answer, read in the background. `poll` gives Head first, then bytes, then Ended or Cut."""

    def __init__(self, open_response: "Callable[[], requests.Response]", url: str) -> None:
        self._open = open_response
        self._url = url
        self._items: queue.Queue[Head | bytes | Ended | Cut] = queue.Queue(_QUEUE_CHUNKS)
        self._closed = threading.Event()
        self._response: requests.Response | None = None
        self._thread = threading.Thread(target=self._run, name="download", daemon=True)
        self._thread.start()

    def poll(self, timeout_s: float = SLICE_S) -> Head | bytes | Ended | Cut | None:
        """The next item, or None when nothing came within `timeout_s`."""
        try:
            return self._items.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        """Let go. Returns at once or nearly so; the thread ends by itself when its socket does."""
        self._closed.set()
        response = self._response
        if response is not None:
            # Wakes a read that waits for bytes. The connection may be gone already, in several ways.
            with contextlib.suppress(Exception):
                response.raw.shutdown()
        self._thread.join(timeout=SLICE_S)

    def _run(self) -> None:
        response = None
        try:
            response = self._open()
            self._response = response
            host = urlsplit(response.url or self._url).hostname or ""
            self._put(Head(response.status_code, response.headers, host))
            while not self._closed.is_set():
                data = response.raw.read1(_CHUNK_BYTES)
                if not data:
                    self._put(Ended())
                    break
                self._put(data)
        except Exception as error:  # noqa: BLE001  # a thread has nobody above it: the caller gets the error
            self._put(Cut(network_error(error, self._url)))
        finally:
            if response is not None:
                response.close()

    def _put(self, item: Head | bytes | Ended | Cut) -> None:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=SLICE_S)
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
