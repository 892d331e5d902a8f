"""Fetching a variant: the store, pins, mirrors, split files."""

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from planner.config import Config
from planner.core.models.model import Artifact
from planner.core.values import RepoId, RepoPath
from planner.errors import (
    AccessError,
    BadDataError,
    IntegrityError,
    NoSpaceError,
    OfflineError,
    PlannerError,
    RemoteError,
)
from planner.fetch.disk import Disk
from planner.fetch.fetch import fetch_variant, find_variant
from planner.fetch.job import shard_names
from planner.fetch.lock import locked
from planner.fetch.remote import Patience
from planner.fetch.store import FetchedModel, Store
from tests.fetch.lying_hub import Lie, LyingHub

if TYPE_CHECKING:
    from tests.fetch.conftest import MakeModel, Recorder

QUICK = Patience(stall_s=0.4, tries=2, pause_base_s=0.01)
FILE = "tiny-Q4_K_M.gguf"


def artifact(file: str = FILE, **fields: object) -> Artifact:
    base = Artifact(source="hub", file=RepoPath(file), repo=RepoId("acme/tiny-GGUF"))
    return msgspec.structs.replace(base, **fields)


class Fetcher:
    def __init__(self, config: Config, progress: "Recorder", make_model: "MakeModel") -> None:
        self.config = config
        self.progress = progress
        self.make_model = make_model
        self.store = Store(config.models_dir)

    def __call__(self, *artifacts: Artifact, offline: bool = False, disk: Disk | None = None) -> FetchedModel:
        model = self.make_model(*artifacts)
        return fetch_variant(
            model,
            model.variants[0],
            store=Store(self.config.models_dir, disk=disk),
            config=replace(self.config, offline=offline),
            progress=self.progress,
            patience=QUICK,
        )

    def find(self, *artifacts: Artifact) -> FetchedModel | None:
        model = self.make_model(*artifacts)
        return find_variant(self.store, model, model.variants[0])

    def models(self) -> list[str]:
        """Every file in the store that carries a model's name."""
        root = self.config.models_dir
        return sorted(str(p.relative_to(root)) for p in root.rglob("*.gguf") if p.is_file())


@pytest.fixture
def fetch(config: Config, progress: "Recorder", make_model: "MakeModel") -> Fetcher:
    return Fetcher(config, progress, make_model)


@pytest.fixture
def sockets() -> Iterator[list[str]]:
    """Every socket event of the interpreter while the test runs."""
    events: list[str] = []
    on = [True]

    def hook(name: str, _args: tuple[object, ...]) -> None:
        if on[0] and name.startswith("socket."):
            events.append(name)

    sys.addaudithook(hook)  # cannot be taken back, only told to be silent
    yield events
    on[0] = False


def test_a_file_lands_under_a_readable_name_and_is_not_fetched_twice(
    fetch: Fetcher, hub: LyingHub, payload: bytes
) -> None:
    first = fetch()
    assert first.path == fetch.config.models_dir / "acme--tiny-GGUF" / FILE
    assert first.path.read_bytes() == payload
    assert first.files[0].verified
    assert first.files[0].bytes_transferred == len(payload)
    assert first.files[0].sha256 == hashlib.sha256(payload).hexdigest()
    before = len(hub.requests)
    again = fetch()
    assert again.path == first.path
    assert again.files[0].bytes_transferred == 0
    assert len(hub.requests) == before


def test_what_is_there_is_found_offline_without_a_socket(fetch: Fetcher, payload: bytes, sockets: list[str]) -> None:
    fetch()
    sockets.clear()
    assert fetch(offline=True).files[0].verified
    with pytest.raises(OfflineError):
        fetch(artifact("other.gguf"), offline=True)
    assert sockets == []


def test_nothing_is_left_under_the_name_when_the_bytes_are_wrong(
    fetch: Fetcher, hub: LyingHub, payload: bytes
) -> None:
    hub.always = Lie(flip_bit=True)
    with pytest.raises(IntegrityError):
        fetch()
    assert fetch.models() == []
    assert fetch.find() is None


@pytest.mark.parametrize("pin", ["bytes", "sha256", "revision"])
def test_a_pin_the_hub_contradicts_stops_before_the_download(
    fetch: Fetcher, hub: LyingHub, payload: bytes, pin: str
) -> None:
    pins = {
        "bytes": artifact(bytes=len(payload) + 1),
        "sha256": artifact(sha256="0" * 64),
        "revision": artifact(revision="f" * 40),
    }
    with pytest.raises(IntegrityError) as caught:
        fetch(pins[pin])
    assert "promised" in caught.value.message
    assert hub.gets() == []


def test_the_catalogs_hash_counts_even_where_the_hub_gives_none(
    fetch: Fetcher, hub: LyingHub, payload: bytes
) -> None:
    hub.plain_git.add(FILE)
    with pytest.raises(IntegrityError, match="0000"):
        fetch(artifact(sha256="0" * 64))


def test_the_hubs_own_lie_about_the_hash_is_found(fetch: Fetcher, hub: LyingHub, payload: bytes) -> None:
    hub.claimed_sha256[FILE] = "ab" * 32
    with pytest.raises(IntegrityError):
        fetch()
    assert fetch.models() == []


def test_a_mirror_steps_in_for_a_repository_that_is_gone(fetch: Fetcher, payload: bytes) -> None:
    gone = artifact(repo=RepoId("vanished/tiny-GGUF"))
    assert fetch(gone, artifact()).files[0].verified
    assert any("Trying the next source" in note for note in fetch.progress.notes)


def test_the_last_sources_error_is_the_answer(fetch: Fetcher, hub: LyingHub) -> None:
    with pytest.raises(AccessError, match="vanished"):
        fetch(artifact("missing.gguf"), artifact(repo=RepoId("vanished/tiny-GGUF")))


def test_wrong_bytes_do_not_pass_to_the_next_source_in_silence(fetch: Fetcher, hub: LyingHub, payload: bytes) -> None:
    hub.always = Lie(flip_bit=True)
    with pytest.raises(IntegrityError):
        fetch(artifact(), artifact(repo=RepoId("vanished/tiny-GGUF")))


def shards(hub: LyingHub, count: int = 3) -> list[bytes]:
    parts = [b"GGUF" + bytes([index]) * 200_000 for index in range(count)]
    for index, data in enumerate(parts, start=1):
        hub.files[f"Q8/big-{index:05d}-of-{count:05d}.gguf"] = data
    return parts


SPLIT = "Q8/big-00001-of-00003.gguf"


def test_a_split_model_comes_whole(fetch: Fetcher, hub: LyingHub) -> None:
    parts = shards(hub)
    fetched = fetch(artifact(SPLIT, bytes=sum(map(len, parts))))
    assert [file.path.name for file in fetched.files] == [f"big-{i:05d}-of-00003.gguf" for i in (1, 2, 3)]
    assert [file.path.read_bytes() for file in fetched.files] == parts
    assert fetched.path == fetched.files[0].path
    found = fetch.find(artifact(SPLIT))
    assert found is not None
    assert len(found.files) == 3
    done = [update[1] for update in fetch.progress.updates if update[2] == sum(map(len, parts))]
    assert done == sorted(done)


def test_a_split_model_is_there_only_when_all_of_it_is(fetch: Fetcher, hub: LyingHub) -> None:
    parts = shards(hub)
    hub.lies = [Lie(), Lie(), Lie(flip_bit=True), Lie(flip_bit=True)]
    with pytest.raises(IntegrityError):
        fetch(artifact(SPLIT))
    assert fetch.find(artifact(SPLIT)) is None
    assert sum(file.bytes_transferred for file in fetch(artifact(SPLIT)).files) == len(parts[2])


def test_a_missing_part_is_noticed_before_the_first_byte(fetch: Fetcher, hub: LyingHub) -> None:
    shards(hub)
    del hub.files["Q8/big-00002-of-00003.gguf"]
    with pytest.raises(AccessError, match="00002"):
        fetch(artifact(SPLIT))
    assert hub.gets() == []


def test_the_parts_follow_from_the_name_not_from_a_list() -> None:
    good = shard_names(artifact(SPLIT))
    assert shard_names(artifact(SPLIT, shards=good)) == good
    assert shard_names(artifact("a-00001-of-00001.gguf")) == ()
    for bad in (
        artifact(SPLIT, shards=(good[0], good[1], RepoPath("evil.gguf"))),
        artifact("Q8/big-00002-of-00003.gguf"),
        artifact("x-00001-of-99999.gguf"),
        artifact(FILE, shards=good),
    ):
        with pytest.raises(BadDataError):
            shard_names(bad)


class FullDisk(Disk):
    def free_bytes(self, folder: Path) -> int:
        return 400_000


def test_space_is_counted_over_all_parts(fetch: Fetcher, hub: LyingHub) -> None:
    shards(hub)
    with pytest.raises(NoSpaceError):
        fetch(artifact(SPLIT), disk=FullDisk())
    assert hub.gets() == []


def test_a_damaged_file_is_noticed_and_fetched_again(fetch: Fetcher, payload: bytes) -> None:
    path = fetch().path
    damaged = bytearray(payload)
    damaged[12345] ^= 4
    path.write_bytes(damaged)
    assert fetch.find() is None
    assert fetch().files[0].bytes_transferred == len(payload)
    assert path.read_bytes() == payload


def test_a_touched_file_is_hashed_not_fetched(fetch: Fetcher, payload: bytes) -> None:
    path = fetch().path
    os.utime(path, (1, 1))
    assert fetch().files[0].bytes_transferred == 0


def test_a_file_put_there_by_hand_is_taken_over_after_a_check(fetch: Fetcher, payload: bytes) -> None:
    path = fetch.config.models_dir / "acme--tiny-GGUF" / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(payload)
    file = fetch().files[0]
    assert file.verified
    assert file.bytes_transferred == 0


def test_another_pin_means_another_file(fetch: Fetcher, hub: LyingHub, payload: bytes) -> None:
    fetch()
    new = payload + b"more"
    hub.files[FILE] = new
    wanted = artifact(sha256=hashlib.sha256(new).hexdigest())
    assert fetch.find(wanted) is None
    assert fetch(wanted).path.read_bytes() == new


@pytest.mark.parametrize("linked", ["folder", "file", "books"])
def test_a_link_out_of_the_store_is_not_followed(
    fetch: Fetcher, hub: LyingHub, payload: bytes, tmp_path: Path, linked: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = fetch.config.models_dir
    folder = root / "acme--tiny-GGUF"
    if linked == "folder":
        root.mkdir(parents=True)
        folder.symlink_to(outside)
    elif linked == "books":
        root.mkdir(parents=True)
        (root / ".planner").symlink_to(outside)
    else:
        folder.mkdir(parents=True)
        (folder / FILE).symlink_to(outside / "x.gguf")
    with pytest.raises(BadDataError) as caught:
        fetch()
    assert caught.value.reference == "path-outside-store"
    assert list(outside.iterdir()) == []
    assert hub.requests == []


def test_the_whole_store_may_be_a_link(fetch: Fetcher, payload: bytes, tmp_path: Path) -> None:
    elsewhere = tmp_path / "big-disk"
    elsewhere.mkdir()
    fetch.config.data_dir.mkdir(parents=True)
    fetch.config.models_dir.symlink_to(elsewhere)
    assert fetch().files[0].verified


@pytest.mark.parametrize("note", [b"", b"[" * 50_000, b'{"bytes": -1}', b"\xff", b'{"bytes": 1, "sha256": "../.."}'])
def test_a_broken_note_costs_a_check_not_a_crash(fetch: Fetcher, payload: bytes, note: bytes) -> None:
    fetch()
    entry = next(fetch.config.models_dir.rglob("*.gguf.json"))
    entry.write_bytes(note)
    assert fetch.find() is None
    assert fetch().files[0].verified


def test_a_name_too_long_for_the_disk_is_one_clear_error(fetch: Fetcher, hub: LyingHub) -> None:
    name = "x" * 300 + ".gguf"
    hub.files[name] = b"GGUF" * 100
    with pytest.raises(PlannerError):
        fetch(artifact(name))


def test_a_users_own_file_is_checked_where_it_lies(
    fetch: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.gguf").write_bytes(b"GGUF")
    mine = Artifact(source="file", file=RepoPath("mine.gguf"))
    fetched = fetch(mine)
    assert fetched.path == tmp_path / "mine.gguf"
    assert not fetched.files[0].verified
    with pytest.raises(BadDataError):
        fetch(msgspec.structs.replace(mine, sha256="0" * 64))
    with pytest.raises(AccessError):
        fetch(Artifact(source="file", file=RepoPath("nowhere.gguf")))


def test_store_lists_what_it_has(fetch: Fetcher, payload: bytes) -> None:
    assert fetch.store.files() == ()
    fetched = fetch()
    assert [file.path for file in fetch.store.files()] == [fetched.path]
    assert fetch.store.verify(fetched.files[0])


def test_a_holder_that_does_nothing_is_named_in_the_end(config: Config, progress: "Recorder") -> None:
    from filelock import FileLock

    place = Store(config.models_dir).place(artifact())
    place.lock.parent.mkdir(parents=True)
    with FileLock(place.lock):
        with pytest.raises(RemoteError) as caught, locked(place, progress, stall_s=0.3):
            pytest.fail("the lock was held")
        assert caught.value.reference == "locked"
        assert str(place.lock) in caught.value.message
    assert len(progress.notes) == 1
    with locked(place, progress):
        pass
