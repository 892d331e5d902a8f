"""The catalog's files beside what their repositories hold now."""

from collections.abc import Mapping

import msgspec

from planner.core.models.file_updates import Change, RepoState, Vanished, update
from planner.core.models.model import Artifact, Model, Variant
from planner.core.models.repo_files import read_listing
from planner.core.values import Digest, RepoId, RepoPath
from tests.core.shapes import GEMMA3_270M, make_model

REPO = RepoId("acme/tiny-GGUF")
OTHER = RepoId("other/tiny-GGUF")
COMMIT = "0" * 40
OLD = "1" * 40
A, B = Digest("a" * 64), Digest("b" * 64)


def state(files: Mapping[str, tuple[int | None, Digest | None]], repo: RepoId = REPO) -> RepoState:
    return RepoState(
        COMMIT,
        read_listing(files, repo),
        {name: size for name, (size, _) in files.items()},
        {name: digest for name, (_, digest) in files.items()},
    )


def artifact(file: str = "tiny-Q8_0.gguf", **fields: object) -> Artifact:
    return msgspec.structs.replace(Artifact(source="hub", repo=REPO, file=RepoPath(file)), **fields)


def model(*artifacts: Artifact, repos: tuple[RepoId, ...] = (), **fields: object) -> Model:
    variant = msgspec.structs.replace(Variant(quant="Q8_0", artifacts=artifacts), **fields)
    base = make_model("tiny", GEMMA3_270M, 268098176, quants={})
    return msgspec.structs.replace(base, variants=(variant,), gguf_repos=repos)


def test_gaps_are_filled() -> None:
    found = update(model(artifact()), {REPO: state({"tiny-Q8_0.gguf": (100, A)})})
    (variant,) = found.model.variants
    assert variant.artifacts[0] == artifact(bytes=100, sha256=A, revision=COMMIT)
    assert (variant.file_bytes, variant.file_bytes_source) == (100, "exact")
    assert {change.field: (change.old, change.new) for change in found.changes} == {
        "bytes": (None, 100),
        "sha256": (None, A),
        "revision": (None, COMMIT),
    }


def test_a_file_whose_bytes_are_the_same_keeps_its_commit() -> None:
    same = model(artifact(bytes=100, sha256=A, revision=OLD), file_bytes=100)
    found = update(same, {REPO: state({"tiny-Q8_0.gguf": (100, A)})})
    assert found == (same, (), ())


def test_other_bytes_are_another_commit_and_another_header() -> None:
    before = model(artifact(bytes=100, sha256=A, revision=OLD), file_bytes=100, tensor_bytes=90)
    found = update(before, {REPO: state({"tiny-Q8_0.gguf": (120, B)})})
    (variant,) = found.model.variants
    assert variant.artifacts[0] == artifact(bytes=120, sha256=B, revision=COMMIT)
    assert (variant.file_bytes, variant.tensor_bytes) == (120, None)
    assert Change("Q8_0", REPO, "tiny-Q8_0.gguf", "bytes", 100, 120) in found.changes
    assert Change("Q8_0", REPO, "tiny-Q8_0.gguf", "revision", OLD, COMMIT) in found.changes
    assert COMMIT[:12] in found.model.sources["variants"]


def test_what_has_vanished_is_told_and_kept() -> None:
    before = model(artifact(bytes=100, sha256=A))
    found = update(before, {REPO: state({"Tiny-q8_0.gguf": (100, A)})})
    assert found.model == before
    assert found.vanished == (Vanished("Q8_0", REPO, "tiny-Q8_0.gguf", "Tiny-q8_0.gguf"),)
    assert update(before, {REPO: state({})}).vanished == (Vanished("Q8_0", REPO, "tiny-Q8_0.gguf", None),)


def test_a_repository_that_could_not_be_read_changes_nothing() -> None:
    before = model(artifact(), repos=(OTHER,))
    assert update(before, {}) == (before, (), ())


def test_a_variant_without_a_file_gets_the_first_repositorys() -> None:
    before = model(repos=(OTHER, REPO), file_bytes=105, file_bytes_source="computed")
    states = {
        OTHER: state({"tiny-Q4_0.gguf": (50, B)}, OTHER),
        REPO: state({"tiny-q8_0.gguf": (100, A), "mmproj-Q8_0.gguf": (5, B)}),
    }
    found = update(before, states)
    by_quant = {variant.quant: variant for variant in found.model.variants}
    assert by_quant["Q8_0"].artifacts[0].file == "tiny-q8_0.gguf"
    assert (by_quant["Q8_0"].file_bytes, by_quant["Q8_0"].file_bytes_source) == (100, "exact")
    assert by_quant["Q4_0"].artifacts[0].repo == OTHER
    assert set(by_quant) == {"Q8_0", "Q4_0"}


def test_of_a_new_quant_with_two_files_neither_is_taken() -> None:
    before = model(artifact(bytes=1, sha256=A, revision=OLD), repos=(REPO,), file_bytes=1)
    files = {"tiny-Q8_0.gguf": (1, A), "tiny-a-Q4_0.gguf": (2, B), "tiny-b-Q4_0.gguf": (3, B)}
    assert update(before, {REPO: state(files)}).changes == ()


def test_parts_are_summed_and_hashed_each() -> None:
    names = tuple(f"tiny-Q8_0-{part:05d}-of-00002.gguf" for part in (1, 2))
    found = update(model(artifact(names[0])), {REPO: state({names[0]: (60, A), names[1]: (40, B)})})
    (file,) = found.model.variants[0].artifacts
    assert (file.bytes, file.shards, file.shard_sha256, file.sha256) == (100, names, (A, B), None)
    again = update(found.model, {REPO: state({names[0]: (60, A), names[1]: (40, B)})})
    assert again.changes == ()
    changed = update(found.model, {REPO: state({names[0]: (60, A), names[1]: (40, A)})})
    assert {change.field for change in changed.changes} == {"shard_sha256"}


def test_a_listing_of_names_alone_says_nothing_new() -> None:
    before = model(artifact(bytes=100, sha256=A, revision=OLD), file_bytes=100)
    assert update(before, {REPO: state({"tiny-Q8_0.gguf": (None, None)})}).changes == ()


def test_a_hash_the_hub_does_not_give_is_kept_while_the_size_is_the_same() -> None:
    before = model(artifact(bytes=100, sha256=A, revision=OLD), file_bytes=100)
    assert update(before, {REPO: state({"tiny-Q8_0.gguf": (100, None)})}).changes == ()
    other = update(before, {REPO: state({"tiny-Q8_0.gguf": (101, None)})})
    assert other.model.variants[0].artifacts[0].sha256 is None
