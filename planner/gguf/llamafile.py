"""The llamafile format: an executable whose tail is a ZIP archive that holds the weights, stored and aligned.

Only what is needed to find a GGUF inside is read: the end record, the central directory and one local header,
each compared with the file's size first. Names of members are never used as paths. Layout: PKWARE APPNOTE 6.3.
"""

import struct
from itertools import pairwise

import msgspec

from planner.errors import GgufError, UsageError
from planner.gguf.cursor import shown
from planner.gguf.reader import MAGIC
from planner.gguf.source import ByteSource, MemberSource
from planner.units import KIB, MIB

MAGICS = (b"MZqFpD='", b"jartsr='")
"""How an unchanged llamafile begins; one adapted to its system begins like any executable of that system."""

ARGS = ".args"
MAX_ENTRIES = 65_535
MAX_DIRECTORY_BYTES = 16 * MIB
MAX_ARGS_BYTES = 64 * KIB
MAX_END_RECORDS = 16
"""How many places that look like an end record are tried: each may cost a remote read."""

_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_TAIL_BYTES = 64 * KIB + _END.size
_OVERFLOW = 0xFFFFFFFF


class Member(msgspec.Struct, frozen=True):
    """One file inside. `stored` means as it is: neither compressed nor encrypted.

    `size` and `packed_size` in bytes; `header_offset` is where its local header begins in the outer file.
    """

    name: str
    size: int
    packed_size: int
    header_offset: int
    stored: bool


class Llamafile(msgspec.Struct, frozen=True):
    """A llamafile's directory. `arguments` are the lines of `.args`, which it runs with; () without one."""

    members: tuple[Member, ...]
    arguments: tuple[str, ...]

    @property
    def models(self) -> tuple[Member, ...]:
        """The members that are GGUF files by name, in directory order."""
        return tuple(member for member in self.members if member.name.lower().endswith(".gguf"))


def read_llamafile(source: ByteSource) -> Llamafile | None:
    """The directory of a llamafile, or None if the source is neither a llamafile nor a ZIP archive with a GGUF.

    Raises GgufError when it begins like a llamafile and its archive is missing or damaged.
    """
    head = source.read_at(0, min(8, source.size))
    if head[:4] == MAGIC:
        return None
    claims = head in MAGICS
    directory = _find_directory(source)
    if directory is None:
        if claims:
            raise GgufError(
                f"{source.name}: begins like a llamafile, but its archive has no end record.",
                hint="The download is not complete: fetch it again.",
            )
        return None
    members = _members(source, *directory)
    arguments = next((m for m in members if m.name == ARGS), None)
    if not claims and arguments is None and not any(m.name.lower().endswith(".gguf") for m in members):
        return None
    return Llamafile(members, _arguments(source, arguments))


def select_model(source: ByteSource, llamafile: Llamafile, name: str | None = None) -> Member | None:
    """The GGUF to look at: the named one, or the only one; None when there is none at all.

    Raises UsageError when the name is missing among several, or unknown: which one is meant is never guessed.
    """
    models = llamafile.models
    names = ", ".join(shown(member.name) for member in models) or "none"
    if name is not None:
        found = next((m for m in models if m.name == name), None) or next(
            (m for m in models if m.name.rsplit("/", 1)[-1] == name), None
        )
        if found is None:
            raise UsageError(
                f"{source.name} has no GGUF called “{shown(name)}” inside.",
                hint=f"It has: {names}.",
                reference="member-unknown",
            )
        return found
    if len(models) > 1:
        raise UsageError(
            f"{source.name} holds {len(models)} GGUF files: {names}.",
            hint="Name one of them with --member.",
            reference="member-ambiguous",
        )
    return models[0] if models else None


def open_member(source: ByteSource, member: Member) -> MemberSource:
    """The bytes of a member as a source. Raises GgufError unless it is stored and lies inside the file."""
    if not member.stored:
        raise GgufError(
            f"{source.name}: “{shown(member.name)}” is compressed or encrypted; engines need it stored as it is.",
            hint="Make the llamafile again with zipalign.",
        )
    at = member.header_offset
    local = _unpack(source, _LOCAL, at, b"PK\x03\x04", f"the local header of “{shown(member.name)}”")
    name_length, extra_length = local[9], local[10]
    # The local header's own lengths count: its extra field differs from the directory's.
    offset = at + _LOCAL.size + name_length + extra_length
    if offset + member.size > source.size:
        raise GgufError(
            f"{source.name}, byte {offset}: “{shown(member.name)}” has {member.size:,} bytes, "
            f"but only {max(0, source.size - offset):,} are left.",
            hint="The download is not complete: fetch it again.",
        )
    return MemberSource(source, name=shown(member.name), offset=offset, size=member.size)


def _find_directory(source: ByteSource) -> tuple[int, int, int, int] | None:
    """(offset, size, entries, shift) of the central directory from the last consistent end record.

    `shift` is added to every offset in it: bytes may have been put before an archive that does not know of them.
    """
    start = max(0, source.size - _TAIL_BYTES)
    tail = source.read_at(start, source.size - start)
    at = len(tail)
    for _ in range(MAX_END_RECORDS):
        at = tail.rfind(b"PK\x05\x06", 0, at)
        if at < 0:
            return None
        found = _check_end(source, tail, start, at) if at + _END.size <= len(tail) else None
        if found is not None:
            return found
    return None


def _check_end(source: ByteSource, tail: bytes, start: int, at: int) -> tuple[int, int, int, int] | None:
    _, disk, first_disk, _, entries, size, offset, comment = _END.unpack_from(tail, at)
    end = start + at
    if end + _END.size + comment > source.size:
        return None
    end64 = _end64(source, end)
    if end64 is not None:
        end, disk, first_disk, entries, size, offset = end64
    if disk or first_disk or entries > MAX_ENTRIES or size > MAX_DIRECTORY_BYTES:
        return None
    shift = end - size - offset
    if shift < 0 or entries * _ENTRY.size > size:
        return None
    # An end record can also stand in a comment or in stored data: a real one has a directory before it.
    if entries and source.read_at(offset + shift, 4) != b"PK\x01\x02":
        return None
    return offset + shift, size, entries, shift


def _end64(source: ByteSource, end: int) -> tuple[int, int, int, int, int, int] | None:
    """ZIP64's end record, found through the locator just before the plain one."""
    at = end - _END64_LOCATOR.size
    if at < 0:
        return None
    locator = source.read_at(at, _END64_LOCATOR.size)
    if len(locator) < _END64_LOCATOR.size or not locator.startswith(b"PK\x06\x07"):
        return None
    for place in (_END64_LOCATOR.unpack(locator)[2], at - _END64.size):
        if 0 <= place <= at - _END64.size:
            record = source.read_at(place, _END64.size)
            if len(record) == _END64.size and record.startswith(b"PK\x06\x06"):
                disk, first_disk, _, entries, size, offset = _END64.unpack(record)[4:]
                return place, disk, first_disk, entries, size, offset
    return None


def _members(source: ByteSource, offset: int, size: int, entries: int, shift: int) -> tuple[Member, ...]:
    directory = source.read_at(offset, size)
    members: list[Member] = []
    at = 0
    for index in range(entries):
        field = f"{source.name}, byte {offset + at}: entry {index + 1} of {entries} of the archive's directory"
        if at + _ENTRY.size > len(directory):
            raise GgufError(f"{field} is cut off.", hint="The file is damaged: fetch it again.")
        entry = _ENTRY.unpack_from(directory, at)
        signature, flags, method = entry[0], entry[3], entry[4]
        packed, plain, name_length, extra_length, comment_length = entry[8:13]
        after = at + _ENTRY.size + name_length + extra_length + comment_length
        if signature != b"PK\x01\x02" or after > len(directory):
            raise GgufError(f"{field} is damaged.", hint="Fetch the file again.")
        name_end = at + _ENTRY.size + name_length
        extra = directory[name_end : name_end + extra_length]
        plain, packed, local = _wide(extra, plain, packed, entry[16], field)
        local += shift
        name = directory[at + _ENTRY.size : name_end].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        stored = method == 0 and not flags & 1
        if local + _LOCAL.size + packed > offset or (stored and packed != plain):
            raise GgufError(
                f"{field}, “{shown(name)}”, does not lie inside the file ({packed:,} bytes at {local:,}).",
                hint="The file is damaged: fetch it again.",
            )
        members.append(Member(name, plain, packed, local, stored))
        at = after
    ordered = sorted(members, key=lambda m: m.header_offset)
    for one, other in pairwise(ordered):
        if one.header_offset + _LOCAL.size + one.packed_size > other.header_offset:
            raise GgufError(f"{source.name}: “{shown(one.name)}” and “{shown(other.name)}” overlap in the archive.")
    return tuple(members)


def _wide(extra: bytes, plain: int, packed: int, local: int, field: str) -> tuple[int, int, int]:
    """Replace the numbers that overflowed 32 bits by those of the ZIP64 extra field, which has only these."""
    values = [plain, packed, local]
    wide = [index for index, value in enumerate(values) if value == _OVERFLOW]
    at = 0
    while wide and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            if length < 8 * len(wide) or at + 4 + 8 * len(wide) > len(extra):
                raise GgufError(f"{field} has a damaged ZIP64 field.", hint="Fetch the file again.")
            for index, value in zip(wide, struct.unpack_from(f"<{len(wide)}Q", extra, at + 4), strict=True):
                values[index] = value
            break
        at += 4 + length
    return values[0], values[1], values[2]


def _arguments(source: ByteSource, member: Member | None) -> tuple[str, ...]:
    if member is None or not member.stored or member.size > MAX_ARGS_BYTES:
        return ()
    inner = open_member(source, member)
    text = inner.read_at(0, inner.size).decode("utf-8", "replace")
    return tuple(line for line in text.splitlines() if line.strip())


def _unpack(source: ByteSource, layout: struct.Struct, at: int, signature: bytes, what: str) -> tuple[int, ...]:
    data = source.read_at(at, layout.size)
    if len(data) < layout.size or not data.startswith(signature):
        raise GgufError(f"{source.name}, byte {at}: {what} is missing.", hint="The file is damaged: fetch it again.")
    return layout.unpack(data)
