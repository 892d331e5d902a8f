"""Request ids, named keys, and what is written down of a request."""

from __future__ import annotations

import json
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import filelock
import pytest

from planner.errors import EngineError, UsageError
from planner.serve.gateway.access_log import AccessEntry, AccessLog
from planner.serve.gateway.keys import KeyRing, add_named, read_named, remove_named

if TYPE_CHECKING:
    from pathlib import Path

    from tests.serve.gateway.conftest import Stack, StartStack

KEY = "gateway-key-of-the-tests-0123456789"


async def test_every_answer_has_an_id_of_its_own(stack: Stack) -> None:
    answers = [
        await stack.embed(input="x"),
        await stack.embed(input=""),
        await stack.chat(stream=True),
        await stack.bare.get("/v1/models"),
        await stack.bare.get("/health", headers={"Host": "evil.example"}),
    ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 5
    assert all(re.fullmatch(r"req-[0-9a-f]{16}", one) for one in ids)


@pytest.mark.parametrize(("sent", "kept"), [("trace-7:a.b", True), ("x" * 129, False), ("a b", False), ("ü", False)])
async def test_an_id_of_the_clients_own_is_kept_when_it_is_a_word(stack: Stack, sent: str, *, kept: bool) -> None:
    answer = await stack.client.get("/v1/models", headers=[(b"X-Request-Id", sent.encode("latin-1"))])
    assert (answer.headers["x-request-id"] == sent) is kept


async def test_the_access_log_tells_what_happened_and_nothing_that_was_said(start_stack: StartStack) -> None:
    entries: list[AccessEntry] = []
    stack = await start_stack(access_log=entries.append)
    await stack.embed(input=["a secret of mine"])
    await stack.chat(stream=True, stream_options={"include_usage": True})
    await stack.embed(input="")
    await stack.bare.get("/v1/models?key=in-the-query")
    await stack.client.get("/v1/my/secret/path")
    told = [(entry.method, entry.route, entry.status, entry.error) for entry in entries]
    assert told == [
        ("POST", "/v1/embeddings", 200, ""),
        ("POST", "/v1/chat/completions", 200, ""),
        ("POST", "/v1/embeddings", 400, "empty_input"),
        ("GET", "/v1/models", 401, "invalid_api_key"),
        ("GET", "other", 404, "not_found"),
    ]
    first, second = entries[:2]
    assert (first.key, first.prompt_tokens, first.request_bytes > 0, first.response_bytes > 0) == (
        "owner",
        6,
        True,
        True,
    )
    assert (second.prompt_tokens, second.completion_tokens) == (41, 3)
    assert entries[3].key == ""
    text = repr(entries)
    assert not [word for word in ("secret", "Hello", "in-the-query", KEY) if word in text]


def test_the_log_is_json_lines_for_its_owner_alone_and_bounded(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "access.log"
    path.parent.mkdir()
    log = AccessLog(path, max_bytes=1000)
    for number in range(40):
        log(AccessEntry(time="t", id=f"req-{number}", method="GET", route="/health", status=200, seconds=0.1))
    log.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[-1]["id"] == "req-39"
    assert {file.name for file in path.parent.iterdir()} == {"access.log", "access.log.1"}
    assert all(file.stat().st_size <= 1000 for file in path.parent.iterdir())


def test_a_log_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    log = AccessLog(tmp_path / "missing" / "access.log")
    log(AccessEntry(time="t", id="req-1", method="GET", route="/health", status=200, seconds=0.1))
    log.close()


def test_named_keys_are_kept_as_sums_and_can_be_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    now = 0.0
    ring = KeyRing(KEY, path, clock=lambda: now)
    assert ring.name_of([KEY]) == "owner"
    first, second = add_named(path, "open-webui"), add_named(path, "notebook")
    assert first not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ring.name_of([first]) is None  # looked a moment ago
    now = 2.0
    assert (ring.name_of([first]), ring.name_of(["x", second]), ring.name_of([])) == ("open-webui", "notebook", None)
    assert remove_named(path, "open-webui")
    assert not remove_named(path, "open-webui")
    now = 4.0
    assert (ring.name_of([first]), ring.name_of([second])) == (None, "notebook")
    assert [key.name for key in read_named(path)] == ["notebook"]


def test_a_file_that_could_not_be_read_for_a_moment_is_read_the_next_time(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="descriptors are limited otherwise")
    path = tmp_path / "clients.json"
    key = add_named(path, "notebook")
    now = 0.0
    ring = KeyRing(KEY, path, clock=lambda: now)
    few, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
    try:
        assert ring.name_of([key]) is None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    now = 2.0
    assert ring.name_of([key]) == "notebook"


def test_who_finds_the_file_being_changed_for_long_is_told(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    with filelock.FileLock(tmp_path / ".clients.json.lock"):
        for change in (add_named, remove_named):
            with pytest.raises(EngineError) as error:
                change(path, "notebook", patience_s=0.0)
            assert error.value.reference == "deployment-busy"


@pytest.mark.parametrize("name", ["", "owner", "a b", "../x", "x" * 64])
def test_names_that_no_key_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        add_named(tmp_path / "clients.json", name)


def test_a_name_is_given_once(tmp_path: Path) -> None:
    add_named(tmp_path / "clients.json", "a")
    with pytest.raises(UsageError, match="already"):
        add_named(tmp_path / "clients.json", "a")


def test_keys_that_are_made_and_taken_away_at_once_are_all_made_and_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    old = [f"old-{number}" for number in range(8)]
    for name in old:
        add_named(path, name)
    new = [f"new-{number}" for number in range(8)]
    with ThreadPoolExecutor(16) as pool:
        made = [pool.submit(add_named, path, name) for name in new]
        gone = [pool.submit(remove_named, path, name) for name in old]
    assert [task.result() for task in gone] == [True] * 8
    assert sorted(key.name for key in read_named(path)) == new
    ring = KeyRing("the-owners-own-key", path)
    assert [ring.name_of([task.result()]) for task in made] == new


@pytest.mark.parametrize("content", ["", "{", '{"keys": [{"name": "a", "sha256": "zz"}]}', '{"keys": 5}', "[]"])
def test_a_file_that_is_no_file_of_keys_opens_nothing(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clients.json"
    path.write_text(content)
    ring = KeyRing(KEY, path)
    assert (ring.name_of(["", "a", "zz"]), ring.name_of([KEY])) == (None, "owner")


async def test_a_clients_use_is_counted_under_the_name_of_its_key(start_stack: StartStack, tmp_path: Path) -> None:
    path = tmp_path / "clients.json"
    key = add_named(path, "notebook")
    stack = await start_stack(named_keys=path)
    answer = await stack.bare.post("/v1/embeddings", json={"input": "two words"}, headers={"X-Api-Key": key})
    assert answer.status_code == 200
    page = (await stack.client.get("/metrics")).text
    assert 'planner_gateway_tokens_total{role="embedding",kind="prompt",key="notebook"} 4' in page
