"""What the Hub says about a repository, and the three ways in which it says no."""

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from planner.config import Config
from planner.core.values import RepoId, RepoPath
from planner.errors import AccessError, OfflineError, RemoteError, UsageError
from planner.fetch import hub as hub_room
from planner.fetch.stream import Head
from tests.fetch.lying_hub import LyingHub

if TYPE_CHECKING:
    from tests.fetch.conftest import Recorder

REPO = RepoId("acme/tiny-GGUF")
FILE = RepoPath("tiny-Q4_K_M.gguf")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_commit_size_and_hash_come_in_one_request(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes
) -> None:
    snapshot = hub_room.describe(REPO, None, [FILE], config=config, progress=progress)
    assert snapshot.commit == COMMIT
    assert snapshot.files[FILE].bytes == len(payload)
    assert snapshot.files[FILE].sha256 is not None
    assert snapshot.url(FILE) == f"{hub.url}/{REPO}/resolve/{COMMIT}/{FILE}"
    assert len(hub.requests) == 1


def test_a_pinned_revision_is_what_is_asked_for(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes
) -> None:
    hub_room.describe(REPO, COMMIT, [FILE], config=config, progress=progress)
    assert f"/revision/{COMMIT}" in hub.requests[0].path


def test_a_small_file_has_a_git_hash(hub: LyingHub, config: Config, progress: "Recorder", payload: bytes) -> None:
    hub.plain_git.add(FILE)
    expected = hub_room.describe(REPO, None, [FILE], config=config, progress=progress).files[FILE]
    assert expected.sha256 is None
    assert expected.git_sha1 is not None
    assert len(expected.git_sha1) == 40


def test_a_mirror_that_lists_names_only_is_asked_for_the_file(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes
) -> None:
    listing = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": FILE}]}
    hub.api_answers = [(200, {}, json.dumps(listing).encode())]
    expected = hub_room.describe(REPO, None, [FILE], config=config, progress=progress).files[FILE]
    assert expected.bytes == len(payload)
    assert hub.requests[-1].method == "HEAD"


def test_the_token_of_the_environment_goes_along_and_is_not_shown(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_planted")
    snapshot = hub_room.describe(REPO, None, [FILE], config=config, progress=progress)
    assert hub.requests[0].headers["authorization"] == "Bearer hf_planted"
    assert snapshot.token == "hf_planted"
    assert "hf_planted" not in repr(snapshot)


@pytest.mark.parametrize(
    ("status", "code", "token", "reference", "says"),
    [
        (401, "RepoNotFound", None, "login-required", "hf auth login"),
        (401, "", "hf_old", "login-required", "token"),
        (401, "GatedRepo", None, "licence-not-accepted", "/acme/tiny-GGUF"),
        (403, "GatedRepo", "hf_good", "licence-not-accepted", "/acme/tiny-GGUF"),
        (404, "RepoNotFound", None, "not-found", "no public repository"),
        (404, "RevisionNotFound", None, "not-found", "revision"),
        (404, "EntryNotFound", None, "not-found", "file"),
        (404, "", None, "not-found", "no public repository"),
    ],
)
def test_the_hub_says_no_in_different_words(  # noqa: PLR0917  # one column each
    hub: LyingHub,
    config: Config,
    progress: "Recorder",
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    token: str | None,
    reference: str,
    says: str,
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    hub.api_answers = [(status, {"X-Error-Code": code} if code else {}, b"{}")]
    with pytest.raises(AccessError) as caught:
        hub_room.describe(REPO, None, [FILE], config=config, progress=progress)
    assert caught.value.reference == reference
    assert says in caught.value.message + caught.value.hint
    assert len(hub.requests) == 1


def test_a_missing_file_is_named_with_what_is_there(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes
) -> None:
    with pytest.raises(AccessError, match=r"other\.gguf") as caught:
        hub_room.describe(REPO, None, [RepoPath("other.gguf")], config=config, progress=progress)
    assert FILE in caught.value.hint


def test_a_renamed_file_is_pointed_out(hub: LyingHub, config: Config, progress: "Recorder", payload: bytes) -> None:
    with pytest.raises(AccessError) as caught:
        hub_room.describe(REPO, None, [RepoPath(FILE.lower())], config=config, progress=progress)
    assert f"called {FILE} now" in caught.value.hint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_trouble_is_waited_out(
    hub: LyingHub, config: Config, progress: "Recorder", payload: bytes, status: int
) -> None:
    hub.api_answers = [(status, {"Retry-After": "0"}, b"")] * 2
    assert hub_room.describe(REPO, None, [FILE], config=config, progress=progress).commit == COMMIT


@pytest.mark.parametrize(("status", "says"), [(500, "trouble"), (503, "trouble"), (429, "patience"), (418, "proxy")])
def test_trouble_that_stays_says_what_to_do(
    hub: LyingHub, config: Config, progress: "Recorder", status: int, says: str
) -> None:
    hub.api_answers = [(status, {"Retry-After": "0"}, b"")] * 20
    with pytest.raises(RemoteError, match=str(status)) as caught:
        hub_room.describe(REPO, None, [FILE], config=config, progress=progress)
    assert says in caught.value.hint
    assert caught.value.reference == f"http-{status}"
    if status >= 500:
        assert "--offline" in caught.value.hint


def test_a_silent_server_is_told_from_an_unreachable_one(
    config: Config, progress: "Recorder", monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setattr(hub_room, "_REQUEST_S", 0.2)
    monkeypatch.setattr(hub_room, "TRIES", 1)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        there = replace(config, hf_endpoint=f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(RemoteError, match=r"did not answer within 0\.2 s") as caught:
            hub_room.describe(REPO, None, [FILE], config=there, progress=progress)
    assert caught.value.reference == "timeout"
    with pytest.raises(RemoteError, match="could not be reached"):
        hub_room.describe(REPO, None, [FILE], config=there, progress=progress)


def test_a_long_wait_is_told(hub: LyingHub, config: Config, progress: "Recorder") -> None:
    hub.api_answers = [(429, {"Retry-After": "600"}, b"")]
    with pytest.raises(RemoteError, match="10 min"):
        hub_room.describe(REPO, None, [FILE], config=config, progress=progress)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>",
        b"[]",
        b"{}",
        b"null",
        b'{"sha": 3}',
        b"[" * 100_000,
        b'{"sha":"a/../b","siblings":[]}',
    ],
)
def test_an_answer_that_makes_no_sense_is_one_clear_error(
    hub: LyingHub, config: Config, progress: "Recorder", body: bytes
) -> None:
    hub.api_answers = [(200, {"Content-Type": "application/json"}, body)]
    with pytest.raises(RemoteError) as caught:
        hub_room.describe(REPO, None, [FILE], config=config, progress=progress)
    assert caught.value.reference == "bad-answer"


@pytest.mark.parametrize(
    "entry",
    [
        {"size": 5, "lfs": {"sha256": "../../etc/passwd", "size": 5, "pointerSize": 1}},
        {"size": "many", "blobId": 7},
        {"size": 5, "lfs": {"size": 5}},
    ],
)
def test_hostile_file_facts_are_refused(
    hub: LyingHub, config: Config, progress: "Recorder", entry: dict[str, object]
) -> None:
    listing = {"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": FILE, **entry}]}
    hub.api_answers = [(200, {}, json.dumps(listing).encode())]
    with pytest.raises(RemoteError):
        hub_room.describe(REPO, None, [FILE], config=config, progress=progress)


@pytest.mark.parametrize(
    ("endpoint", "good"),
    [
        ("https://huggingface.co", True),
        ("https://mirror.example/hub/", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://[::1]:8080", True),
        ("http://huggingface.co", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.5", False),
        ("https://user:password@host", False),
        ("ftp://host", False),
        ("huggingface.co", False),
        ("", False),
    ],
)
def test_plain_http_is_for_this_machine_only(endpoint: str, good: bool) -> None:
    if good:
        assert hub_room.check_endpoint(endpoint) == endpoint.rstrip("/")
        return
    with pytest.raises(UsageError) as caught:
        hub_room.check_endpoint(endpoint)
    assert "password" not in caught.value.message


def test_offline_comes_before_everything(config: Config, progress: "Recorder", tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(OfflineError):
        hub_room.describe(REPO, None, [FILE], config=replace(config, offline=True), progress=progress)


def test_a_refusal_of_the_cdn_is_not_taken_for_the_hubs(hub: LyingHub) -> None:
    snapshot = hub_room.Snapshot(hub.url, REPO, COMMIT, {})
    assert snapshot.refusal(Head(403, {}, "cdn.example")) is None
    assert snapshot.refusal(Head(403, {}, "127.0.0.1")) is not None
