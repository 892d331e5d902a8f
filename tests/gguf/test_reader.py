"""Well-formed headers, the usual and the unusual ones, and what reading them costs."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from planner.errors import GgufError, UsageError
from planner.gguf.header import Header, LongArray, LongText
from planner.gguf.reader import read_header
from planner.gguf.source import LocalSource
from planner.units import KIB, MIB

GgufMaker = Callable[..., Path]


class CountingSource:
    """Bytes in memory, zeros behind them, and a count of what was asked for."""

    def __init__(self, data: bytes, *, size: int | None = None) -> None:
        self.name = "counted.gguf"
        self.size = len(data) if size is None else size
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        length = max(0, min(length, self.size - offset))
        return self.data[offset : offset + length].ljust(length, b"\0")


def read(path: Path) -> Header:
    with LocalSource(path) as source:
        return read_header(source)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def header_bytes(*keys: bytes, tensors: tuple[bytes, ...] = (), version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)


def string_key(key: bytes, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", 8) + text(value)


def string_array(key: bytes, count: int, item: bytes) -> bytes:
    return text(key) + struct.pack("<IIQ", 9, 8, count) + text(item) * count


def test_reads_what_the_writer_wrote(make_gguf: GgufMaker) -> None:
    header = read(make_gguf(whole_keys={"general.name": "Täst", "a.flags": [True, False], "a.share": 0.5}))
    reader = gguf.GGUFReader(make_gguf())
    assert header.version == 3
    assert header.metadata["general.architecture"] == "llama"
    assert header.metadata["general.name"] == "Täst"
    assert header.metadata["llama.block_count"] == 2
    assert header.metadata["a.flags"] == (True, False)
    assert header.metadata["a.share"] == 0.5
    assert header.metadata["tokenizer.ggml.tokens"] == tuple(f"token-{index}" for index in range(32))
    expected = [(t.name, tuple(int(n) for n in t.shape), t.tensor_type.name, int(t.n_bytes)) for t in reader.tensors]
    assert [(t.name, t.shape, t.type, t.n_bytes) for t in header.tensors] == expected


def test_data_offset_is_where_the_other_reader_finds_the_data(make_gguf: GgufMaker) -> None:
    path = make_gguf()
    reader = gguf.GGUFReader(path)
    header = read(path)
    assert header.data_offset == reader.data_offset
    assert [header.data_offset + t.offset for t in header.tensors] == [t.data_offset for t in reader.tensors]
    assert header.size_bytes == path.stat().st_size


@pytest.mark.parametrize(
    "kind", [k for k in gguf.GGMLQuantizationType if k.name.startswith(("Q", "IQ", "T", "MX", "NV"))]
)
def test_sizes_of_quantised_tensors(make_gguf: GgufMaker, kind: gguf.GGMLQuantizationType) -> None:
    header = read(make_gguf(quantised={"w.weight": ((3, 512), kind)}))
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    assert header.tensors[0].shape == (512, 3)
    assert header.tensors[0].n_bytes == 3 * 512 // block * block_bytes


def test_a_big_endian_file_is_refused_with_the_reason_and_a_way_out(make_gguf: GgufMaker) -> None:
    with pytest.raises(GgufError, match=r"byte 4, version: this GGUF is big-endian.*llama\.cpp refuses it") as caught:
        read(make_gguf("big.gguf", big_endian=True))
    assert "little-endian" in caught.value.hint


def test_version_2_is_read() -> None:
    header = read_header(CountingSource(header_bytes(string_key(b"general.architecture", b"llama"), version=2)))
    assert header.version == 2
    assert header.metadata == {"general.architecture": "llama"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x1b[31mred\x00", "\x1b[31mred\x00"),
        (b"../../etc/passwd", "../../etc/passwd"),
    ],
)
def test_odd_values_are_kept_as_text(value: bytes, shown: str) -> None:
    header = read_header(CountingSource(header_bytes(string_key(b"general.architecture", value))))
    assert header.metadata["general.architecture"] == shown


def test_implausible_numbers_are_still_a_header() -> None:
    key = text(b"llama.block_count") + struct.pack("<IQ", 10, 2**64 - 1)
    assert read_header(CountingSource(header_bytes(key))).metadata["llama.block_count"] == 2**64 - 1


def test_a_scalar_tensor_and_gaps_between_tensors_are_allowed() -> None:
    scalar = text(b"scale") + struct.pack("<IIQ", 0, 0, 64)
    row = text(b"row") + struct.pack("<IQIQ", 1, 8, 0, 0)
    header = read_header(CountingSource(header_bytes(tensors=(scalar, row)), size=1024))
    assert [(t.name, t.shape, t.n_elements, t.n_bytes) for t in header.tensors] == [
        ("scale", (), 1, 4),
        ("row", (8,), 8, 32),
    ]


def test_arrays_over_a_thousand_items_are_only_counted() -> None:
    numbers = text(b"n") + struct.pack("<IIQ", 9, 5, 5000) + bytes(20_000)
    flags = text(b"f") + struct.pack("<IIQ", 9, 7, 70_000) + bytes(70_000)
    few = text(b"few") + struct.pack("<IIQ", 9, 4, 1024) + bytes(4096)
    header = read_header(CountingSource(header_bytes(numbers, flags, few, string_array(b"s", 1025, b"x"))))
    assert header.metadata["n"] == LongArray(5000, "int32")
    assert header.metadata["f"] == LongArray(70_000, "bool")
    assert header.metadata["few"] == (0,) * 1024
    assert header.metadata["s"] == LongArray(1025, "string")


def test_texts_over_a_mebibyte_are_only_measured_and_not_read() -> None:
    data = header_bytes(string_key(b"tokenizer.huggingface.json", bytes(8 * MIB)), string_key(b"a", b"b"))
    source = CountingSource(data)
    header = read_header(source)
    assert header.metadata == {"tokenizer.huggingface.json": LongText(8 * MIB), "a": "b"}
    assert sum(length for _, length in source.reads) < MIB


def test_kept_texts_have_a_budget_together() -> None:
    keys = [string_key(b"text-%d" % index, b"x" * MIB) for index in range(12)]
    kept = read_header(CountingSource(header_bytes(*keys))).metadata
    assert sum(isinstance(value, str) for value in kept.values()) == 4
    assert sum(isinstance(value, LongText) for value in kept.values()) == 8


def test_a_large_vocabulary_is_read_in_little_memory(tmp_path: Path) -> None:
    tokens = b"".join(text(b"token-%06d" % index + b"x" * (index % 40)) for index in range(262_144))
    keys = (
        string_key(b"general.architecture", b"llama"),
        text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 262_144) + tokens,
        text(b"tokenizer.ggml.scores") + struct.pack("<IIQ", 9, 6, 262_144) + bytes(4 * 262_144),
        text(b"general.file_type") + struct.pack("<II", 4, 15),
    )
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(header_bytes(*keys))
    del tokens, keys
    tracemalloc.start()
    try:
        header = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert header.metadata["tokenizer.ggml.tokens"] == LongArray(262_144, "string")
    assert header.metadata["general.file_type"] == 15
    assert peak < 30 * MIB


def test_two_million_empty_tokens_are_passed() -> None:
    header = read_header(CountingSource(header_bytes(string_array(b"tokens", 2 * MIB, b""))))
    assert header.metadata["tokens"] == LongArray(2 * MIB, "string")


def test_weights_are_not_read(make_gguf: GgufMaker) -> None:
    data = make_gguf().read_bytes()
    source = CountingSource(data, size=40 * 2**30)
    header = read_header(source)
    assert max(offset + length for offset, length in source.reads) <= header.data_offset + 64 * KIB


def test_the_window_grows_so_that_few_requests_are_made() -> None:
    source = CountingSource(header_bytes(string_array(b"tokens", 500_000, b"0123456789")))
    read_header(source)
    lengths = [length for _, length in source.reads[1:]]
    assert lengths[0] == 64 * KIB
    assert max(lengths) == MIB
    assert len(lengths) <= source.size / MIB + 6


def test_errors_name_file_byte_and_field() -> None:
    data = header_bytes(string_key(b"general.name", b"x"))[:-1] + b""
    with pytest.raises(GgufError, match=r"^counted\.gguf, byte \d+, general\.name: "):
        read_header(CountingSource(data))


def test_control_characters_of_a_key_do_not_reach_the_message() -> None:
    key = text(b"evil\x1b[2Jkey\n") + struct.pack("<I", 99)
    with pytest.raises(GgufError) as caught:
        read_header(CountingSource(header_bytes(key)))
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
    assert "evil" in caught.value.message


def test_a_source_that_fails_while_reading_is_a_gguf_error() -> None:
    class Failing(CountingSource):
        def read_at(self, offset: int, length: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(GgufError, match=r"counted\.gguf.*Input/output error"):
        read_header(Failing(b"GGUF" + bytes(100)))


def test_a_source_that_shrinks_while_it_is_read_is_a_gguf_error() -> None:
    class Shrinking(CountingSource):
        def read_at(self, offset: int, length: int) -> bytes:
            return super().read_at(offset, length)[:40]

    with pytest.raises(GgufError, match="while it was read"):
        read_header(Shrinking(header_bytes(string_key(b"general.architecture", b"llama" * 20))))


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "nul"])
def test_what_is_not_a_file_is_a_usage_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "model.gguf"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os = pytest.importorskip("os")
        if not hasattr(os, "mkfifo"):
            pytest.skip("no named pipes here")
        os.mkfifo(path)
    elif what == "nul":
        path = tmp_path / "nul\0byte.gguf"
    with pytest.raises(UsageError):
        LocalSource(path)
