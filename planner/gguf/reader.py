"""Reads a GGUF header from any source, without trusting a number in it and without touching the weights.

Layout: magic, version (u32), tensor count, key count (u64 each), keys with typed values, tensor table,
padding to the alignment, tensor data. Specification: docs/gguf.md of the ggml project.

Bounds: counts are compared with the bytes left before they are used; at most 4,096 keys and 100,000 tensors;
arrays over 1,024 items are skipped and only counted, texts over 1 MiB likewise; no arrays in arrays. Real models
stay far below each; a file of fifty bytes can otherwise ask for gigabytes.
"""

import struct

from planner.errors import GgufError
from planner.gguf.cursor import Cursor, shown
from planner.gguf.header import Header, LongArray, LongText, Scalar, TensorInfo, Value
from planner.gguf.source import ByteSource
from planner.gguf.types import ARRAY, BOOL, REMOVED_TENSOR_TYPES, SCALARS, STRING, TENSOR_TYPES
from planner.units import KIB, MIB

MAGIC = b"GGUF"
MAX_KEYS = 4_096
MAX_TENSORS = 100_000
MAX_KEY_BYTES = 64 * KIB - 1
MAX_KEYS_BYTES = 4 * MIB
MAX_TEXT_BYTES = MIB
MAX_ITEMS = 4 * MIB
MAX_TEXT_ITEMS = 4 * MIB
MAX_KEPT_ITEMS = 1_024
MAX_DIMENSIONS = 4
MAX_TENSOR_NAME_BYTES = 63
MAX_ALIGNMENT = MIB
DEFAULT_ALIGNMENT = 32
LEAST_KEY_BYTES = 13
LEAST_TENSOR_BYTES = 24

_KEPT_TEXT_BUDGET = 4 * MIB
_KEPT_ITEM_BUDGET = 64 * KIB


def read_header(source: ByteSource) -> Header:
    """The header of a GGUF. Raises GgufError naming source, byte and field for anything that is not one.

    Errors of the source itself (RemoteError from the network) pass through.
    """
    try:
        return _Reader(source).read()
    except (OSError, MemoryError, RecursionError, OverflowError, struct.error, UnicodeError) as error:
        raise GgufError(f"{source.name}: the header cannot be read: {type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, source: ByteSource) -> None:
        self.cursor = Cursor(source)
        self.kept_text_bytes = 0
        self.kept_items = 0
        self.text_items = 0

    def read(self) -> Header:
        cursor = self.cursor
        self._magic()
        version = self._version()
        tensor_count = self._count("tensor count", MAX_TENSORS, LEAST_TENSOR_BYTES)
        key_count = self._count("key count", MAX_KEYS, LEAST_KEY_BYTES)
        metadata = self._metadata(key_count)
        alignment = self._alignment(metadata)
        tensors = self._tensors(tensor_count)
        data_offset = -(-cursor.position // alignment) * alignment
        self._check_placement(tensors, alignment, data_offset)
        return Header(
            name=cursor.source.name,
            version=version,
            metadata=metadata,
            tensors=tensors,
            alignment=alignment,
            data_offset=data_offset,
            size_bytes=cursor.size,
        )

    def _magic(self) -> None:
        cursor = self.cursor
        head = cursor.source.read_at(0, min(256, cursor.size))
        if head[:4] == MAGIC:
            cursor.skip(4, "magic")
            return
        start = head.lstrip().lower()
        if not head:
            what, hint = "the file is empty.", "Fetch it again."
        elif start.startswith((b"<!doctype", b"<html", b"<?xml")):
            what, hint = (
                "this is a web page, not a GGUF.",
                "Log in or use the file's download address, then fetch it again.",
            )
        elif start.startswith(b"version https://git-lfs"):
            what, hint = "this is a Git LFS pointer, not the model itself.", "Fetch the file itself: git lfs pull."
        else:
            what, hint = (
                f"the file begins with {head[:4]!r}, not with {MAGIC!r}.",
                "Only GGUF files and llamafiles can be read.",
            )
        raise cursor.fail("magic", f"not a GGUF: {what}", hint=hint)

    def _version(self) -> int:
        cursor = self.cursor
        version = cursor.u32("version")
        if version & 0xFFFF == 0 and version:
            raise cursor.fail(
                "version",
                "this GGUF is big-endian, made for machines like IBM Z; llama.cpp refuses it here.",
                at=4,
                hint="Get the little-endian file, or turn it round with gguf-convert-endian of the gguf package.",
            )
        if version not in (2, 3):
            hint = "Convert it again with a current llama.cpp." if version == 1 else ""
            raise cursor.fail("version", f"GGUF version {version} cannot be read, only 2 and 3.", at=4, hint=hint)
        return version

    def _count(self, field: str, limit: int, least_bytes: int) -> int:
        count = self.cursor.length(field, item_bytes=least_bytes)
        if count > limit:
            raise self.cursor.fail(
                field, f"{count:,} is more than any model has ({limit:,}).", at=self.cursor.position - 8
            )
        return count

    # Metadata

    def _metadata(self, count: int) -> dict[str, Value]:
        cursor = self.cursor
        metadata: dict[str, Value] = {}
        keys_bytes = 0
        for index in range(count):
            at = cursor.position
            key = self._name(f"key {index + 1} of {count}", MAX_KEY_BYTES)
            keys_bytes += cursor.position - at
            if key in metadata:
                raise cursor.fail(f"key “{shown(key)}”", "is there twice.", at=at)
            if key.startswith("GGUF."):
                raise cursor.fail(f"key “{shown(key)}”", "names beginning with “GGUF.” are reserved.", at=at)
            if keys_bytes > MAX_KEYS_BYTES:
                raise cursor.fail("keys", f"their names alone take more than {MAX_KEYS_BYTES // MIB} MiB.", at=at)
            metadata[key] = self._value(shown(key))
        return metadata

    def _name(self, field: str, limit: int) -> str:
        cursor = self.cursor
        at = cursor.position
        length = cursor.length(field)
        if not length:
            raise cursor.fail(field, "the name is empty.", at=at)
        if length > limit:
            raise cursor.fail(field, f"the name has {length:,} bytes, at most {limit:,} are allowed.", at=at)
        try:
            return cursor.take(length, field).decode()
        except UnicodeDecodeError as error:
            raise cursor.fail(field, "the name is not valid UTF-8.", at=at) from error

    def _value(self, field: str) -> Value:
        cursor = self.cursor
        at = cursor.position
        kind = cursor.u32(field)
        if kind in SCALARS:
            return self._scalars(kind, 1, field)[0]
        if kind == STRING:
            return self._text(field)
        if kind == ARRAY:
            return self._array(field)
        raise cursor.fail(field, f"the value type {kind} is unknown.", at=at)

    def _scalars(self, kind: int, count: int, field: str) -> tuple[Scalar, ...]:
        cursor = self.cursor
        at = cursor.position
        _, letter, item_bytes = SCALARS[kind]
        values = struct.unpack(f"<{count}{letter}", cursor.take(count * item_bytes, field))
        if kind == BOOL:
            if any(value > 1 for value in values):
                raise cursor.fail(field, f"a true-or-false value is {max(values)}, not 0 or 1.", at=at)
            return tuple(map(bool, values))
        return values

    def _text(self, field: str) -> str | LongText:
        length = self.cursor.length(field)
        if length > MAX_TEXT_BYTES or self.kept_text_bytes + length > _KEPT_TEXT_BUDGET:
            self.cursor.skip(length, field)
            return LongText(length)
        self.kept_text_bytes += length
        return self.cursor.take(length, field).decode(errors="replace")

    def _array(self, field: str) -> Value:
        cursor = self.cursor
        at = cursor.position
        kind = cursor.u32(field)
        if kind == ARRAY:
            raise cursor.fail(field, "an array of arrays; llama.cpp reads none either.", at=at)
        if kind != STRING and kind not in SCALARS:
            raise cursor.fail(field, f"the array's item type {kind} is unknown.", at=at)
        count = cursor.length(field, item_bytes=8 if kind == STRING else SCALARS[kind][2])
        if count > MAX_ITEMS:
            raise cursor.fail(
                field, f"an array of {count:,} items is more than any model has ({MAX_ITEMS:,}).", at=at
            )
        keep = count <= MAX_KEPT_ITEMS and self.kept_items + count <= _KEPT_ITEM_BUDGET
        if kind == STRING:
            return self._texts(count, field, keep=keep)
        if keep:
            self.kept_items += count
            return self._scalars(kind, count, field)
        if kind == BOOL:
            self._check_bools(count, field)
        else:
            cursor.skip(count * SCALARS[kind][2], field)
        return LongArray(count, SCALARS[kind][0])

    def _texts(self, count: int, field: str, *, keep: bool) -> Value:
        self.text_items += count
        if self.text_items > MAX_TEXT_ITEMS:
            raise self.cursor.fail(field, f"all arrays together hold more than {MAX_TEXT_ITEMS:,} texts.")
        if not keep:
            self.cursor.skip_strings(count, field)
            return LongArray(count, "string")
        self.kept_items += count
        texts: list[str] = []
        for index in range(count):
            text = self._text(field)
            if isinstance(text, LongText):
                self.cursor.skip_strings(count - index - 1, field)
                return LongArray(count, "string")
            texts.append(text)
        return tuple(texts)

    def _check_bools(self, count: int, field: str) -> None:
        while count:
            block = self.cursor.take(min(count, 64 * KIB), field)
            if block.strip(b"\x00\x01"):
                raise self.cursor.fail(
                    field, "a true-or-false value is not 0 or 1.", at=self.cursor.position - len(block)
                )
            count -= len(block)

    def _alignment(self, metadata: dict[str, Value]) -> int:
        alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        # Every bool is an int; of both, 1 is a power of two.
        if isinstance(alignment, int) and 1 <= alignment <= MAX_ALIGNMENT and alignment & (alignment - 1) == 0:
            return int(alignment)
        raise self.cursor.fail(
            "general.alignment", f"{alignment!r:.40} is not a power of two up to {MAX_ALIGNMENT:,}."
        )

    # Tensor table

    def _tensors(self, count: int) -> tuple[TensorInfo, ...]:
        tensors: list[TensorInfo] = []
        names: set[str] = set()
        for index in range(count):
            at = self.cursor.position
            tensor = self._tensor(f"tensor {index + 1} of {count}")
            if tensor.name in names:
                raise self.cursor.fail(f"tensor “{shown(tensor.name)}”", "is there twice.", at=at)
            names.add(tensor.name)
            tensors.append(tensor)
        return tuple(tensors)

    def _tensor(self, field: str) -> TensorInfo:
        cursor = self.cursor
        name = self._name(field, MAX_TENSOR_NAME_BYTES)
        field = f"tensor “{shown(name)}”"
        at = cursor.position
        dimensions = cursor.u32(field)
        if dimensions > MAX_DIMENSIONS:
            raise cursor.fail(field, f"has {dimensions} dimensions, at most {MAX_DIMENSIONS} are possible.", at=at)
        shape = struct.unpack(f"<{dimensions}Q", cursor.take(8 * dimensions, field))
        if 0 in shape:
            raise cursor.fail(field, f"has an empty dimension: {shape}.", at=at)
        at = cursor.position
        number = cursor.u32(field)
        kind = TENSOR_TYPES.get(number)
        if kind is None:
            removed = REMOVED_TENSOR_TYPES.get(number)
            what = (
                f"the type {number} ({removed}) was removed from llama.cpp"
                if removed
                else f"the type {number} is unknown"
            )
            raise cursor.fail(field, f"{what}.", at=at, hint="Get a file that a current llama.cpp has made.")
        row = shape[0] if shape else 1
        if row % kind.block_size:
            raise cursor.fail(
                field, f"rows of {row:,} are not whole blocks of {kind.block_size} ({kind.name}).", at=at
            )
        n_bytes = kind.block_bytes
        for length in (row // kind.block_size, *shape[1:]):
            n_bytes *= length
        if n_bytes > cursor.size:
            raise cursor.fail(field, f"would take {n_bytes:,} bytes, more than the file's {cursor.size:,}.", at=at)
        return TensorInfo(name, shape, kind.name, cursor.u64(field), n_bytes)

    def _check_placement(self, tensors: tuple[TensorInfo, ...], alignment: int, data_offset: int) -> None:
        """Tensor data must be aligned, must not overlap and must end inside the file."""
        cursor = self.cursor
        end, before = 0, ""
        for tensor in sorted(tensors, key=lambda t: t.offset):
            field = f"tensor “{shown(tensor.name)}”"
            at = data_offset + tensor.offset
            if tensor.offset % alignment:
                raise cursor.fail(field, f"its data is not aligned to {alignment} bytes.", at=at)
            if tensor.offset < end:
                raise cursor.fail(field, f"its data overlaps that of “{shown(before)}”.", at=at)
            end, before = tensor.offset + tensor.n_bytes, tensor.name
            if data_offset + end > cursor.size:
                raise cursor.fail(
                    field,
                    f"its data ends at byte {data_offset + end:,}, but the file has only {cursor.size:,}.",
                    at=at,
                    hint="The download is not complete: fetch it again.",
                )
