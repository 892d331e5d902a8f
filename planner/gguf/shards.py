"""Split models: `name-00001-of-00003.gguf`. All parts' tensors belong to the sum."""

import re
from pathlib import Path

from planner.errors import GgufError
from planner.gguf.cursor import shown
from planner.gguf.header import Header
from planner.gguf.reader import MAX_TENSORS

_SHARD_NAME = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.IGNORECASE)
MAX_SHARDS = 1_000


def shard_paths(path: Path) -> tuple[Path, ...]:
    """The names of all parts, in order, whether they exist or not; () when the name is not a part's."""
    match = _SHARD_NAME.fullmatch(path.name)
    if match is None or not 1 <= int(match["count"]) <= MAX_SHARDS:
        return ()
    count = match["count"]
    return tuple(
        path.with_name(f"{match['stem']}-{number:05d}-of-{count}{match['suffix']}")
        for number in range(1, int(count) + 1)
    )


def merge(headers: tuple[Header, ...]) -> Header:
    """One header for all parts in order: the first one's metadata, everybody's tensors, sizes summed.

    Tensor offsets stay those of each part. Raises GgufError when the parts do not belong together.
    """
    first = headers[0]
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    for number, header in enumerate(headers):
        said = (header.metadata.get("split.no", number), header.metadata.get("split.count", len(headers)))
        if said != (number, len(headers)):
            raise GgufError(
                f"{header.name}, split.no: says it is part {said[0]} of {said[1]} (from 0), "
                f"its name says {number} of {len(headers)}.",
                hint="The parts come from different models: fetch them again.",
            )
    promised = first.metadata.get("split.tensors.count", len(tensors))
    if promised != len(tensors):
        raise GgufError(
            f"{first.name}, split.tensors.count: promises {promised} tensors, the parts have {len(tensors)}.",
            hint="The parts come from different models: fetch them again.",
        )
    if len(tensors) > MAX_TENSORS:
        raise GgufError(f"{first.name}: the parts hold {len(tensors):,} tensors, more than any model has.")
    names: set[str] = set()
    for tensor in tensors:
        if tensor.name in names:
            raise GgufError(f"{first.name}: tensor “{shown(tensor.name)}” is in more than one part.")
        names.add(tensor.name)
    return Header(
        name=first.name,
        version=first.version,
        metadata=first.metadata,
        tensors=tensors,
        alignment=first.alignment,
        data_offset=sum(header.data_offset for header in headers),
        size_bytes=sum(header.size_bytes for header in headers),
        parts=len(headers),
    )
