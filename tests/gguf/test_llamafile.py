"""GGUF files inside llamafiles: found, chosen by name, and archives that lie."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.errors import GgufError, UsageError
from planner.gguf.files import read_path
from planner.gguf.llamafile import MAGICS, read_llamafile
from planner.gguf.source import LocalSource

GgufMaker = Callable[..., Path]
STUB = b"MZqFpD='\n#!/bin/sh\nexec ape\n" + bytes(3000)


def pack(
    path: Path, members: dict[str, bytes], *, stub: bytes = STUB, compress: bool = False, comment: bytes = b""
) -> Path:
    """A llamafile as zipalign leaves it: offsets count from the beginning of the whole file."""
    path.write_bytes(stub)
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.comment = comment
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def model(make_gguf: GgufMaker) -> bytes:
    return make_gguf("inner.gguf").read_bytes()


@pytest.mark.parametrize("magic", MAGICS)
def test_finds_the_model_and_the_arguments(tmp_path: Path, make_gguf: GgufMaker, model: bytes, magic: bytes) -> None:
    args = b"-m\n/zip/inner.gguf\n--port\n8081\n...\n"
    path = pack(tmp_path / "a.llamafile", {"inner.gguf": model, ".args": args}, stub=magic + bytes(5000))
    contents = read_path(path)
    assert contents.llamafile is not None
    assert [(m.name, m.size) for m in contents.llamafile.models] == [("inner.gguf", len(model))]
    assert contents.llamafile.arguments == ("-m", "/zip/inner.gguf", "--port", "8081", "...")
    assert contents.size_bytes == path.stat().st_size
    plain = read_path(make_gguf("inner.gguf")).header
    assert contents.header is not None
    assert plain is not None
    assert contents.header.tensors == plain.tensors
    assert contents.header.size_bytes == len(model)


def test_an_executable_of_the_system_with_an_archive_is_one_too(tmp_path: Path, model: bytes) -> None:
    path = pack(tmp_path / "a.bin", {"inner.gguf": model}, stub=b"\x7fELF" + bytes(9000))
    assert read_path(path).llamafile is not None


def test_an_archive_that_was_only_appended_is_found(tmp_path: Path, model: bytes) -> None:
    """`cat stub archive.zip`: the offsets inside count from the archive's own beginning."""
    path = pack(tmp_path / "archive.zip", {"inner.gguf": model}, stub=b"")
    path.write_bytes(STUB + path.read_bytes())
    assert read_path(path).header is not None


def test_a_comment_and_a_second_end_record_inside_it_do_not_mislead(tmp_path: Path, model: bytes) -> None:
    decoy = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 5, 5, 1000, 17, 0)
    path = pack(tmp_path / "a.llamafile", {"inner.gguf": model}, comment=b"hello " + decoy + b" bye")
    assert read_path(path).header is not None


def test_zip64_records_are_read(tmp_path: Path, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # makes the standard library write them for a small file
    path = pack(tmp_path / "a.llamafile", {"small.txt": b"x" * 4000, "inner.gguf": model})
    assert b"PK\x06\x06" in path.read_bytes()
    contents = read_path(path)
    assert contents.header is not None
    assert contents.header.size_bytes == len(model)


def test_the_local_headers_own_extra_field_counts(tmp_path: Path, model: bytes) -> None:
    """zipalign pads the local header, not the directory: the data starts later than the directory suggests."""
    padding = struct.pack("<2H", 0xD935, 500) + bytes(500)
    body = io.BytesIO(STUB)
    body.seek(0, 2)
    local = body.tell()
    name = b"inner.gguf"
    size = len(model)
    body.write(
        struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, size, size, len(name), len(padding)) + name + padding
    )
    body.write(model)
    directory = body.tell()
    body.write(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, size, size, len(name), 0, 0, 0, 0, 0, local)
        + name
    )
    body.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, body.tell() - directory, directory, 0))
    path = tmp_path / "a.llamafile"
    path.write_bytes(body.getvalue())
    assert read_path(path).header is not None


def test_without_weights_there_is_no_header(tmp_path: Path) -> None:
    contents = read_path(pack(tmp_path / "engine", {"README.txt": b"an engine"}))
    assert contents.header is None
    assert contents.llamafile is not None
    assert contents.llamafile.models == ()


def test_several_models_must_be_named(tmp_path: Path, model: bytes, make_gguf: GgufMaker) -> None:
    other = make_gguf("mmproj.gguf", arch="clip", keys={}).read_bytes()
    path = pack(tmp_path / "a.llamafile", {"model.gguf": model, "mmproj.gguf": other})
    with pytest.raises(UsageError, match=r"model\.gguf, mmproj\.gguf") as caught:
        read_path(path)
    assert caught.value.reference == "member-ambiguous"
    header = read_path(path, member="mmproj.gguf").header
    assert header is not None
    assert header.metadata["general.architecture"] == "clip"
    with pytest.raises(UsageError, match="no GGUF called"):
        read_path(path, member="../../etc/passwd")


def test_a_member_of_a_plain_gguf_is_a_usage_error(make_gguf: GgufMaker) -> None:
    with pytest.raises(UsageError):
        read_path(make_gguf(), member="inner.gguf")


def test_a_compressed_model_is_refused(tmp_path: Path, model: bytes) -> None:
    with pytest.raises(GgufError, match="compressed"):
        read_path(pack(tmp_path / "a.llamafile", {"inner.gguf": model}, compress=True))


def test_an_archive_without_a_model_is_no_llamafile(tmp_path: Path) -> None:
    path = pack(tmp_path / "letters.docx", {"word/document.xml": b"<x/>"}, stub=b"")
    with LocalSource(path) as source:
        assert read_llamafile(source) is None
    with pytest.raises(GgufError, match="not a GGUF"):
        read_path(path)


@pytest.mark.parametrize("keep", [20, 3000, -1, -30])
def test_a_cut_llamafile_is_refused(tmp_path: Path, model: bytes, keep: int) -> None:
    path = pack(tmp_path / "a.llamafile", {"inner.gguf": model})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(GgufError, match=r"a\.llamafile"):
        read_path(path)


ENTRY = b"PK\x01\x02"


@pytest.mark.parametrize(
    ("signature", "change"),
    [
        pytest.param(ENTRY, (20, "<I", 2**31), id="packed size past the end"),
        pytest.param(ENTRY, (24, "<I", 2**31), id="sizes differ although stored"),
        pytest.param(ENTRY, (28, "<H", 60_000), id="name past the directory"),
        pytest.param(ENTRY, (42, "<I", 2**31), id="local header past the end"),
        pytest.param(ENTRY, (42, "<I", 0), id="local header is not one"),
        pytest.param(ENTRY, (20, "<I", 0xFFFFFFFF), id="ZIP64 size without its field"),
        pytest.param(ENTRY, (8, "<H", 1), id="encrypted"),
        pytest.param(ENTRY, (0, "<I", 0), id="no entry where one is promised"),
        pytest.param(b"PK\x03\x04", (0, "<I", 0), id="local header damaged"),
        pytest.param(b"PK\x03\x04", (26, "<H", 65_535), id="local name length moves the data"),
        pytest.param(b"PK\x05\x06", (10, "<H", 60_000), id="more entries than the directory holds"),
        pytest.param(b"PK\x05\x06", (12, "<I", 2**30), id="directory larger than the file"),
        pytest.param(b"PK\x05\x06", (4, "<H", 3), id="several disks"),
        pytest.param(b"PK\x05\x06", (20, "<H", 500), id="comment past the end"),
    ],
)
def test_archives_that_lie_are_refused(
    tmp_path: Path, model: bytes, signature: bytes, change: tuple[int, str, int]
) -> None:
    at, form, value = change
    path = pack(tmp_path / "a.llamafile", {"inner.gguf": model})
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.rfind(signature) + at, value)
    path.write_bytes(data)
    with pytest.raises(GgufError, match=r"a\.llamafile"):
        read_path(path)


def test_overlapping_members_are_refused(tmp_path: Path, model: bytes) -> None:
    path = pack(tmp_path / "a.llamafile", {"inner.gguf": model, "other.txt": b"x" * 100})
    data = bytearray(path.read_bytes())
    first = data.find(ENTRY)
    inner = struct.unpack_from("<I", data, first + 42)[0]
    struct.pack_into("<I", data, data.find(ENTRY, first + 4) + 42, inner + 10)
    path.write_bytes(data)
    with pytest.raises(GgufError, match="overlap"):
        read_path(path)
