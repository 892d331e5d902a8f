"""`planner doctor`: complete, silent about secrets, and never itself a problem."""

import json
import os
import platform
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from planner.cli.doctor import machine, setup, stock
from planner.cli.doctor.report import Context, Found, Problem, gather
from planner.cli.doctor.sections import SECTIONS
from planner.cli.doctor.text import report_lines
from planner.cli.hardware_page import WIDTH
from planner.config import default_config, load_config
from planner.core.launch.supervise import DeploymentState, Phase
from planner.errors import UsageError
from planner.probe.surroundings import Surroundings
from planner.serve.state import CheckRecord, Home
from planner.serve.supervision.records import first_record
from tests.cli.conftest import Planner
from tests.serve.plans import spec

USER, HOST = "quentinia", "walnut-desktop"
PLANTED = {
    "HF_TOKEN": "hf_QuiteSecretToken123",
    "LLAMA_API_KEY": "engine-key-of-mine",
    "OPENAI_API_KEY": "sk-planted-0123456789",
    "HTTPS_PROXY": f"http://{USER}:open-sesame@proxy.example:3128",
    "NO_PROXY": "internal.corp.example",
    "HF_ENDPOINT": f"https://{USER}:open-sesame@mirror.example",
    "USER": USER,
    "LOGNAME": USER,
    "HOSTNAME": f"{HOST}.lan.example",
    "PYTHONPATH": f"/srv/{USER}/lib",
}
SECRETS = (
    "hf_QuiteSecretToken123", "engine-key-of-mine", "sk-planted-0123456789", "open-sesame", USER, HOST,
    "internal.corp.example",
)  # fmt: skip


def context(environ: dict[str, str] | None = None, **fields: Any) -> Context:
    made = Context(config=load_config(environ or {}), environ=environ or {})
    return replace(made, **fields)


def messages(found: Found) -> str:
    return "\n".join(f"{p.message} {p.hint}" for p in found.problems)


def test_the_document_has_the_contracts_sections(planner: Planner) -> None:
    outcome = planner("doctor", "--json", "--offline")
    assert (outcome.code, outcome.err) == (0, "")
    document = outcome.json
    assert document["schema"] == 1
    assert list(document["sections"]) == [
        "planner", "system", "terminal", "hardware", "limits", "disk", "settings", "environment", "proxies",
        "engines", "catalog", "store", "deployments", "packages",
    ]  # fmt: skip
    assert not [name for name, facts in document["sections"].items() if "error" in facts]
    assert document["sections"]["system"]["python"].endswith(platform.python_version())
    assert document["sections"]["hardware"]["host"]["memory_total_bytes"] > 0
    assert "NVIDIA" in document["sections"]["hardware"]["timings_s"]
    assert document["sections"]["settings"]["offline"] == {"value": True, "source": "command line"}
    assert document["sections"]["catalog"]["models"] > 0
    assert document["sections"]["packages"]["click"]
    for problem in document["problems"]:
        assert set(problem) == {"section", "message", "hint"}


def test_the_page_shows_every_section_within_its_width(planner: Planner) -> None:
    outcome = planner("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert set(SECTIONS) <= set(lines)
    assert max(map(len, lines)) <= WIDTH
    assert any(line.startswith("host ") for line in lines)


@pytest.mark.parametrize("arguments", [("--json",), ()])
def test_planted_secrets_names_and_logins_never_appear(
    planner: Planner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    home = tmp_path / USER
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(home))
    for name in ("DATA", "CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    settings = home / "config" / "planner" / "config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'engine_path = "/opt/{USER}/llama-server"\n')
    outcome = planner("doctor", *arguments)
    assert outcome.code == 0
    said = outcome.out.lower()
    assert [secret for secret in SECRETS if secret.lower() in said] == []
    assert "proxy.example:3128" in said
    assert "~/data/planner" in said
    assert "the engine /opt/[user]/llama-server does not exist" in said


def test_other_variables_are_only_said_to_be_set(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    monkeypatch.setenv("HF_TOKEN", "whatever-it-is")
    monkeypatch.setenv("UNRELATED", "x")
    told = planner("doctor", "--json").json["sections"]["environment"]
    assert told["CUDA_VISIBLE_DEVICES"] == "1,0"
    assert told["HF_TOKEN"] == "set"
    assert "UNRELATED" not in told


def test_broken_settings_are_a_problem_and_not_the_end(planner: Planner) -> None:
    path = default_config().config_dir / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("engine = [")
    outcome = planner("doctor", "--json")
    assert outcome.code == 0
    assert "not valid TOML" in outcome.json["sections"]["settings"]["error"]
    assert outcome.json["sections"]["hardware"]["host"]
    assert [p["section"] for p in outcome.json["problems"]].count("settings") == 1


def test_a_missing_catalog_of_the_user_is_a_problem_and_not_the_end(planner: Planner) -> None:
    document = planner("doctor", "--json", "--catalog", "/no/such/file").json
    assert document["sections"]["catalog"]["error"].startswith("There is no catalog file")


def test_a_section_that_fails_or_hangs_costs_only_itself() -> None:
    stop = threading.Event()

    def fails(_: Context) -> Found:
        raise ZeroDivisionError("bad day")

    def refuses(_: Context) -> Found:
        raise UsageError("No.", hint="Yes.")

    def hangs(_: Context) -> Found:
        stop.wait(60)
        return Found({})

    sections = {"a": fails, "b": refuses, "c": hangs, "d": lambda _: Found({"fine": 1}, (Problem("But."),))}
    report: Any = gather(context(), sections, deadline_s=0.2)
    stop.set()
    assert "ZeroDivisionError: bad day" in report["sections"]["a"]["error"]
    assert report["sections"]["b"] == {"error": "No."}
    assert report["sections"]["c"]["error"].startswith("No answer")
    assert report["sections"]["d"] == {"fine": 1}
    assert [(p["section"], p["hint"]) for p in report["problems"]][1::2] == [("b", "Yes."), ("d", "")]
    lines = list(report_lines(report))
    assert "4 problems" in lines
    assert "    → Yes." in lines


def test_a_report_whose_hardware_cannot_be_read_back_is_still_shown() -> None:
    report = {"schema": 1, "sections": {"hardware": {"error": "It is on fire."}}, "problems": []}
    text = "\n".join(report_lines(report))
    assert "It is on fire." in text
    assert text.endswith("No problems found.")


# --- single sections ------------------------------------------------------------------------------------------------


def test_settings_say_who_had_the_last_word(tmp_path: Path) -> None:
    path = default_config().config_dir / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'engine = "embedded"\noffline = true\ndata_dir = "{tmp_path}"\n')
    environ = {"PLANNER_ENGINE": "llamafile", "HF_HUB_OFFLINE": "0", "XDG_STATE_HOME": "/x"}
    facts: Any = setup.settings(context(environ)).facts
    assert facts["file_exists"] is True
    assert facts["engine"] == {"value": "llamafile", "source": "PLANNER_ENGINE"}
    assert facts["offline"] == {"value": True, "source": "config.toml"}
    assert facts["data_dir"]["source"] == "config.toml"
    assert facts["state_dir"]["source"] == "XDG_STATE_HOME"
    assert facts["hf_endpoint"]["source"] == "default"


def test_limits_that_hurt_are_said(tmp_path: Path) -> None:
    for name, text in (("memory.max", str(2**30)), ("memory.current", str(2**30 - 1))):
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/\n")
    found = machine.limits(context(here=Surroundings(root=tmp_path, environ={})))
    assert found.facts["cgroup_memory_bytes"] == 2**30
    assert found.facts["cgroup_sources"] == ["cgroup v2 memory.max"]
    assert "has 0 MiB of memory left" in messages(found)


def test_a_folder_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    config = replace(default_config(), data_dir=blocked / "planner")
    found = machine.disk(context(config=config))
    assert f"{blocked / 'planner'} cannot be written" in messages(found)
    assert "data_dir" in messages(found)


def test_without_any_engine_it_is_said_what_to_do() -> None:
    found = stock.engines(context())
    assert str(found.facts["llamafile"]).startswith("not installed; planner up fetches")
    assert found.facts["llama-server"] == "not on PATH"
    assert str(found.facts["embedded"]).startswith("not installed")
    assert "No engine is here yet." in messages(found)
    installed = stock.engines(context(embedded=lambda: "2026.10.11549"))
    assert installed.facts["embedded"] == "xllamacpp 2026.10.11549"
    assert installed.problems == ()


def test_an_engine_on_path_is_not_executed(tmp_path: Path) -> None:
    server = tmp_path / "llama-server"
    server.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    server.chmod(0o755)
    found = stock.engines(context(which=lambda name: str(server)))
    assert "not asked yet" in str(found.facts["llama-server"])
    assert not (tmp_path / "ran").exists()
    (tmp_path / "gone").mkdir()
    gone = stock.engines(context(config=replace(default_config(), engine_path=tmp_path / "nothing")))
    assert "nothing" in str(gone.facts["engine_path"])


def test_settings_of_every_llama_cpp_here_are_a_problem(tmp_path: Path) -> None:
    ini = tmp_path / "etc/llama.cpp/config.ini"
    ini.parent.mkdir(parents=True)
    ini.touch()
    assert "config.ini" in messages(stock.engines(context(here=Surroundings(root=tmp_path, environ={}))))


def test_the_store_counts_what_is_there_and_what_changed() -> None:
    models = default_config().models_dir
    for name, size, noted in (("whole", 100, 100), ("cut", 50, 100)):
        (models / "a--b").mkdir(parents=True, exist_ok=True)
        (models / "a--b" / f"{name}.gguf").write_bytes(bytes(size))
        note = models / ".planner" / "a--b" / f"{name}.gguf.json"
        note.parent.mkdir(parents=True, exist_ok=True)
        entry = {
            "bytes": noted, "sha256": "0" * 64, "verified": True, "source": "hub", "origin": "x", "mtime_ns": 1,
            "fetched_at": "2026-11-25T00:00:00Z",
        }  # fmt: skip
        note.write_text(json.dumps(entry))
    (models / ".planner" / "a--b" / "next.gguf.partial").write_bytes(bytes(7))
    found = stock.store(context(dict(os.environ)))
    assert found.facts == {"files": 1, "bytes": 100, "changed": 1, "unfinished_bytes": 7}
    assert "1 fetched file is missing or changed" in messages(found)


def test_a_deployment_that_cannot_be_read_is_listed_as_failed() -> None:
    state = default_config().deployments_dir / "demo" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text("{")
    found = stock.deployments(context(dict(os.environ)))
    facts: Any = found.facts
    (listed,) = facts["listed"]
    assert (listed["name"], listed["state"]) == ("demo", "failed")
    assert "planner logs demo" in messages(found)


def test_a_deployment_that_runs_shielded_or_fails_a_check_says_so(tmp_path: Path) -> None:
    home = Home(default_config().deployments_dir, "demo")
    home.path.mkdir(parents=True)
    me = psutil.Process()
    begun = first_record(
        spec(tmp_path), home, supervisor_pid=me.pid, create_time=me.create_time(), started_at="2026-11-25T00:00:00Z"
    )
    checks = (CheckRecord("gateway", ok=True, detail="answers"), CheckRecord("retrieval", ok=False, detail="1 of 3."))
    running = msgspec.structs.replace(
        begun,
        state=DeploymentState.DEGRADED,
        supervisor_token="",
        shielded=True,
        verification=checks,
        processes=tuple(msgspec.structs.replace(process, state=Phase.RUNNING) for process in begun.processes),
    )
    home.write_state(running)
    found = stock.deployments(context(dict(os.environ)))
    facts: Any = found.facts
    assert all("runs shielded" in process for process in facts["listed"][0]["processes"])
    assert messages(found).count("is degraded") == 1
    assert "retrieval: 1 of 3." in messages(found)
    home.write_state(msgspec.structs.replace(running, state=DeploymentState.RUNNING, shielded=False, verification=()))
    found = stock.deployments(context(dict(os.environ)))
    assert (found.problems, "shielded" in str(found.facts)) == ((), False)


def test_doctor_opens_no_connection_and_imports_no_network_client() -> None:
    code = (
        "import sys; from planner.cli.app import run; run(['doctor', '--json']); "
        "sys.exit([m for m in ('requests', 'huggingface_hub', 'textual') if m in sys.modules] or 0)"
    )
    import subprocess

    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert done.returncode == 0
