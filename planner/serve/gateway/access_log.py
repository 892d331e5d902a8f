"""The access log: one line of JSON a request, for jq and log shippers. No prompt, answer, key or header is in it."""

import contextlib
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

_MAX_BYTES = 8 * 2**20


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request that was answered, or left. Times in seconds, sizes in bytes, tokens as the engine reports them.

    `status` 499 means that the client went away first. `key` is the name of a key, never the key; `error` is the
    word of an error answer; `route` is one of ours or `other`, as the path itself may hold anything.
    """

    time: str
    id: str
    method: str
    route: str
    status: int
    seconds: float
    key: str = ""
    client: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    waited_seconds: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""


Write = Callable[[AccessEntry], None]


def now() -> str:
    """The time as entries have it: ISO 8601, UTC, milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class AccessLog:
    """Entries in a file only its owner may read (0600), which is put aside as `.1` when it grows past 8 MiB.

    A full disk or a folder that is gone costs lines, never answers.
    """

    def __init__(self, path: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file: int | None = None
        self._size = 0

    def __call__(self, entry: AccessEntry) -> None:
        """Write a line."""
        line = msgspec.json.encode(entry) + b"\n"
        with contextlib.suppress(OSError):
            if self._file is None or self._size + len(line) > self._max_bytes:
                self._open()
            if self._file is not None:
                self._size += os.write(self._file, line)

    def close(self) -> None:
        """End it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)
        self._file = None

    def _open(self) -> None:
        if self._file is not None:
            self.close()
            self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = os.fstat(self._file).st_size
