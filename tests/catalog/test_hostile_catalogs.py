"""Files that mean harm: each is one clear error that names the file, and no model of it is ever loaded."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.check import check
from planner.catalog.loader import load
from planner.catalog.reading import MAX_FILE_BYTES
from planner.errors import CatalogError
from planner.units import printable

Put = Callable[..., Path]
Entry = Callable[..., dict[str, Any]]
Text = Callable[..., str]

DEPTH = 10**6
HEAD = '{"schema": 1, "family": "mine", "models": '


def refused(path: Path) -> CatalogError:
    """The one error of loading the file, the same that `planner catalog check` finds; with hint, file and reason."""
    with pytest.raises(CatalogError) as caught:
        load([path])
    error = caught.value
    assert str(path) in error.message
    assert error.hint
    assert len(error.message) < 1500
    (finding,) = check([path], shipped=False).findings
    assert finding.file == str(path)
    assert finding.message in error.message.replace(f"{path} ", "").replace("(models[0])", "models[0]")
    return error


def with_file(entry: Entry, text: Text, name: str) -> str:
    artifact = {"source": "hub", "repo": "a/b", "file": name}
    return text(entry(variants=[{"quant": "Q8_0", "artifacts": [artifact]}]))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"schema": 1, "schema": 1, "family": "mine", "models": []}', ['"schema"', "twice", "lines 1 and 1"]),
        (HEAD + '[{"id": "a/b", "id": "c/d"}]}', ['"id"', "twice"]),
        ("[" * DEPTH, ["nested too deeply"]),
        (HEAD + "[" * DEPTH + "]" * DEPTH + "}", ["nested too deeply"]),
        ('{"a":' * DEPTH + "1" + "}" * DEPTH, ["nested too deeply"]),
        (HEAD + '[{"parameters": NaN}]}', ["NaN", "not a finite number"]),
        (HEAD + '[{"parameters":\n Infinity}]}', ["Infinity", "line 2"]),
        (HEAD + '[{"parameters": -Infinity}]}', ["-Infinity"]),
        (HEAD + '[{"parameters": 1e999}]}', ["1e999", "not a finite number"]),
        (HEAD + '[{"parameters": ' + "9" * 5000 + "}]}", ["number"]),
        (b"\x80abc", ["UTF-8", "byte 0"]),
        ("\ufeff".encode("utf-16-le") + HEAD.encode("utf-16-le"), ["UTF-8"]),
        (HEAD.encode("utf-32"), ["UTF-8"]),
        (b'{"schema": 1, "family": "\xed\xa0\x80", "models": []}', ["UTF-8"]),
        ("\x00" * 100, ["not valid JSON", "line 1"]),
        ('{"schema": 2, "family": "mine", "models": []}', ["schema", "1"]),
        ('{"schema": "1", "family": "mine", "models": []}', ["schema"]),
        ('{"schema": 1.5, "family": "mine", "models": []}', ["schema"]),
        ('{"schema": true, "family": "mine", "models": []}', ["schema"]),
        ('{"family": "mine", "models": []}', ["schema"]),
        ('{"schema": 1, "family": "mine", "models": [], "extra": 1}', ["extra"]),
        ("[]", ["array"]),
        ("null", ["null"]),
        ("<!doctype html><html>", ["not valid JSON", "line 1"]),
    ],
    ids=lambda value: repr(value)[:30] if isinstance(value, str | bytes) else "",
)
def test_a_file_that_is_no_catalog(put: Put, content: str | bytes, words: list[str]) -> None:
    message = refused(put("bad.json", content)).message
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    "name",
    ["../x.gguf", "/x.gguf", "C:\\x.gguf", "C:/x.gguf", "a/../../b.gguf", "a/./b.gguf", "a\\..\\b.gguf",
     "a\x00b.gguf", "\\\\host\\share\\x.gguf", "~/x@y.gguf", "a//b.gguf", "con.gguf",
     "x.gguf.", "a\x1b[2Jb.gguf", "", "x" * 600],
    ids=repr,
)  # fmt: skip
def test_a_file_name_that_leads_elsewhere(put: Put, entry: Entry, text: Text, name: str) -> None:
    error = refused(put("bad.json", with_file(entry, text, name)))
    assert "models[0].variants[0].artifacts[0].file" in error.message
    assert "not a safe relative path" in error.message
    assert "\x1b" not in error.message
    assert "\x00" not in error.message


@pytest.mark.parametrize("name", ["../x.gguf", "a/../../b.gguf", "/etc/passwd"])
def test_a_part_of_a_split_model_that_leads_elsewhere(put: Put, entry: Entry, text: Text, name: str) -> None:
    artifact = {"source": "hub", "repo": "a/b", "file": "x.gguf", "shards": ["x.gguf", name]}
    changed = entry(variants=[{"quant": "Q8_0", "artifacts": [artifact]}])
    assert "shards[1]" in refused(put("bad.json", text(changed))).message


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"parameters": -1}, "models[0].parameters"),
        ({"variants": [{"quant": "Q8_0", "artifacts": [], "file_bytes": -1}]}, "models[0].variants[0].file_bytes"),
        (
            {"variants": [{"quant": "Q8_0", "artifacts": [{"source": "hub", "file": "x.gguf", "bytes": -1}]}]},
            "models[0].variants[0].artifacts[0].bytes",
        ),
        ({"contxt_length": 1}, "models[0].contxt_length"),
        ({"id": None}, "models[0].id"),
        ({"release_date": "soon"}, "models[0].release_date"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_field_is_named(put: Put, entry: Entry, text: Text, change: dict[str, Any], field: str) -> None:
    path = put("bad.json", text(entry(**change)))
    refused(path)
    (finding,) = check([path], shipped=False).findings
    assert finding.field == field


@pytest.mark.parametrize(
    "identity", ["me/\x1b[31mred", "\x07", "../../x", "me/..", "./x", "me/", "/x", "a//b", "me/a\u202eb"]
)
def test_an_id_that_is_no_name_is_refused_and_never_printed_raw(
    put: Put, entry: Entry, text: Text, identity: str
) -> None:
    path = put("bad.json", text(entry(identity)))
    error = refused(path)
    assert "id: it must be “name” or “owner/name”" in error.message
    (finding,) = check([path], shipped=False).findings
    assert "id: it must be" in finding.message
    for said in (error.message, finding.message, finding.model):
        assert printable(said) == said


def test_an_alias_that_cannot_be_printed_is_refused(put: Put, entry: Entry, text: Text) -> None:
    assert "aliases: there is one" in refused(put("bad.json", text(entry(aliases=["\x1b[2J"])))).message


def test_ordinary_ids_are_names(put: Put, entry: Entry, text: Text) -> None:
    names = ["tiny", "me/tiny-1.5_b", "ich/größer", "me/.hidden"]
    assert {model.id for model in load([put("good.json", text(*map(entry, names)))]).models} >= set(names)


def test_a_repeated_key_in_a_large_file_is_named_without_a_long_search(put: Put) -> None:
    message = refused(put("bad.json", '{"a": [' + '{"x": 1},' * 300_000 + '1], "b": 1, "b": 2}')).message
    assert 'the key "b" stands twice' in message
    assert "lines" not in message


def test_a_file_of_200_mb_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.write(HEAD.encode())
        file.truncate(200 * 10**6)
    assert f"larger than {MAX_FILE_BYTES // 2**20} MiB" in refused(path).message


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    assert "pipe" in refused(path).message


def test_an_endless_device_is_not_read() -> None:
    assert "device" in refused(Path("/dev/zero")).message


def test_a_folder_called_like_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "models.json").mkdir()
    with pytest.raises(CatalogError, match="it is a folder"):
        load([tmp_path])
    (finding,) = check([tmp_path], shipped=False).findings
    assert finding.file == str(tmp_path / "models.json")


def test_a_file_that_may_not_be_read_is_named(put: Put, entry: Entry, text: Text) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is unreadable to root")
    path = put("bad.json", text(entry()))
    path.chmod(0)
    assert "Permission denied" in refused(path).message


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.json").symlink_to(tmp_path / "nothing")
    with pytest.raises(CatalogError, match=r"gone\.json"):
        load([tmp_path])


@pytest.mark.parametrize("level", ["own", "extra"])
def test_nothing_of_a_file_with_one_bad_entry_is_loaded(
    put: Put, entry: Entry, text: Text, tmp_path: Path, level: str
) -> None:
    path = put("mine/bad.json", text(entry("me/good"), entry("me/bad", parameters=-1)))
    with pytest.raises(CatalogError, match=r"models\[1\]"):
        load([path]) if level == "extra" else load(own=tmp_path / "mine")
