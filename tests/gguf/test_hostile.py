"""Files made to hang, to blow up or to mislead a reader: each ends in one GgufError, in little time and memory."""

import contextlib
import io
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from planner.errors import GgufError
from planner.gguf.facts import facts
from planner.gguf.files import read_path
from planner.gguf.header import Header
from planner.gguf.model import architecture
from planner.gguf.reader import read_header
from planner.units import MIB

U8, U32, BOOL, STRING, ARRAY, U64 = 0, 4, 7, 8, 9, 10
F32, Q4_0, Q4_2, Q4_K = 0, 2, 4, 12
HUGE = 2**64 - 1


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def key(name: bytes, kind: int, payload: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + payload


def number(name: bytes, value: int) -> bytes:
    return key(name, U32, struct.pack("<I", value))


def array(name: bytes, item: int, count: int, payload: bytes = b"") -> bytes:
    return key(name, ARRAY, struct.pack("<IQ", item, count) + payload)


def tensor(
    name: bytes, shape: tuple[int, ...], kind: int = F32, offset: int = 0, *, dimensions: int | None = None
) -> bytes:
    n = len(shape) if dimensions is None else dimensions
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", n, *shape, kind, offset)


def file(
    *keys: bytes,
    tensors: tuple[bytes, ...] = (),
    n_keys: int | None = None,
    n_tensors: int | None = None,
    version: int = 3,
    data: int = 0,
) -> bytes:
    head = b"GGUF" + struct.pack("<I", version)
    head += struct.pack("<Q", len(tensors) if n_tensors is None else n_tensors)
    head += struct.pack("<Q", len(keys) if n_keys is None else n_keys)
    head += b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data) if tensors else head


class Sparse(NamedTuple):
    """A head and then holes: large on paper, nothing on disk."""

    head: bytes
    size: int


NAME = number(b"llama.block_count", 2)
ONE = tensor(b"a", (32,))
WHOLE = file(key(b"general.architecture", STRING, text(b"llama")), NAME, tensors=(ONE,), data=128)

CASES: dict[str, dict[str, bytes | Sparse]] = {
    "not a GGUF, or cut": {
        "empty": b"",
        "one byte": b"G",
        "magic only": b"GGUF",
        "other magic": b"GGML" + WHOLE[4:],
        "reversed magic": b"FUGG" + WHOLE[4:],
        "web page": b"<!DOCTYPE html><html><body>Log in</body></html>",
        "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        "text": b"hello, this is not a model\n" * 10,
        "version 0": file(version=0),
        "version 1": file(version=1),
        "version 4": file(version=4),
        "version from nowhere": file(version=0x03000001),
        "big-endian version 1": file(version=1 << 24),
        "cut in the counts": WHOLE[:20],
        "cut in a key": WHOLE[:30],
        "cut in a value": WHOLE[:64],
        "cut in the tensor table": WHOLE[:110],
        "cut in the data": WHOLE[:-1],
    },
    "lying counts": {
        "2^64-1 keys": file(n_keys=HUGE),
        "2^63 tensors": file(n_tensors=2**63),
        "more keys than bytes": file(NAME, n_keys=1000),
        "more tensors than bytes": file(n_tensors=1000, tensors=(ONE,), data=128),
        "2^32 keys in a sparse body": Sparse(file(n_keys=2**32), 64 * MIB),
        "4,097 keys in a sparse body": Sparse(file(n_keys=4097), 64 * MIB),
        "100 keys in a sparse body": Sparse(file(NAME, n_keys=100), 64 * MIB),
        "1,000 tensors in a sparse body": Sparse(file(n_tensors=1000), 64 * MIB),
        "200,000 tensors in a sparse body": Sparse(file(n_tensors=200_000), 64 * MIB),
        "key length 2^64-1": file(text(b"a", HUGE), n_keys=1) + bytes(64),
        "key length 1 MiB": Sparse(file(text(b"", MIB), n_keys=1), 8 * MIB),
        "tensor name length 2^63": file(n_tensors=1) + text(b"", 2**63) + bytes(64),
    },
    "texts past the end": {
        "length 2^64-1": file(key(b"a", STRING, text(b"b", HUGE))),
        "length 2^63": file(key(b"a", STRING, text(b"b", 2**63))),
        "one byte too long": file(key(b"a", STRING, text(b"b", 2))),
        "last text runs out of the file": file(NAME, key(b"a", STRING, text(b"bcd", 100))),
        "in a short array": file(array(b"a", STRING, 2, text(b"b") + text(b"c", 1000))),
        "in a long array": file(array(b"a", STRING, 2000, text(b"b") * 1999 + text(b"c", 2**40))),
        "2^64-1 in a long array": file(array(b"a", STRING, 2000, text(b"b") * 1999 + text(b"c", HUGE))),
    },
    "lying arrays": {
        "2^64-1 texts": file(array(b"a", STRING, HUGE)),
        "2^64-1 bytes": file(array(b"a", U8, HUGE)),
        "2^61 numbers of 8 bytes": file(array(b"a", U64, 2**61)),
        "2^62 numbers of 4 bytes": file(array(b"a", U32, 2**62)),
        "2^30 flags": file(array(b"a", BOOL, 2**30)),
        "one item too many": file(array(b"a", U32, 3, bytes(8))),
        "one text too many": file(array(b"a", STRING, 3, text(b"") * 2)),
        "5 Mi texts in a sparse body": Sparse(file(array(b"a", STRING, 5 * MIB)), 64 * MIB),
        "16 Mi bytes, honest": Sparse(file(array(b"a", U8, 16 * MIB)), 32 * MIB),
        "item type 13": file(array(b"a", 13, 1, bytes(16))),
        "item type 2^32-1": file(array(b"a", 2**32 - 1, 1, bytes(16))),
        "cut before the count": file(key(b"a", ARRAY, struct.pack("<I", U8))),
    },
    "arrays in arrays": {
        "two deep": file(array(b"a", ARRAY, 1, struct.pack("<IQ", U8, 1) + b"\0")),
        "200 deep": file(array(b"a", ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 200)),
        "100,000 deep": file(array(b"a", ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 100_000)),
        "empty": file(array(b"a", ARRAY, 0)),
    },
    "keys and values": {
        "empty key": file(number(b"", 1)),
        "key twice": file(NAME, NAME),
        "reserved key": file(number(b"GGUF.version", 3)),
        "key is not UTF-8": file(number(b"\xff\xfe", 1)),
        "key has half a surrogate": file(number(b"\xed\xa0\x80", 1)),
        "key of 64 KiB": file(number(b"k" * 65536, 1)),
        "keys of 8 MiB together": file(*(number(b"%04d" % n + b"k" * 60_000, 1) for n in range(140))),
        "bool is 2": file(key(b"a", BOOL, b"\2")),
        "bool is 255": file(key(b"a", BOOL, b"\xff")),
        "bool in a short array is 2": file(array(b"a", BOOL, 3, b"\0\1\2")),
        "bool in a long array is 2": file(array(b"a", BOOL, 70_000, bytes(69_999) + b"\2")),
        "value type 13": file(key(b"a", 13, bytes(8))),
        "value type 2^32-1": file(key(b"a", 2**32 - 1, bytes(8))),
        "alignment 0": file(number(b"general.alignment", 0)),
        "alignment 3": file(number(b"general.alignment", 3)),
        "alignment 2^31": file(number(b"general.alignment", 2**31)),
        "alignment is a text": file(key(b"general.alignment", STRING, text(b"32"))),
        "alignment is an array": file(array(b"general.alignment", U32, 1, bytes(4))),
        "number cut": file(key(b"a", U64, bytes(7))),
    },
    "tensors": {
        "5 dimensions": file(tensors=(tensor(b"a", (1, 1, 1, 1, 1)),), data=64),
        "2^32-1 dimensions": file(tensors=(tensor(b"a", (1,), dimensions=2**32 - 1),), data=64),
        "product wraps to 0": file(tensors=(tensor(b"a", (2**32, 2**32)),), data=64),
        "product wraps to 32": file(tensors=(tensor(b"a", (2**61 + 4, 8)),), data=64),
        "four dimensions of 2^64-1": file(tensors=(tensor(b"a", (HUGE, HUGE, HUGE, HUGE)),), data=64),
        "negative dimension": file(tensors=(tensor(b"a", (2**63,)),), data=64),
        "empty dimension": file(tensors=(tensor(b"a", (32, 0)),), data=128),
        "removed type": file(tensors=(tensor(b"a", (32,), Q4_2),), data=64),
        "unknown type": file(tensors=(tensor(b"a", (32,), 99),), data=64),
        "type 2^32-1": file(tensors=(tensor(b"a", (32,), 2**32 - 1),), data=64),
        "half a block": file(tensors=(tensor(b"a", (48,), Q4_0),), data=64),
        "half a K block": file(tensors=(tensor(b"a", (128, 4), Q4_K),), data=512),
        "offset past the end": file(tensors=(tensor(b"a", (32,), offset=4096),), data=128),
        "offset 2^64-1": file(tensors=(tensor(b"a", (32,), offset=HUGE),), data=128),
        "offset that wraps": file(tensors=(tensor(b"a", (32,), offset=2**64 - 32),), data=128),
        "misaligned": file(tensors=(tensor(b"a", (8,), offset=4),), data=128),
        "misaligned for its own alignment": file(
            number(b"general.alignment", 64), tensors=(tensor(b"a", (8,), offset=32),), data=256
        ),
        "overlapping": file(tensors=(tensor(b"a", (32,)), tensor(b"b", (32,), offset=64)), data=256),
        "same place": file(tensors=(tensor(b"a", (32,)), tensor(b"b", (32,))), data=256),
        "name of 64 bytes": file(tensors=(tensor(b"n" * 64, (32,)),), data=128),
        "empty name": file(tensors=(tensor(b"", (32,)),), data=128),
        "name twice": file(tensors=(ONE, tensor(b"a", (32,), offset=128)), data=256),
        "name is not UTF-8": file(tensors=(tensor(b"\xff", (32,)),), data=128),
    },
}

ALL = [
    pytest.param(content, id=f"{group}: {name}") for group, cases in CASES.items() for name, content in cases.items()
]
SMALL = [case for case in ALL if isinstance(case.values[0], bytes) and len(case.values[0]) < MIB]


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail when the test's peak is above 50 MiB."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50 * MIB


def write(path: Path, content: bytes | Sparse) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with path.open("wb") as opened:
            opened.write(content.head)
            opened.truncate(content.size)
    return path


@pytest.mark.timeout(20)
@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("content", ALL)
def test_hostile_file_is_refused(tmp_path: Path, content: bytes | Sparse) -> None:
    with pytest.raises(GgufError) as caught:
        read_path(write(tmp_path / "hostile.gguf", content))
    assert "hostile.gguf" in caught.value.message
    assert "byte" in caught.value.message
    assert len(caught.value.message) < 500


@pytest.mark.timeout(20)
@pytest.mark.parametrize("content", SMALL)
def test_hostile_file_inside_a_llamafile_is_refused(tmp_path: Path, content: bytes) -> None:
    packed = io.BytesIO()
    packed.write(b"MZqFpD='\n" + bytes(1000))
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("inner.gguf", content)
        archive.writestr("notes.txt", "x" * 5000)
    with pytest.raises(GgufError) as caught:
        read_path(write(tmp_path / "hostile.llamafile", packed.getvalue()))
    assert "inner.gguf" in caught.value.message


@pytest.mark.timeout(20)
def test_many_long_arrays_in_a_sparse_file_end_early(tmp_path: Path) -> None:
    """Every array is honest, the file costs nothing on disk, and passing them all would take minutes."""
    path = tmp_path / "hostile.gguf"
    items = 4 * MIB
    with path.open("wb") as opened:
        opened.write(file(n_keys=15))
        for index in range(15):
            opened.write(array(b"array-%d" % index, STRING, items))
            opened.seek(8 * items, 1)
        opened.truncate()
    with pytest.raises(GgufError, match="all arrays together"):
        read_path(path)


class Bytes:
    """A file in memory."""

    name = "flipped.gguf"

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


REAL = file(
    key(b"general.architecture", STRING, text(b"gemma3")),
    number(b"gemma3.block_count", 1),
    number(b"gemma3.embedding_length", 32),
    number(b"gemma3.feed_forward_length", 64),
    number(b"gemma3.context_length", 512),
    number(b"gemma3.attention.head_count", 4),
    array(b"gemma3.attention.head_count_kv", U32, 1, struct.pack("<I", 2)),
    number(b"gemma3.attention.sliding_window", 128),
    key(b"flag", BOOL, b"\1"),
    array(b"tokenizer.ggml.tokens", STRING, 4, text(b"<s>") + text(b"a") + text(b"b") + text(b"c")),
    number(b"general.file_type", 15),
    tensors=(
        tensor(b"token_embd.weight", (32, 4), Q4_0),
        tensor(b"blk.0.ffn_up.weight", (32, 64), F32, 96),
    ),
    data=96 + 8192,
)


def survives(data: bytes) -> Header | None:
    """Read and use a header; only GgufError may come out."""
    try:
        header = read_header(Bytes(data))
    except GgufError:
        return None
    found = facts(header)
    with contextlib.suppress(GgufError):
        architecture(found)
    return header


def test_the_unharmed_header_is_fine() -> None:
    header = survives(REAL)
    assert header is not None
    assert architecture(facts(header)).layers == 1


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 620), st.integers(0, 255)), min_size=1, max_size=4))
@example([(24, 255)])
def test_flipped_bytes_never_bring_another_exception(flips: list[tuple[int, int]]) -> None:
    data = bytearray(REAL)
    for at, value in flips:
        data[at] = value
    survives(bytes(data))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(REAL) - 1))
def test_a_cut_anywhere_is_refused(length: int) -> None:
    assert survives(REAL[:length]) is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 620), st.binary(min_size=1, max_size=40))
def test_inserted_bytes_never_bring_another_exception(at: int, extra: bytes) -> None:
    survives(REAL[:at] + extra + REAL[at:])
