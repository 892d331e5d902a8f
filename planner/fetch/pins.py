"""`models/.planner/pins.json`: what the first fetch found out about files that the catalog does not describe in full.

Kept light: planning reads it too, before it knows whether anything will ever be fetched.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from planner.core.models.file_pins import FilePin, Pins, index
from planner.core.values import decode_value, encode_value

if TYPE_CHECKING:
    from planner.fetch.disk import Disk

_LARGEST_BYTES = 16 * 2**20
_LOCK_S = 30.0


class _PinFile(msgspec.Struct):
    schema: int
    pins: tuple[FilePin, ...]


def pins_path(store_root: Path) -> Path:
    """Where the pins of a store are."""
    return store_root / ".planner" / "pins.json"


def read_pins(store_root: Path) -> Pins:
    """The pins of a store by model and quant. None when there are none, or none that can be read: they come again."""
    path = pins_path(store_root)
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_BYTES)
        return index(msgspec.json.decode(raw, type=_PinFile, dec_hook=decode_value).pins)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return {}


def write_pin(store_root: Path, pin: FilePin, disk: "Disk | None" = None) -> None:
    """Remember a pin in the place of an earlier one for the same variant. Raises as a full disk does."""
    _change(store_root, lambda pins: pins | {pin.key: pin}, disk)


def forget_pins(store_root: Path, model: str) -> None:
    """Forget what is pinned for a model: it is described anew."""
    if read_pins(store_root):
        _change(store_root, lambda pins: {key: pin for key, pin in pins.items() if key[0] != model.casefold()}, None)


def _change(store_root: Path, change: Callable[[Pins], Pins], disk: "Disk | None") -> None:
    from filelock import FileLock  # noqa: PLC0415  # only a fetch needs these

    from planner.fetch.disk import Disk, disk_errors, write_atomically  # noqa: PLC0415

    path = pins_path(store_root)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may pin another file at this moment: read, change and write are one step.
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_S):
            before = read_pins(store_root)
            after = change(before)
            if after == before:
                return
            content = _PinFile(schema=1, pins=tuple(after[key] for key in sorted(after)))
            body = msgspec.json.format(msgspec.json.encode(content, enc_hook=encode_value), indent=1)
            write_atomically(path, body, disk or Disk())
