"""`planner catalog check`: every broken file is a finding, and none hides another."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.check import check
from planner.catalog.kinds import DATA_FILES
from planner.catalog.location import data_dir

Entry = Callable[..., dict[str, Any]]
Text = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped data with few models."""
    copy = tmp_path / "data"
    (copy / "models").mkdir(parents=True)
    for path in [*data_dir().glob("*.json"), *sorted(data_dir().glob("models/*.json"))[:2]]:
        shutil.copy(path, copy / path.relative_to(data_dir()))
    return copy


def found(folder: Path) -> dict[str, str]:
    return {Path(finding.file).name: finding.message for finding in check(folder=folder).findings}


def test_the_copy_is_clean(folder: Path) -> None:
    assert found(folder) == {}


@pytest.mark.parametrize("name", ["quants.json", "engines.json", "devices.json"])
@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"schema": 2}', '{"schema": 1, "schema": 1}'], ids=str)
def test_each_data_file_can_be_broken_or_missing(folder: Path, name: str, content: str | None) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    (folder / "models/zz.json").write_text("{")
    findings = found(folder)
    assert set(findings) == {name, "zz.json"}
    assert findings[name].startswith("cannot be")
    assert check(folder=folder).models > 0


def test_everything_broken_at_once_is_all_listed(folder: Path) -> None:
    for path in folder.glob("*.json"):
        path.unlink()
    assert set(found(folder)) == set(DATA_FILES)


@pytest.mark.parametrize("change", [{"sha256": "abc"}, {"bytes": "many"}, {"url": None}], ids=str)
def test_an_engine_that_could_not_be_fetched_is_found(folder: Path, change: dict[str, Any]) -> None:
    path = folder / "engines.json"
    pins = json.loads(path.read_text())
    pins["engines"][0] |= change
    path.write_text(json.dumps(pins))
    assert next(iter(change)) in found(folder)["engines.json"]


def test_the_users_files_are_checked_when_ours_are_broken(
    folder: Path, tmp_path: Path, entry: Entry, text: Text
) -> None:
    (folder / "quants.json").unlink()
    mine = tmp_path / "mine.json"
    mine.write_text(text(entry(), entry()))
    (tmp_path / "empty").mkdir()
    report = check([mine, tmp_path / "empty"], shipped=False, folder=folder)
    messages = {finding.file: finding.message for finding in report.findings}
    assert messages[str(mine)] == "me/tiny is described twice: in models[0] and in models[1]."
    assert messages[str(tmp_path / "empty")] == "holds no catalog file."


class TestOtherFiles:
    """Any file of a data folder can be checked alone, whatever it is called."""

    @pytest.mark.parametrize("name", ["quants.json", "engines.json", "devices.json"])
    def test_a_shipped_one_is_clean_under_any_name(self, tmp_path: Path, name: str) -> None:
        copy = tmp_path / "copy-of-something.json"
        shutil.copy(data_dir() / name, copy)
        report = check([copy, data_dir() / name], shipped=False)
        assert report.findings == ()
        assert report.models == 0
        assert len(report.files) == 2

    def test_pools_are_clean(self) -> None:
        files = sorted((data_dir() / "evals").glob("*.json"))
        pools = [file for file in files if json.loads(file.read_text())["kind"] in {"scores", "selection"}]
        assert pools
        assert check(pools, shipped=False).findings == ()

    @pytest.mark.parametrize(
        ("name", "content", "field", "words"),
        [
            (
                "any.json",
                '{"schema": 1, "as_of": "x", "sources": {}, "devices": [{"nmae": 1}]}',
                "devices[0]",
                "nmae",
            ),
            ("any.json", '{"schema": 1, "as_of": "x", "sources": {}, "devices": []}', "", "no device"),
            ("any.json", '{"schema": 1, "file_types": 5}', "file_types", "array"),
            ("any.json", '{"schema": 1, "engines": {}}', "engines", "array"),
            ("any.json", '{"schema": 1, "kind": "scores"}', "name", "name"),
            ("any.json", '{"schema": 1, "kind": "lottery"}', "kind", "lottery"),
            ("devices.json", "{}", "schema", "schema"),
            ("devices.json", "[]", "", "array"),
            ("any.json", '{"$schema": "x", "$defs": {}}', "", "JSON Schema"),
            ("any.json", '{"schema": 1, "family": "x", "models": [], "devices": []}', "devices", "devices"),
        ],
    )
    def test_a_broken_one_is_told_in_its_own_terms(
        self, tmp_path: Path, name: str, content: str, field: str, words: str
    ) -> None:
        path = tmp_path / name
        path.write_text(content)
        (finding,) = check([path], shipped=False).findings
        assert finding.file == str(path)
        assert words in finding.message
        assert finding.field.startswith(field)

    def test_a_whole_folder_is_looked_through(self, folder: Path) -> None:
        (folder / "evals").mkdir()
        (folder / "evals/x.json").write_text('{"schema": 1, "kind": "selection"}')
        report = check([folder], shipped=False)
        assert {Path(finding.file).name for finding in report.findings} == {"x.json"}
        assert {Path(file).name for file in report.files} >= {"devices.json", "quants.json", "engines.json", "x.json"}
        assert report.models > 0


def test_a_doubt_names_its_field(tmp_path: Path, entry: Entry, text: Text) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text(entry(deployable=False, role="embedding")))
    fields = [finding.field for finding in check([path], shipped=False).findings]
    assert "deployable" in fields
    assert "embedding_length" in fields
    assert "sources" in fields
