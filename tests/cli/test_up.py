"""`up`, `launch`, `status`, `logs` and `stop` as a person runs them: real processes, a fake engine, tiny models."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.serve.fake_engine import install

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")
WAIT_S = 60.0


def architecture(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "layers": 2,
        "embedding_length": 384,
        "feed_forward_length": 768,
        "head_count": 6,
        "head_count_kv": 6,
        "key_length": 64,
        "value_length": 64,
        "vocab_size": 1000,
        **more,
    }


def entry(name: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"test/{name}",
        "family": "test",
        "role": role,
        "parameters": 2_000_000,
        "context_length": 2048,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "variants": [
            {
                "quant": "F16",
                "artifacts": [{"source": "file", "file": f"{name}.gguf"}],
                "file_bytes": 4_000_000,
            }
        ],
        **more,
    }


CATALOG = {
    "schema": 1,
    "family": "test",
    "models": [
        entry(
            "tiny-embedder",
            "embedding",
            embedding_length=384,
            pooling="mean",
            architecture=architecture("bert", causal=False, gated_feed_forward=False),
        ),
        entry("tiny-writer", "generation", architecture=architecture("llama")),
        entry("other-writer", "generation", architecture=architecture("llama")),
    ],
}
PAIR = ("test/tiny-embedder", "test/tiny-writer")


@dataclass
class Shell:
    """A person at a terminal: commands run in `folder`, with their own home."""

    folder: Path
    engine: Path
    open: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "planner", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=WAIT_S, check=False
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def up(self, *arguments: str) -> tuple[str, ...]:
        """The arguments of an `up` with this shell's models and engine."""
        options = ("--catalog", "models.json", "--engine-path", str(self.engine), "--port", "0")
        return ("up", *(arguments or PAIR), *options)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*arguments), cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.open.append(process)
        return process

    def end(self, process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
        process.send_signal(number)
        out, err = process.communicate(timeout=WAIT_S)
        return process.returncode, out, err


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "models.json").write_text(json.dumps(CATALOG))
    for name in ("tiny-embedder", "tiny-writer", "other-writer"):
        (tmp_path / f"{name}.gguf").write_bytes(b"GGUF" + bytes(60))
    shell = Shell(tmp_path, install(tmp_path / "bin/llama-server", "ready"))
    yield shell
    for process in shell.open:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=WAIT_S)
    shell.run("stop", "--all")


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S:.0f} s for: {what}"
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def pids_of(deployment: dict[str, Any]) -> list[int]:
    return [deployment["supervisor_pid"], *(process["pid"] for process in deployment["processes"])]


def test_nothing_running_is_an_answer(shell: Shell) -> None:
    assert shell.json("status") == {"deployments": []}
    assert shell.json("stop") == {"deployments": []}
    done = shell.run("logs")
    assert done.returncode == 3
    assert "no deployment" in done.stderr


def test_a_detached_pair_runs_is_found_again_and_stops(shell: Shell) -> None:
    deployment = shell.json(*shell.up(), "--detach")["deployment"]
    assert deployment["state"] == "running"
    assert deployment["name"] == "default"
    assert {process["role"] for process in deployment["processes"]} == {"embedding", "generation"}
    contract = {"role", "engine", "engine_version", "model", "variant", "url", "pid", "state"}
    figures = {f"{what}_{how}" for what in ("tg", "pp") for how in ("estimated", "measured")}
    memory = {"memory_estimated_bytes", "memory_measured_bytes"}
    for process in deployment["processes"]:
        assert contract | figures | memory <= set(process)
    assert alive(pids_of(deployment)) == pids_of(deployment)

    assert shell.json(*shell.up(), "--detach")["deployment"]["supervisor_pid"] == deployment["supervisor_pid"]
    other = shell.run(*shell.up("test/tiny-embedder", "test/other-writer"), "--detach", "--json")
    assert other.returncode == 6
    assert json.loads(other.stdout)["error"]["reference"] == "name-taken"

    (listed,) = shell.json("status")["deployments"]
    assert listed["supervisor_pid"] == deployment["supervisor_pid"]
    key = Path(deployment["api_key_file"]).read_text().strip()
    logs = shell.run("logs", "generation", "-n", "1000")
    assert "listening on http://127.0.0.1" in logs.stdout
    assert "api_keys: ****\n" in logs.stdout
    for text in (logs.stdout, logs.stderr, json.dumps(listed), *(" ".join(c) for c in _arguments(deployment))):
        assert key not in text

    (stopped,) = shell.json("stop")["deployments"]
    assert stopped["state"] == "stopped"
    assert alive(pids_of(deployment)) == []
    assert shell.json("status") == {"deployments": []}


def _arguments(deployment: dict[str, Any]) -> list[list[str]]:
    return [psutil.Process(pid).cmdline() for pid in pids_of(deployment)]


def test_what_runs_is_measured_and_kept_until_it_is_forgotten(shell: Shell) -> None:
    assert shell.run("bench").returncode == 3
    shell.json(*shell.up(), "--detach")
    measured = shell.json("bench", "--repeats", "1")
    results = {result["metric"]: result for result in measured["results"]}
    assert results.keys() == {"embed", "pp", "tg"}
    assert (results["tg"]["tokens_per_s"], results["tg"]["model"]) == (50.0, "test/tiny-writer")
    assert measured["stored"] == 3
    estimate = ("estimate", "tiny-writer", "--catalog", "models.json")
    rate = shell.json(*estimate)["estimate"]["throughput"]["tg"]
    assert rate["basis"] == "measured"
    assert 50 <= rate["mid"] < 75, "the same, with nothing in the cache"
    assert shell.json(*estimate, "--ram", "16")["estimate"]["throughput"]["tg"]["basis"] != "measured"
    assert shell.json("bench", "--forget")["forgotten"] == 3
    assert shell.json(*estimate)["estimate"]["throughput"]["tg"]["basis"] != "measured"
    assert shell.run("bench", "nobody").returncode == 3


def test_the_printed_lines_work_when_pasted(shell: Shell) -> None:
    done = shell.run(*shell.up(), "--detach")
    assert done.returncode == 0, done.stderr
    assert "engine: llama-server 11434, because its path was given" in done.stderr
    assert "embedding: ready" in done.stderr
    _, _, rest = done.stdout.partition("Try:\n")
    calls, _, _ = rest.partition("\n\n")
    answers = []
    for call in calls.split("  curl ")[1:]:
        pasted = subprocess.run(
            ["/bin/sh", "-c", f"curl {call}"], capture_output=True, text=True, timeout=30, check=False
        )
        assert pasted.returncode == 0, pasted.stderr
        answers.append(pasted.stdout)
    embedded, streamed = answers
    assert len(json.loads(embedded)["data"][0]["embedding"]) == 384
    assert streamed.startswith("data: ")
    assert streamed.rstrip().endswith("data: [DONE]")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)], ids=str)
def test_the_foreground_ends_with_its_command_and_leaves_nothing(
    shell: Shell, number: signal.Signals, code: int
) -> None:
    process = shell.begin(*shell.up(), "--json")
    assert process.stdout is not None
    deployment = _first_document(process)["deployment"]
    pids = pids_of(deployment)
    assert alive(pids) == pids
    returned, _, err = shell.end(process, number)
    assert returned == code, err
    assert "nothing is left running" in err
    assert alive(pids) == []
    assert shell.json("status") == {"deployments": []}


def test_further_signals_do_not_disturb_the_end(shell: Shell) -> None:
    process = shell.begin(*shell.up(), "--json")
    assert process.stderr is not None
    pids = pids_of(_first_document(process)["deployment"])
    process.send_signal(signal.SIGHUP)
    for line in process.stderr:
        if "Stopping" in line:
            break
    process.send_signal(signal.SIGTERM)
    returned, _, err = shell.end(process, signal.SIGHUP)
    assert returned == 0, err
    assert "nothing is left running" in err
    assert alive(pids) == []


def _first_document(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON document a command prints before it stays."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    found: dict[str, Any] = json.loads("".join(lines))
    return found


def test_a_killed_foreground_command_leaves_nothing(shell: Shell) -> None:
    process = shell.begin(*shell.up(), "--json")
    pids = pids_of(_first_document(process)["deployment"])
    process.kill()
    process.wait(WAIT_S)
    until(lambda: not alive(pids), "everything ends with the command")
    assert shell.json("status") == {"deployments": []}


def test_an_interrupted_start_leaves_nothing(shell: Shell) -> None:
    shell.engine = install(shell.folder / "hang/llama-server", "hang")
    process = shell.begin(*shell.up(), "--detach")
    assert process.stderr is not None
    for line in process.stderr:
        if "loading" in line:
            break
    (deployment,) = shell.json("status")["deployments"]
    assert deployment["state"] == "starting"
    until(lambda: None not in pids_of(shell.json("status")["deployments"][0]), "the engines are started")
    pids = pids_of(shell.json("status")["deployments"][0])
    returned, _, _ = shell.end(process, signal.SIGINT)
    assert returned == 130
    assert alive(pids) == []


@pytest.mark.parametrize(
    ("mode", "reference", "words"),
    [
        ("crash", "model-unloadable", "not within the file bounds"),
        ("oom", "out-of-memory", "ran out of memory"),
        ("old-flags", "engine-too-old", "--api-key-file"),
    ],
)
def test_an_engine_that_fails_is_an_error_with_its_last_words(
    shell: Shell, mode: str, reference: str, words: str
) -> None:
    shell.engine = install(shell.folder / mode / "llama-server", mode)
    done = shell.run(*shell.up(), "--detach", "--json")
    assert done.returncode == 6
    error = json.loads(done.stdout)["error"]
    assert error["reference"] == reference
    assert words in error["message"]
    assert error["hint"]
    assert not [d for d in shell.json("status")["deployments"] if d["state"] != "failed"]


def test_ports_are_checked(shell: Shell) -> None:
    for port in ("-1", "65536", "http"):
        assert shell.run("up", "--port", port).returncode == 2
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = shell.run(*shell.up(), "--detach", "--json", "--port", port)
    assert done.returncode == 6
    error = json.loads(done.stdout)["error"]
    assert error["reference"] == "port-taken"
    assert f"pid {os.getpid()}" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (("up", "--starter", "bge-m3"), "usage"),
        (("up", "no-such-model"), "unknown-model"),
        (("up", "--name", "../x"), "name-invalid"),
        (("launch",), "usage"),
        (("stop", "nothing", "--all"), "usage"),
    ],
)
def test_wishes_that_cannot_be_right_exit_2(shell: Shell, arguments: tuple[str, ...], reference: str) -> None:
    done = shell.run(*arguments, "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["reference"] == reference


def test_a_missing_engine_says_what_to_do(shell: Shell) -> None:
    shell.engine = shell.folder / "nothing"
    done = shell.run(*shell.up(), "--detach", "--json")
    assert done.returncode == 6
    assert json.loads(done.stdout)["error"]["reference"] == "engine-missing"


def test_launch_runs_one_model_under_its_own_name_beside_a_pair(shell: Shell) -> None:
    shell.json(*shell.up(), "--detach")
    options = shell.up()[3:]
    deployment = shell.json("launch", "test/other-writer", *options, "--detach")["deployment"]
    assert deployment["name"] == "other-writer"
    (process,) = deployment["processes"]
    assert (process["role"], process["state"]) == ("generation", "running")
    several = shell.run("stop", "--json")
    assert several.returncode == 2
    assert json.loads(several.stdout)["error"]["reference"] == "which-deployment"
    stopped = shell.json("stop", "--all")["deployments"]
    assert {each["name"] for each in stopped} == {"default", "other-writer"}
    assert shell.json("status") == {"deployments": []}


def test_a_reranker_joins_the_pair_when_it_is_wanted(shell: Shell) -> None:
    reranker = entry("tiny-ranker", "reranker", architecture=architecture("bert", causal=False))
    catalog = json.loads(json.dumps(CATALOG))
    catalog["models"].append(reranker)
    (shell.folder / "models.json").write_text(json.dumps(catalog))
    (shell.folder / "tiny-ranker.gguf").write_bytes(b"GGUF" + bytes(60))
    named = shell.up(*PAIR, "test/tiny-ranker")
    deployment = shell.json(*named, "--detach", "--reranker")["deployment"]
    assert [process["role"] for process in deployment["processes"]] == ["embedding", "generation", "reranker"]
    assert {"name": "reranker-order", "ok": True} in [
        {"name": check["name"], "ok": check["ok"]} for check in deployment["verification"]
    ]
    arguments = psutil.Process(deployment["processes"][2]["pid"]).cmdline()
    assert "--reranking" in arguments
    assert "--embeddings" not in arguments


def test_a_killed_supervisor_is_shown_as_failed(shell: Shell) -> None:
    deployment = shell.json(*shell.up(), "--detach")["deployment"]
    psutil.Process(deployment["supervisor_pid"]).kill()
    until(lambda: not alive([deployment["supervisor_pid"]]), "the supervisor is gone")
    (seen,) = shell.json("status")["deployments"]
    assert seen["state"] == "failed"
    assert seen["error"]["reference"] == "supervisor-died"
    if sys.platform == "linux":
        until(lambda: not alive(pids_of(deployment)), "the engines end with it")
    assert shell.json("stop")["deployments"][0]["state"] == "stopped"
