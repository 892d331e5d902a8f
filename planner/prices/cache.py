"""One file per provider in the cache folder, replaced in one step; what cannot be read counts as not there."""

import contextlib
from pathlib import Path
from typing import Literal

import msgspec

from planner.prices.provider import Part

FOLDER = "prices"
_LARGEST_BYTES = 64 * 2**20


class Cached(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a provider, by part. Before `not_before` (seconds since 1970) it wants no request."""

    schema: Literal[1] = 1
    parts: dict[str, Part] = {}
    not_before: float = 0.0


def read_cache(folder: Path, provider: str) -> Cached:
    """What was kept; nothing where there is no file, or one that is broken or of another version."""
    try:
        path = _path(folder, provider)
        if not path.is_file():  # a device or a pipe may have no end
            return Cached()
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES + 1)
        return Cached() if len(raw) > _LARGEST_BYTES else msgspec.json.decode(raw, type=Cached)
    except (OSError, ValueError, RecursionError):
        return Cached()


def write_cache(folder: Path, provider: str, cached: Cached) -> None:
    """Keep it. A folder that cannot be written costs the next run a request, nothing more."""
    with contextlib.suppress(OSError):
        from planner.files import replace_file  # noqa: PLC0415  # 3 ms that reading need not pay

        path = _path(folder, provider)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, msgspec.json.encode(cached))


def _path(folder: Path, provider: str) -> Path:
    return folder / FOLDER / f"{provider}.json"
