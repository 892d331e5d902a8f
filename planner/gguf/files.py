"""One entrance for everything that can hold a GGUF: the file itself, a split model, a llamafile."""

from pathlib import Path

import msgspec

from planner.errors import UsageError
from planner.gguf.header import Header
from planner.gguf.llamafile import Llamafile, open_member, read_llamafile, select_model
from planner.gguf.reader import read_header
from planner.gguf.shards import merge, shard_paths
from planner.gguf.source import ByteSource, LocalSource


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What was found. `llamafile` is None for a plain GGUF, `header` None for a llamafile without weights.

    `size_bytes` is what was looked at on disk: the file, all parts of a split model together, or the llamafile.
    `missing_parts` names the parts of a split model that are not there.
    """

    header: Header | None
    llamafile: Llamafile | None = None
    size_bytes: int
    missing_parts: tuple[str, ...] = ()


def read_source(source: ByteSource, *, member: str | None = None) -> Contents:
    """Read a GGUF or a llamafile from any source. `member` names the GGUF inside a llamafile.

    Raises GgufError for anything else, UsageError when `member` is needed or unknown.
    """
    llamafile = read_llamafile(source)
    if llamafile is None:
        if member is not None:
            raise UsageError(f"{source.name} is not a llamafile: it has no members.", hint="Leave out --member.")
        return Contents(header=read_header(source), size_bytes=source.size)
    chosen = select_model(source, llamafile, member)
    header = read_header(open_member(source, chosen)) if chosen else None
    return Contents(header=header, llamafile=llamafile, size_bytes=source.size)


def read_path(path: Path, *, member: str | None = None) -> Contents:
    """Like `read_source` for a file on this machine; the parts of a split model beside it are read with it.

    Raises UsageError for a missing file or a folder.
    """
    with LocalSource(path) as source:
        contents = read_source(source, member=member)
    parts = shard_paths(path) if contents.llamafile is None else ()
    if len(parts) < 2:
        return contents
    missing = tuple(part.name for part in parts if not part.is_file())
    if missing:
        return msgspec.structs.replace(contents, missing_parts=missing)
    headers = []
    for part in parts:
        with LocalSource(part) as source:
            headers.append(read_header(source))
    merged = merge(tuple(headers))
    return Contents(header=merged, size_bytes=merged.size_bytes)
