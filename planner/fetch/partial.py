"""The file that grows during a transfer, and the note beside it that says whose bytes it holds."""

from typing import BinaryIO

import msgspec

from planner.core.values import Digest, decode_value, encode_value
from planner.fetch.disk import Disk, disk_errors, write_atomically
from planner.fetch.store import Place


class PartialNote(msgspec.Struct, frozen=True):
    """Whose bytes the partial file holds."""

    url: str
    etag: str | None
    sha256: Digest | None
    size: int | None


def open_partial(place: Place) -> BinaryIO:
    """The partial file for reading and writing, without a buffer that a killed process would lose."""
    place.partial.touch(exist_ok=True)
    return place.partial.open("r+b", buffering=0)


def read_note(place: Place) -> PartialNote | None:
    """The note; None if there is none, or none that can be read: then the bytes are nobody's."""
    try:
        return msgspec.json.decode(place.partial_entry.read_bytes(), type=PartialNote, dec_hook=decode_value)
    except (OSError, msgspec.MsgspecError, ValueError):
        return None


def write_note(place: Place, note: PartialNote, disk: Disk) -> None:
    """Write the note, all of it or nothing."""
    write_atomically(place.partial_entry, msgspec.json.encode(note, enc_hook=encode_value), disk)


def discard(place: Place) -> None:
    """Remove the partial file, its note, and the map of its pieces."""
    with disk_errors(place.partial):
        place.partial.unlink(missing_ok=True)
        place.partial_map.unlink(missing_ok=True)
        place.partial_entry.unlink(missing_ok=True)
