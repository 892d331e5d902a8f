"""Variants without a file: the repositories are listed, the file is found by its name and pinned for good."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from planner.config import Config
from planner.core.models.file_pins import index, pinned_models
from planner.core.models.model import Artifact, Model, Variant
from planner.core.models.variants import default_variant, is_fetchable
from planner.core.values import RepoId, RepoPath
from planner.errors import AccessError, IntegrityError, OfflineError, RemoteError, UsageError
from planner.fetch.fetch import fetch_variant, find_variant
from planner.fetch.pins import pins_path, read_pins, write_pin
from planner.fetch.remote import Patience
from planner.fetch.store import FetchedModel, Store
from tests.fetch.lying_hub import COMMIT, REPO, Lie, LyingHub

if TYPE_CHECKING:
    from tests.fetch.conftest import MakeModel, Recorder

QUICK = Patience(stall_s=0.4, tries=2, pause_base_s=0.01)
NEW_COMMIT = "f" * 40
Q4 = b"GGUF" + b"four" * 1000
Q8 = b"GGUF" + b"eight" * 1000


@pytest.fixture
def bare(make_model: "MakeModel") -> Callable[..., Model]:
    """A model whose files nobody named, with the repositories given."""

    def make(*repos: str, quant: str = "Q4_K_M") -> Model:
        model = make_model()
        return msgspec.structs.replace(
            model,
            variants=(Variant(quant=quant, artifacts=(), file_bytes=5000, file_bytes_source="computed"),),
            gguf_repos=tuple(RepoId(repo) for repo in repos or (REPO,)),
        )

    return make


class Fetcher:
    def __init__(self, config: Config, progress: "Recorder") -> None:
        self.config = config
        self.progress = progress
        self.store = Store(config.models_dir)

    def __call__(self, model: Model, *, offline: bool = False) -> FetchedModel:
        return fetch_variant(
            model,
            model.variants[0],
            store=self.store,
            config=replace(self.config, offline=offline),
            progress=self.progress,
            patience=QUICK,
        )

    def planned(self, model: Model) -> Variant:
        """The variant as a plan made now sees it."""
        return pinned_models([model], read_pins(self.config.models_dir))[0].variants[0]


@pytest.fixture
def fetch(config: Config, progress: "Recorder") -> Fetcher:
    return Fetcher(config, progress)


def test_the_file_is_found_by_its_name_and_checked(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    hub.files |= {
        "README.md": b"hello",
        "mmproj-tiny-F16.gguf": b"GGUF",
        "tiny-UD-Q4_K_M.gguf": b"GGUF",
        "tiny-Q4_K_M_L.gguf": b"GGUF",
        "tiny.q4_k_m.gguf": Q4,
    }
    fetched = fetch(bare())
    assert fetched.path == fetch.config.models_dir / "acme--tiny-GGUF" / "tiny.q4_k_m.gguf"
    assert fetched.path.read_bytes() == Q4
    assert fetched.files[0].verified


def test_what_was_found_is_pinned_and_planned_with(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    model = bare()
    fetch(model)
    variant = fetch.planned(model)
    (artifact,) = variant.artifacts
    assert artifact.repo == REPO
    assert artifact.file == "tiny-Q4_K_M.gguf"
    assert artifact.revision == COMMIT
    assert artifact.bytes == len(Q4)
    assert artifact.sha256 == hashlib.sha256(Q4).hexdigest()
    assert (variant.file_bytes, variant.file_bytes_source) == (len(Q4), "exact")
    before = len(hub.requests)
    assert fetch(model, offline=True).files[0].bytes_transferred == 0
    assert len(hub.requests) == before


def test_the_pinned_file_is_fetched_again_whatever_the_repository_holds_now(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    model = bare()
    path = fetch(model).path
    path.unlink()
    hub.history[COMMIT] = dict(hub.files)
    hub.commits[REPO] = NEW_COMMIT
    hub.files["tiny-Q4_K_M.gguf"] = Q8
    assert fetch(model).path.read_bytes() == Q4
    assert f"/resolve/{COMMIT}/" in hub.gets()[-1].path


def test_an_interrupted_download_goes_on_with_the_same_file(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    hub.lies = [Lie(cut_after=1000), Lie(status=503), Lie(status=503)]
    with pytest.raises(RemoteError):
        fetch(bare())
    hub.history[COMMIT] = dict(hub.files)
    hub.commits[REPO] = NEW_COMMIT
    hub.files["tiny-Q4_K_M.gguf"] = Q8
    fetched = fetch(bare())
    assert fetched.path.read_bytes() == Q4
    assert fetched.files[0].bytes_transferred == len(Q4) - 1000


def test_a_pinned_commit_that_is_gone_is_said_not_replaced(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    fetch(bare()).path.unlink()
    hub.gone.add(COMMIT)
    with pytest.raises(AccessError, match="pinned revision is gone") as caught:
        fetch(bare())
    assert "catalog update" in caught.value.hint


def test_repositories_are_asked_in_their_order(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    hub.others["first/tiny"] = {"tiny-Q8_0.gguf": Q8}
    hub.others["second/tiny"] = {"tiny-Q4_K_M.gguf": Q4}
    hub.files["tiny-Q4_K_M.gguf"] = Q8
    fetched = fetch(bare("gone/tiny", "first/tiny", "second/tiny", REPO))
    assert fetched.path.parent.name == "second--tiny"
    assert fetched.path.read_bytes() == Q4
    asked = [seen.path.split("?")[0].removeprefix("/api/models/") for seen in hub.gets("/api/models/")]
    assert REPO not in asked


def test_a_repository_that_gives_nothing_out_gives_way_to_the_next(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.others["gated/tiny"] = {"tiny-Q4_K_M.gguf": Q8}
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    hub.lies = [Lie(status=403, headers={"X-Error-Code": "GatedRepo"})]
    model = bare("gated/tiny", REPO)
    assert fetch(model).path.read_bytes() == Q4
    assert any("Trying the next source" in note for note in fetch.progress.notes)
    assert fetch.planned(model).artifacts[0].repo == REPO


def test_a_split_file_is_found_and_pinned_whole(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    names = [f"Q4_K_M/tiny-Q4_K_M-{part:05d}-of-00002.gguf" for part in (1, 2)]
    hub.files |= {name: b"GGUF" + bytes([index]) * 5000 for index, name in enumerate(names)}
    model = bare()
    fetched = fetch(model)
    assert [file.path.name for file in fetched.files] == [name.split("/")[1] for name in names]
    (artifact,) = fetch.planned(model).artifacts
    assert list(artifact.shards) == names
    assert artifact.bytes == 2 * 5004
    assert [str(digest) for digest in artifact.shard_sha256] == [
        hashlib.sha256(hub.files[name]).hexdigest() for name in names
    ]
    assert find_variant(fetch.store, model, model.variants[0]) is not None
    hub.history[COMMIT] = {**hub.files, names[1]: b"GGUF" + b"x" * 5000}
    fetched.files[1].path.unlink()
    with pytest.raises(IntegrityError, match="sha256"):
        fetch(model)


def test_of_two_the_plain_one_is_taken(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    hub.files |= {"tiny-Q4_K_M-imat.gguf": Q8, "tiny-Q4_K_M.gguf": Q4}
    assert fetch(bare()).path.name == "tiny-Q4_K_M.gguf"


def test_of_two_that_differ_neither_is_taken_and_both_are_named(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.files |= {"tiny-chat-Q4_K_M.gguf": Q8, "tiny-base-Q4_K_M.gguf": Q4}
    with pytest.raises(AccessError) as caught:
        fetch(bare())
    assert caught.value.reference == "quant-not-found"
    assert "tiny-base-Q4_K_M.gguf and tiny-chat-Q4_K_M.gguf" in caught.value.message
    assert "planner catalog add hf:acme/tiny-GGUF/" in caught.value.hint
    assert read_pins(fetch.config.models_dir) == {}


def test_the_error_says_what_every_repository_has(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    hub.files |= {"tiny-Q8_0.gguf": Q8, "tiny-F16.gguf": Q8, "mmproj-Q4_K_M.gguf": Q4}
    hub.others["other/tiny"] = {"model.safetensors": b"x"}
    with pytest.raises(AccessError) as caught:
        fetch(bare("gone/tiny", "other/tiny", REPO))
    message = caught.value.message
    assert "No repository has acme/tiny as Q4_K_M" in message
    assert "gone/tiny could not be asked: There is no public repository" in message
    assert "other/tiny holds no GGUF" in message
    assert f"{REPO} holds F16, Q8_0." in message
    assert "planner catalog update acme/tiny" in caught.value.hint
    assert hub.gets() == []


def test_a_hub_that_cannot_be_asked_is_the_networks_fault(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.api_answers = [(400, {}, b"{}")] * 2
    with pytest.raises(RemoteError) as caught:
        fetch(bare(REPO, "other/tiny"))
    assert caught.value.reference == "http-400"


def test_a_file_that_is_wrong_is_no_reason_to_take_another(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    hub.files["tiny-Q4_K_M.gguf"] = Q4
    hub.others["second/tiny"] = {"tiny-Q4_K_M.gguf": Q4}
    hub.always = Lie(flip_bit=True)
    with pytest.raises(IntegrityError):
        fetch(bare(REPO, "second/tiny"))


def test_offline_no_repository_is_asked(fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]) -> None:
    with pytest.raises(OfflineError):
        fetch(bare(), offline=True)
    assert hub.requests == []


def test_with_neither_file_nor_repository_there_is_nothing_to_fetch(
    fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
) -> None:
    model = msgspec.structs.replace(bare(), gguf_repos=())
    assert not is_fetchable(model, model.variants[0])
    with pytest.raises(UsageError) as caught:
        fetch(model)
    assert caught.value.reference == "not-deployable"
    with pytest.raises(UsageError):
        default_variant(model)
    assert default_variant(bare()).quant == "Q4_K_M"


class TestGaps:
    """A named file of which the catalog does not say everything."""

    def artifact(self, **fields: object) -> Artifact:
        base = Artifact(source="hub", file=RepoPath("tiny-Q4_K_M.gguf"), repo=REPO)
        return msgspec.structs.replace(base, **fields)

    @pytest.mark.parametrize("known", [{}, {"bytes": len(Q4)}, {"sha256": hashlib.sha256(Q4).hexdigest()}], ids=str)
    def test_are_filled_from_the_hub_and_stay_filled(
        self, fetch: Fetcher, hub: LyingHub, make_model: "MakeModel", known: dict[str, object]
    ) -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        model = make_model(self.artifact(**known))
        fetch(model).path.unlink()
        (artifact,) = fetch.planned(model).artifacts
        assert (artifact.revision, artifact.bytes) == (COMMIT, len(Q4))
        assert artifact.sha256 == hashlib.sha256(Q4).hexdigest()
        hub.history[COMMIT] = dict(hub.files)
        hub.commits[REPO] = NEW_COMMIT
        hub.files["tiny-Q4_K_M.gguf"] = Q8
        assert fetch(model).path.read_bytes() == Q4

    def test_a_hash_the_hub_does_not_know_is_that_of_the_first_download(
        self, fetch: Fetcher, hub: LyingHub, make_model: "MakeModel"
    ) -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        hub.plain_git.add("tiny-Q4_K_M.gguf")
        model = make_model(self.artifact())
        fetch(model)
        assert fetch.planned(model).artifacts[0].sha256 == hashlib.sha256(Q4).hexdigest()

    def test_a_full_entry_needs_no_pin(self, fetch: Fetcher, hub: LyingHub, make_model: "MakeModel") -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        full = self.artifact(revision=COMMIT, bytes=len(Q4), sha256=hashlib.sha256(Q4).hexdigest())
        fetch(make_model(full))
        assert not pins_path(fetch.config.models_dir).exists()

    def test_a_catalog_that_says_something_else_by_now_is_believed(
        self, fetch: Fetcher, hub: LyingHub, make_model: "MakeModel"
    ) -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        fetch(make_model(self.artifact()))
        newer = make_model(self.artifact(bytes=len(Q8), sha256=hashlib.sha256(Q8).hexdigest()))
        assert fetch.planned(newer) == newer.variants[0]
        hub.files["tiny-Q4_K_M.gguf"] = Q8
        assert fetch(newer).path.read_bytes() == Q8


class TestPins:
    def test_one_is_kept_beside_the_others_and_replaces_its_like(
        self, fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
    ) -> None:
        hub.files |= {"tiny-Q4_K_M.gguf": Q4, "tiny-Q8_0.gguf": Q8}
        root = fetch.config.models_dir
        fetch(bare())
        fetch(bare(quant="Q8_0"))
        pins = read_pins(root)
        assert set(pins) == {("acme/tiny", "q4_k_m"), ("acme/tiny", "q8_0")}
        other = msgspec.structs.replace(pins["acme/tiny", "q8_0"], quant="q8_0")
        write_pin(root, other)
        assert read_pins(root) == pins | index([other])

    @pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff", b'{"schema": 1, "pins": [{}]}'])
    def test_a_broken_file_costs_a_listing_not_a_crash(
        self, fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model], content: bytes
    ) -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        fetch(bare())
        pins_path(fetch.config.models_dir).write_bytes(content)
        assert read_pins(fetch.config.models_dir) == {}
        assert fetch(bare()).path.read_bytes() == Q4
        assert len(read_pins(fetch.config.models_dir)) == 1

    def test_a_repository_the_catalog_does_not_name_is_not_taken_from_a_pin(
        self, fetch: Fetcher, hub: LyingHub, bare: Callable[..., Model]
    ) -> None:
        hub.files["tiny-Q4_K_M.gguf"] = Q4
        fetch(bare())
        model = bare("somebody/else")
        assert fetch.planned(model) == model.variants[0]
