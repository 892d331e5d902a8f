"""A file that is on this machine already is linked or copied, never fetched again."""

import errno
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from planner.config import Config
from planner.core.models.model import Artifact, Model
from planner.core.values import Digest, RepoId, RepoPath
from planner.errors import OfflineError
from planner.fetch.fetch import fetch_variant
from planner.fetch.hub_cache import blobs, hub_cache_dir
from planner.fetch.remote import Patience
from planner.fetch.store import FetchedFile, Store
from tests.fetch.lying_hub import LyingHub

FILE = "tiny-Q4_K_M.gguf"
QUICK = Patience(stall_s=0.4, tries=2, pause_base_s=0.01)


def artifact(sha256: str | None = None, repo: str = "acme/tiny-GGUF") -> Artifact:
    return Artifact(
        source="hub", file=RepoPath(FILE), repo=RepoId(repo), sha256=None if sha256 is None else Digest(sha256)
    )


Fetch = Callable[..., FetchedFile]


@pytest.fixture
def fetch(config: Config, progress: "object", make_model: Callable[..., Model]) -> Fetch:
    def run(one: Artifact, *, offline: bool = False) -> FetchedFile:
        model = make_model(one)
        fetched = fetch_variant(
            model,
            model.variants[0],
            store=Store(config.models_dir),
            config=replace(config, offline=offline),
            progress=progress,  # type: ignore[arg-type]  # the recorder of the conftest
            patience=QUICK,
        )
        return fetched.files[0]

    return run


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def cached(home: Path, data: bytes, *, repo: str = "acme--tiny-GGUF", name: str | None = None) -> Path:
    """Put a file where the Hub's tools would have put it."""
    blob = home / "hub" / f"models--{repo}" / "blobs" / (name or digest(data))
    blob.parent.mkdir(parents=True)
    blob.write_bytes(data)
    snapshot = blob.parent.parent / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / FILE).symlink_to(blob)
    return blob


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "hf"


def test_what_the_hubs_tools_have_is_linked(fetch: Fetch, hub: LyingHub, payload: bytes, home: Path) -> None:
    blob = cached(home, payload)
    file = fetch(artifact())
    assert file.path.read_bytes() == payload
    assert (file.bytes_transferred, file.verified) == (0, True)
    assert not hub.gets()
    assert file.path.samefile(blob)
    assert not file.path.is_symlink()


def test_a_pinned_file_of_the_hubs_cache_needs_no_network_at_all(
    fetch: Fetch, hub: LyingHub, payload: bytes, home: Path
) -> None:
    cached(home, payload)
    assert fetch(artifact(digest(payload)), offline=True).path.read_bytes() == payload
    assert hub.requests == []
    with pytest.raises(OfflineError):
        fetch(artifact(digest(b"other")), offline=True)


def test_a_file_system_without_links_gets_a_copy(
    fetch: Fetch, hub: LyingHub, payload: bytes, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    blob = cached(home, payload)
    file = fetch(artifact())
    assert file.path.read_bytes() == payload
    assert not file.path.samefile(blob)
    assert not hub.gets()


def test_a_damaged_blob_is_not_believed_and_not_touched(
    fetch: Fetch, hub: LyingHub, payload: bytes, home: Path
) -> None:
    wrong = payload[:-1] + b"!"
    blob = cached(home, wrong, name=digest(payload))
    file = fetch(artifact())
    assert file.path.read_bytes() == payload
    assert len(hub.gets()) == 1
    assert blob.read_bytes() == wrong


def test_another_repository_with_the_same_bytes_costs_nothing(fetch: Fetch, hub: LyingHub, payload: bytes) -> None:
    first = fetch(artifact())
    hub.others["acme/again-GGUF"] = {FILE: payload}
    before = len(hub.gets())
    second = fetch(artifact(repo="acme/again-GGUF"))
    assert second.path != first.path
    assert second.path.read_bytes() == payload
    assert second.bytes_transferred == 0
    assert len(hub.gets()) == before


def test_an_interrupted_download_gives_way_to_the_copy(
    fetch: Fetch, config: Config, payload: bytes, home: Path
) -> None:
    place = Store(config.models_dir).place(artifact())
    place.partial.parent.mkdir(parents=True)
    place.partial.write_bytes(b"GGUF half of it")
    blob = cached(home, payload)
    fetch(artifact())
    assert not place.partial.exists()
    assert not place.scratch.exists()
    assert blob.read_bytes() == payload


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_the_hubs_own_settings_say_where_its_cache_is(environ: dict[str, str], where: str) -> None:
    assert hub_cache_dir(environ) == Path(where).expanduser()


def test_the_repository_itself_is_looked_at_first(tmp_path: Path) -> None:
    sha = Digest("a" * 64)
    for repo in ("models--aa--first", "models--zz--own", "datasets--x--y"):
        (tmp_path / repo / "blobs").mkdir(parents=True)
        (tmp_path / repo / "blobs" / sha).write_bytes(b"")
    found = [path.parent.parent.name for path in blobs(sha, RepoId("zz/own"), cache=tmp_path)]
    assert found == ["models--zz--own", "models--aa--first"]
    assert list(blobs(sha, cache=tmp_path / "nowhere")) == []
