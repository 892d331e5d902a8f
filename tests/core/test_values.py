import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.values import Digest, RepoId, RepoPath

SHA = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_a_digest_is_normalised() -> None:
    assert Digest("sha256:" + SHA.upper()) == SHA


@pytest.mark.parametrize("text", ["", "../../etc/passwd", SHA[:-1], SHA + "0", "g" * 64, "sha1:" + SHA])
def test_what_is_no_digest_never_becomes_one(text: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        Digest(text)


@pytest.mark.parametrize("text", ["Qwen/Qwen3-8B-GGUF", "a/b", "TheBloke/x.y_z-1"])
def test_repository_ids(text: str) -> None:
    assert RepoId(text) == text


@pytest.mark.parametrize("text", ["", "a", "a/b/c", "../b", "a/..", "a b/c", "a/b\n", "-a/b", "a//b", "a/b?x=1"])
def test_what_is_no_repository_id(text: str) -> None:
    with pytest.raises(ValueError, match="repository"):
        RepoId(text)


@pytest.mark.parametrize("text", ["model.gguf", "sub/dir/model-Q4_K_M.gguf", "model-00001-of-00003.gguf"])
def test_safe_paths(text: str) -> None:
    path = RepoPath(text)
    assert path.name == text.rsplit("/", 1)[-1]


@pytest.mark.parametrize(
    "text",
    [
        "", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "C:/x", "C:x", "\\\\host\\x", "a\\b", "a\x00b", "a\nb",
        "con", "sub/NUL.txt", "com1.gguf", "trailing.", "trailing ", "a@b.gguf", "x" * 600, "a\x9bb",
    ],
)  # fmt: skip
def test_hostile_paths_never_become_a_path(text: str) -> None:
    with pytest.raises(ValueError, match="path"):
        RepoPath(text)


@given(st.text(max_size=80))
def test_any_path_that_is_accepted_stays_inside(text: str) -> None:
    from pathlib import PurePosixPath, PureWindowsPath

    try:
        path = RepoPath(text)
    except ValueError:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        parsed = kind(path)
        assert not parsed.is_absolute()
        assert not parsed.drive if isinstance(parsed, PureWindowsPath) else True
        assert ".." not in parsed.parts
