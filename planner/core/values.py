"""Values that cannot be wrong once they exist: they are checked where data enters, not where it is used.

The same path bug reached Ollama twice (CVE-2024-37032, CVE-2026-7020) because the check stood at one
of the writes; here a bad digest or path never becomes a value at all.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Self

_DIGEST = re.compile(r"[0-9a-f]{64}")
_REPO_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REPO = re.compile(rf"(?!.*(?:\.\.|--)){_REPO_PART}/{_REPO_PART}")
_WINDOWS_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_BAD_WORD = re.compile(r"Invalid enum value (?P<word>.*) - at `(?P<path>\$(?:.*\.)?(?P<field>\w+))`", re.DOTALL)
_PLAIN_PATH = re.compile(
    r"(?:(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|\Z))[a-z0-9_-](?:[a-z0-9._-]*[a-z0-9_-])?(?:/(?!\Z)|\Z))+",
    re.IGNORECASE | re.ASCII,
)
"""Paths that are safe at one look; a part with a sign more is looked at by itself."""
_FORBIDDEN_IN_PATH = re.compile(r'[\x00-\x1f\x7f-\x9f\\:*?"<>|@]')
_LONGEST_PATH = 512


class Digest(str):
    """A sha256 as 64 lower-case hex digits (a leading `sha256:` is dropped). Raises ValueError."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validate and normalise."""
        digest = text.strip().lower().removeprefix("sha256:")
        if _DIGEST.fullmatch(digest) is None:
            raise ValueError(f"not a sha256: {text!r:.80}")
        return super().__new__(cls, digest)


class RepoId(str):
    """A Hub repository id, `owner/name`. Raises ValueError."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validate."""
        if _REPO.fullmatch(text) is None:
            raise ValueError(f"not a repository id of the form owner/name: {text!r:.120}")
        return super().__new__(cls, text)


class RepoPath(str):
    """A relative file path inside a repository or package, safe on POSIX and Windows alike.

    Refused: absolute paths, `..`, drives, UNC names, backslashes, control characters, reserved device
    names, trailing dots or spaces, and `@` (llamafile splits paths on it). Raises ValueError.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Validate."""
        if len(text) <= _LONGEST_PATH and _PLAIN_PATH.fullmatch(text) is not None:
            return super().__new__(cls, text)
        parts = text.split("/")
        bad = (
            not text
            or len(text) > _LONGEST_PATH
            or _FORBIDDEN_IN_PATH.search(text) is not None
            or any(part in {"", ".", ".."} or part[-1] in ". " or _WINDOWS_RESERVED.fullmatch(part) for part in parts)
        )
        if bad:
            raise ValueError(f"not a safe relative path: {text!r:.120}")
        return super().__new__(cls, text)

    @property
    def name(self) -> str:
        """The last part: the file's own name."""
        return self.rsplit("/", 1)[-1]


_MAKERS: dict[type, Callable[[str], object]] = {
    Digest: Digest,
    RepoPath: RepoPath,
    RepoId: functools.lru_cache(maxsize=1024)(RepoId),  # every file of a repository names it
}


def decode_value(kind: type, raw: object) -> object:
    """`dec_hook` for msgspec: make one of the value types of this module. Raises ValueError."""
    make = _MAKERS.get(kind)
    if make is None:
        raise NotImplementedError(kind)
    if isinstance(raw, str):
        return make(raw)
    raise ValueError(f"expected text, got {type(raw).__name__}")


def with_choices(message: str, choices: Mapping[str, Iterable[str]]) -> str:
    """A decoder's message about a word that is none of the allowed ones, with these; `choices` are by field."""
    found = _BAD_WORD.fullmatch(message)
    allowed = choices.get(found["field"]) if found is not None else None
    if found is None or allowed is None:
        return message
    return f"{found['word']} is none of {', '.join(str(word) for word in allowed)} - at `{found['path']}`"


def encode_value(value: object) -> str:
    """`enc_hook` for msgspec: the value types are text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise NotImplementedError(type(value))
