"""What is written into the user's catalog reads back the same, or is not written."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from planner.catalog.check import check
from planner.catalog.loader import load
from planner.catalog.writing import own_file, plain, write_model
from planner.core.models.model import Commercial, Licence, Model, Role
from planner.errors import CatalogError, UsageError


def tiny(identity: str = "me/tiny") -> Model:
    return Model(
        id=identity,
        family="mine",
        role=Role.GENERATION,
        parameters=5,
        context_length=10,
        licence=Licence("MIT", Commercial.YES),
    )


def test_every_shipped_model_reads_back_as_it_was_written(tmp_path: Path) -> None:
    models = load().models
    own = tmp_path / "own"
    for model in models:
        write_model(own, model)
    again = load(own=own)
    assert len(list(own.iterdir())) == len(models)
    assert again.models == models
    assert {file.parent for file in again.files.values()} == {own}


def test_what_is_as_by_default_is_left_out() -> None:
    assert plain(tiny()) == {
        "id": "me/tiny",
        "family": "mine",
        "role": "generation",
        "parameters": 5,
        "context_length": 10,
        "licence": {"spdx": "MIT", "commercial": "yes"},
    }


@pytest.mark.parametrize(
    "identity",
    ["me/tiny", "con", "a\\b", "x" * 200, ".hidden", "müller/modell", "a/b/c", "me/TINY?"],
)
def test_whatever_an_id_is_its_file_lies_in_the_folder(tmp_path: Path, identity: str) -> None:
    path = write_model(tmp_path / "own", tiny(identity))
    assert path.parent == tmp_path / "own"
    assert path.resolve().parent == (tmp_path / "own").resolve()
    assert path.suffix == ".json"
    assert load(own=tmp_path / "own").find(identity).id == identity
    assert check([path], shipped=False).models == 1


@pytest.mark.parametrize("identity", ["../../etc/passwd", "..", "me/\x1b[2J"])
def test_an_id_that_leads_elsewhere_is_not_written_and_would_stay_in_the_folder(
    tmp_path: Path, identity: str
) -> None:
    with pytest.raises(CatalogError, match="is not written: id") as caught:
        write_model(tmp_path / "own", tiny(identity))
    assert "\x1b" not in caught.value.message
    assert not (tmp_path / "own").exists()
    assert own_file(tmp_path, identity).resolve().parent == tmp_path.resolve()


def test_ids_that_look_alike_have_files_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a--b", "a_b", "a?b", "a*b"]
    assert len({own_file(tmp_path, name) for name in names}) == len(names)


def test_an_entry_that_contradicts_itself_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="not a date"):
        write_model(tmp_path / "own", msgspec.structs.replace(tiny(), release_date="soon"))
    assert not (tmp_path / "own").exists()


def test_a_file_with_others_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    models = [plain(tiny("me/a")), plain(tiny("Me/B"))]
    path.write_text(json.dumps({"schema": 1, "family": "mine", "models": models}))
    changed = msgspec.structs.replace(tiny("me/b"), parameters=7)
    assert write_model(tmp_path, changed, instead_of=path) == path
    catalog = load(own=tmp_path)
    assert catalog.find("me/b").parameters == 7
    assert catalog.find("me/a").parameters == 5


def test_a_folder_that_cannot_be_written_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write_model(tmp_path, tiny())
    before = path.read_bytes()
    if os.geteuid() == 0:
        (tmp_path / "file").write_text("")
        folder = tmp_path / "file"
    else:
        folder = tmp_path
        folder.chmod(0o500)
    try:
        with pytest.raises(UsageError) as caught:
            write_model(folder, msgspec.structs.replace(tiny(), parameters=9))
    finally:
        tmp_path.chmod(0o700)
    assert caught.value.reference == "catalog-not-writable"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
