"""The store kept in order: verify, remove, and what belongs to nobody."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from planner.config import Config
from planner.core.models.model import Artifact, Commercial, Licence, Model
from planner.core.values import RepoId, RepoPath
from planner.errors import UsageError
from planner.fetch.fetch import fetch_variant, find_variant
from planner.fetch.licences import accept, licences_path, needs_consent
from planner.fetch.lock import locked
from planner.fetch.places import owners, places_of
from planner.fetch.progress import Silent
from planner.fetch.store import FetchedModel, Store
from planner.fetch.upkeep import Health, collect, remove, unneeded, verify
from tests.fetch.lying_hub import LyingHub

FILE = "tiny-Q4_K_M.gguf"


class Kit:
    def __init__(self, config: Config, make_model: Callable[..., Model]) -> None:
        self.config = config
        self.store = Store(config.models_dir)
        self.model = make_model(Artifact(source="hub", file=RepoPath(FILE), repo=RepoId("acme/tiny-GGUF")))
        self.variant = self.model.variants[0]

    def fetch(self) -> FetchedModel:
        return fetch_variant(self.model, self.variant, store=self.store, config=self.config)

    def unneeded(self, *models: Model) -> list[tuple[str, str]]:
        found = unneeded(self.store, owners(self.store, models).keys())
        return [(removed.path.name, removed.reason) for removed in found]


@pytest.fixture
def kit(config: Config, hub: LyingHub, payload: bytes, make_model: Callable[..., Model]) -> Kit:
    return Kit(config, make_model)


def test_a_right_file_passes_and_stays(kit: Kit) -> None:
    file = kit.fetch()
    (checked,) = verify(kit.store, kit.store.noted(), Silent())
    assert (checked.path, checked.health) == (file.path, Health.OK)
    assert file.path.exists()


def test_a_flipped_bit_under_an_old_time_stamp_is_found_and_loses_its_name(kit: Kit, hub: LyingHub) -> None:
    path = kit.fetch().path
    entry = kit.store.noted()[0][1]
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns))
    assert find_variant(kit.store, kit.model, kit.variant) is not None, "the quick look trusts the time stamp"
    (checked,) = verify(kit.store, kit.store.noted(), Silent())
    assert checked.health is Health.DAMAGED
    assert not path.exists()
    assert find_variant(kit.store, kit.model, kit.variant) is None
    assert kit.unneeded(kit.model) == [(f"{FILE}.damaged", "its sha256 was wrong")]
    kit.fetch()
    assert verify(kit.store, kit.store.noted(), Silent())[0].health is Health.OK


def test_a_file_that_is_gone_is_missing(kit: Kit) -> None:
    kit.fetch().path.unlink()
    assert verify(kit.store, kit.store.noted(), Silent())[0].health is Health.MISSING


def test_removing_leaves_nothing_of_it(kit: Kit) -> None:
    path = kit.fetch().path
    size = path.stat().st_size
    places = places_of(kit.store, kit.model, kit.variant, {})
    (removed,) = remove(kit.store, places)
    assert removed.path == path
    assert size <= removed.bytes + 4096
    assert not path.parent.exists()
    assert kit.store.noted() == ()
    assert remove(kit.store, places) == ()


def test_what_is_being_fetched_is_not_removed(kit: Kit) -> None:
    kit.fetch()
    places = places_of(kit.store, kit.model, kit.variant, {})
    with locked(places[0], Silent()), pytest.raises(UsageError) as caught:
        remove(kit.store, places)
    assert caught.value.reference == "in-use"
    assert places[0].final.exists()


def test_files_of_known_models_are_kept_and_others_named(kit: Kit) -> None:
    kit.fetch()
    assert kit.unneeded(kit.model) == []
    assert kit.unneeded() == [(FILE, "of no model in the catalog")]


def test_an_unfinished_download_is_kept_while_its_model_is_known(kit: Kit) -> None:
    place = places_of(kit.store, kit.model, kit.variant, {})[0]
    place.partial.parent.mkdir(parents=True)
    place.partial.write_bytes(b"GGUF")
    place.partial_entry.write_bytes(b"{}")
    assert kit.unneeded(kit.model) == []
    found = unneeded(kit.store, ())
    assert [removed.path for removed in found] == [place.partial]
    with locked(place, Silent()):
        assert unneeded(kit.store, ()) == ()
    collect(kit.store, found)
    assert not place.partial.exists()
    assert not place.partial_entry.exists()


def test_collecting_frees_what_was_named_and_nothing_else(kit: Kit, hub: LyingHub, payload: bytes) -> None:
    path = kit.fetch().path
    found = unneeded(kit.store, ())
    collect(kit.store, found)
    assert not path.exists()
    kit.fetch()
    collect(kit.store, ())
    assert path.exists()


def test_a_second_name_of_the_same_bytes_frees_nothing(kit: Kit, tmp_path: Path) -> None:
    path = kit.fetch().path
    os.link(path, tmp_path / "other-name")
    assert [removed.bytes for removed in unneeded(kit.store, ())] == [0]


def test_foreign_files_in_the_books_are_left_alone(kit: Kit) -> None:
    kit.fetch()
    strange = kit.config.models_dir / ".planner" / "acme--tiny-GGUF" / "con.partial"
    strange.write_bytes(b"")
    assert kit.unneeded(kit.model) == []
    assert strange.exists()


@pytest.mark.parametrize("commercial", [Commercial.YES, Commercial.CONDITIONAL, Commercial.UNKNOWN])
def test_only_a_licence_without_commercial_use_needs_consent(
    kit: Kit, tmp_path: Path, commercial: Commercial
) -> None:
    model = msgspec.structs.replace(kit.model, licence=Licence("X", commercial))
    assert not needs_consent(tmp_path, model)


def test_consent_is_for_one_model_and_one_licence(kit: Kit, tmp_path: Path) -> None:
    strict = msgspec.structs.replace(kit.model, licence=Licence("CC-BY-NC-4.0", Commercial.NO))
    assert needs_consent(tmp_path, strict)
    accept(tmp_path, strict)
    accept(tmp_path, strict)
    assert not needs_consent(tmp_path, strict)
    assert needs_consent(tmp_path, msgspec.structs.replace(strict, id="acme/other"))
    assert needs_consent(tmp_path, msgspec.structs.replace(strict, licence=Licence("CC-BY-NC-5.0", Commercial.NO)))
    licences_path(tmp_path).write_bytes(b"\xff{")
    assert needs_consent(tmp_path, strict)
