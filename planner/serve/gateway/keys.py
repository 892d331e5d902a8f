"""The API keys of a gateway: the deployment's own, and named ones for single clients that can be taken away again.

Named keys live in `clients.json` beside the deployment's key (0600) as SHA-256 sums: a key is shown once, when it is
made. The gateway looks at the file's time stamp, so that adding and removing one needs no restart.
"""

import contextlib
import datetime as dt
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import msgspec

from planner.errors import BadDataError, EngineError, UsageError
from planner.files import replace_file

OWNER = "owner"
"""What the deployment's own key is called in logs and counters."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LOOK_EVERY_S = 1.0
_MAX_BYTES = 2**20
_PATIENCE_S = 10.0


class NamedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A client's key: what it is called, its sum (hexadecimal), and the day it was made."""

    name: str
    sha256: str
    made_on: str = ""


class _File(msgspec.Struct, frozen=True):
    keys: tuple[NamedKey, ...] = ()


def digest(key: str) -> bytes:
    """Equal length whatever was sent, so that a comparison's time says nothing about a key's length."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def read_named(path: Path) -> tuple[NamedKey, ...]:
    """The named keys; none when there is no file. Raises BadDataError."""
    try:
        raw = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
        return msgspec.json.decode(raw, type=_File).keys
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise BadDataError(
            f"{path} cannot be read: {error}",
            hint="Remove it and add the clients' keys again: planner key add NAME.",
            reference="keys-unreadable",
        ) from error


def add_named(path: Path, name: str, *, patience_s: float = _PATIENCE_S) -> str:
    """Make a key for a client and return it: the only time it is seen. Raises UsageError for a name that is taken.

    As `remove_named` it raises EngineError while somebody else changes the file for longer than `patience_s`, and
    OSError when it cannot be written.
    """
    if _NAME.fullmatch(name) is None or name == OWNER:
        raise UsageError(
            f"“{name}” cannot be the name of a key.",
            hint="Use letters, digits, dots, dashes and underscores; at most 63 of them.",
            reference="name-invalid",
        )
    secret = secrets.token_urlsafe(32)
    today = dt.datetime.now(dt.UTC).date().isoformat()
    with _alone(path, patience_s):
        known = read_named(path)
        if any(key.name == name for key in known):
            raise UsageError(
                f"There is a key named “{name}” already; it cannot be shown again.",
                hint=f"Remove it first (planner key remove {name}), or choose another name.",
                reference="key-exists",
            )
        _write(path, (*known, NamedKey(name=name, sha256=digest(secret).hex(), made_on=today)))
    return secret


def remove_named(path: Path, name: str, *, patience_s: float = _PATIENCE_S) -> bool:
    """Take a client's key away; False when there is none of that name."""
    with _alone(path, patience_s):
        known = read_named(path)
        left = tuple(key for key in known if key.name != name)
        if len(left) == len(known):
            return False
        _write(path, left)
    return True


@contextlib.contextmanager
def _alone(path: Path, patience_s: float) -> Iterator[None]:
    """Nobody else changes the file meanwhile: a key would be lost, or one that was taken away be back."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), mode=0o600)
    try:
        lock.acquire(timeout=patience_s)
    except filelock.Timeout as error:
        raise EngineError(
            f"Another planner has been changing {path} for more than {patience_s:.0f} s, so nothing was changed.",
            hint="Try again once it has ended.",
            reference="deployment-busy",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, keys: tuple[NamedKey, ...]) -> None:
    replace_file(path, msgspec.json.encode(_File(keys)) + b"\n")


class KeyRing:
    """Which keys open the gateway. `named` is the file of clients' keys, None when there cannot be any."""

    def __init__(
        self, own_key: str, named: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = digest(own_key)
        self._path = named
        self._clock = clock
        self._named: tuple[tuple[str, bytes], ...] = ()
        self._looked = -_LOOK_EVERY_S
        self._stamp: tuple[int, int, int] | None = None

    def name_of(self, candidates: list[str]) -> str | None:
        """The name of the first right key among those a client sent, or None. All are compared, in constant time."""
        self._look()
        found: list[str] = []
        for sent in map(digest, candidates):
            for name, right in ((OWNER, self._own), *self._named):
                if hmac.compare_digest(sent, right):
                    found.append(name)
        return found[0] if found else None

    def _look(self) -> None:
        """Read the file again when it has changed. One that cannot be read opens nothing."""
        if self._path is None or self._clock() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = self._clock()
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            self._stamp, self._named = None, ()
            return
        if stamp == self._stamp:
            return
        try:
            self._named = tuple((key.name, bytes.fromhex(key.sha256)) for key in read_named(self._path))
        except (BadDataError, ValueError):
            self._stamp, self._named = None, ()  # for want of a descriptor, say: it may be readable the next time
        else:
            self._stamp = stamp
