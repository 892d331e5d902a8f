"""The user's catalog folder lies on the shipped catalog, files given by hand on both."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.check import check
from planner.catalog.loader import load
from planner.config import load_config
from planner.errors import CatalogError

Put = Callable[..., Path]
Entry = Callable[..., dict[str, Any]]
Text = Callable[..., str]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "own"


def test_the_folder_is_in_the_settings_folder() -> None:
    config = load_config()
    assert config.own_catalog_dir == config.config_dir / "catalog"


def test_a_folder_that_does_not_exist_is_no_mistake(own: Path) -> None:
    assert load(own=own).models == load().models
    own.mkdir()
    assert load(own=own).notes == ()


def test_its_models_stand_beside_the_shipped_ones(put: Put, entry: Entry, text: Text, own: Path) -> None:
    path = put("own/mine.json", text(entry()))
    put("own/README.md", "not a catalog")
    catalog = load(own=own)
    assert catalog.find("tiny").id == "me/tiny"
    assert catalog.files["me/tiny"] == path
    assert catalog.notes == ()


def test_a_file_given_by_hand_wins_over_the_folder_and_that_over_ours(
    put: Put, entry: Entry, text: Text, own: Path
) -> None:
    mine = put("own/mine.json", text(entry("qwen/qwen3-8b", parameters=7)))
    given = put("given.json", text(entry("Qwen/Qwen3-8B", parameters=9)))
    assert load(own=own).find("Qwen3-8B").parameters == 7
    catalog = load([given], own=own)
    assert catalog.find("Qwen3-8B").parameters == 9
    assert len(catalog.models) == len(load().models)
    assert len(catalog.notes) == 2
    assert str(mine) in catalog.notes[0]
    assert str(given) in catalog.notes[1]


def test_one_file_that_replaces_many_is_one_note(put: Put, entry: Entry, text: Text, own: Path) -> None:
    ids = [model.id for model in load().models[:5]]
    path = put("own/mine.json", text(*(entry(identity) for identity in ids)))
    (note,) = load(own=own).notes
    assert str(path) in note
    assert ids[0] in note
    assert "and 2 more" in note


def test_the_same_id_twice_in_the_folder_names_both_places(put: Put, entry: Entry, text: Text, own: Path) -> None:
    put("own/a.json", text(entry("me/tiny")))
    put("own/b.json", text(entry("me/other"), entry("Me/Tiny")))
    with pytest.raises(CatalogError, match=r"a\.json \(models\[0\]\).*b\.json \(models\[1\]\)") as caught:
        load(own=own)
    assert caught.value.reference == "duplicate-model"


def test_a_broken_file_of_the_folder_is_an_error_and_check_names_it_among_all(
    put: Put, entry: Entry, text: Text, own: Path
) -> None:
    good = put("own/a.json", text(entry()))
    path = put("own/b.json", text(entry("me/b", contxt_length=5)))
    with pytest.raises(CatalogError) as caught:
        load(own=own)
    assert str(path) in caught.value.message
    assert "contxt_length" in caught.value.message
    report = check(own=own)
    findings = {finding.file: finding for finding in report.findings}
    assert findings[str(path)].field == "models[0].contxt_length"
    assert str(good) in report.files
    assert report.models == len(load().models) + 1


def test_with_nothing_shipped_the_folder_is_enough(put: Put, entry: Entry, text: Text, own: Path) -> None:
    put("own/a.json", text(entry()))
    put("data/models/a.json", "{")
    catalog = load(own=own, folder=own.parent / "data")
    assert [model.id for model in catalog.models] == ["me/tiny"]


def test_a_whole_data_folder_may_be_given_by_hand(put: Put, entry: Entry, text: Text, tmp_path: Path) -> None:
    put("data/models/a.json", text(entry()))
    put("data/devices.json", "{}")
    assert load([tmp_path / "data"]).find("me/tiny").id == "me/tiny"
