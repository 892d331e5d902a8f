"""Profiles and files for starting at login: saved from what runs, and started again exactly so."""

import json
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from planner.core.launch.launch_plan import EngineKind
from planner.errors import BadDataError, UsageError
from planner.serve.at_login import kept_environment, launchd_plist, systemd_unit
from planner.serve.profile import profile_of, read_profile, write_profile
from tests.cli.test_up import Shell, pids_of, shell  # noqa: F401  # the fixture
from tests.serve.plans import spec

ODD = ("/opt/odd place/py%thon", "-m", "planner", 'say "hi" $HOME', "back\\slash")


def test_a_profile_comes_back_as_it_was_and_names_no_program_and_no_place(tmp_path: Path) -> None:
    saved = profile_of(spec(tmp_path, port=9000))
    assert saved.port == 9000
    path = tmp_path / "deep/work.json"
    write_profile(path, saved)
    text = path.read_text()
    assert str(tmp_path) not in text
    assert saved.plan.processes[0].model.id in text
    for secret in ("token", "key", "binary"):
        assert f'"{secret}"' not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not a profile"),
        ("[]", "not a profile"),
        ("[" * 100_000, "not a profile"),
        ('{"plan": {"name": "x", "processes": []}, "engine": "embedded"}', "at least one"),
        ('{"plan": {"name": "../x", "processes": []}, "engine": "embedded"}', "its name"),
        ('{"plan": {"name": "x", "processes": []}, "engine": "/bin/evil"}', "/bin/evil"),
        ('{"plan": {"name": "x", "processes": []}, "engine": "embedded", "schema": 9}', "schema 9"),
    ],
)
def test_what_is_no_profile_says_so(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "work.json"
    path.write_text(content)
    with pytest.raises(BadDataError) as caught:
        read_profile(path)
    assert words in caught.value.message
    assert caught.value.hint
    with pytest.raises(UsageError):
        read_profile(tmp_path / "nothing")


def test_the_unit_keeps_every_word_as_it_is(tmp_path: Path) -> None:
    environ = kept_environment({"XDG_STATE_HOME": "/s 100%", "HF_TOKEN": "hf_secret", "XDG_DATA_HOME": ""})
    assert environ == {"XDG_STATE_HOME": "/s 100%"}
    text = systemd_unit("work", ODD, environ=environ, serves="a 100% model\n[Service]")
    assert 'ExecStart="/opt/odd place/py%%thon" "-m" "planner" "say \\"hi\\" $$HOME" "back\\\\slash"' in text
    assert 'Environment="XDG_STATE_HOME=/s 100%%"' in text
    assert text.count("\n[Service]\n") == 1
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        unit = tmp_path / "planner-work.service"
        unit.write_text(systemd_unit("work", [sys.executable, *ODD[1:]], environ=environ, serves="a model"))
        done = subprocess.run(
            [analyze, "--user", "verify", unit],
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_the_property_list_says_the_same() -> None:
    text = launchd_plist("work", ODD, environ={"XDG_STATE_HOME": "/s"}, log=Path("/s/work.log"))
    body = plistlib.loads(text.encode())
    assert body["Label"] == "org.planner.work"
    assert tuple(body["ProgramArguments"]) == ODD
    assert body["KeepAlive"] == {"SuccessfulExit": False}
    assert body["EnvironmentVariables"] == {"XDG_STATE_HOME": "/s"}


def test_a_saved_deployment_is_started_again_exactly_so(shell: Shell) -> None:  # noqa: F811  # the fixture
    first = shell.json(*shell.up(), "--detach", "--name", "work")["deployment"]
    assert shell.json("status", "--save-profile", "work.json")["name"] == "work"
    # The same is running: it is not started twice.
    options = ("--engine-path", str(shell.engine), "--engine", "llama-server", "--catalog", "models.json")
    again = shell.json("up", "--profile", "work.json", "--detach", *options)["deployment"]
    assert again["supervisor_pid"] == first["supervisor_pid"]
    shell.json("stop", "work")
    back = shell.json("up", "--profile", "work.json", "--detach", *options)["deployment"]
    assert back["name"] == "work"
    same = ("role", "engine", "engine_version", "model", "variant", "context", "memory_estimated_bytes")
    assert [[p[name] for name in same] for p in back["processes"]] == [
        [p[name] for name in same] for p in first["processes"]
    ]
    for more in (("--starter",), ("test/tiny-writer",), ("--context", "512")):
        assert shell.run("up", "--profile", "work.json", *more).returncode == 2


def test_the_printed_service_starts_the_same(shell: Shell) -> None:  # noqa: F811  # the fixture
    assert shell.run("service", "work").returncode == 3
    first = shell.json(*shell.up(), "--detach", "--name", "work")["deployment"]
    made = shell.json("service", "work", "--format", "systemd", "--install")["service"]
    assert Path(made["path"]).read_text() == made["text"]
    assert made["enable"][1][-1] == "planner-work.service"
    key = Path(first["api_key_file"]).read_text().strip()
    assert key not in made["text"] + Path(made["profile"]).read_text()
    shell.json("stop", "work")
    line = next(line for line in made["text"].splitlines() if line.startswith("ExecStart="))
    command = shlex.split(line.removeprefix("ExecStart="))
    assert command[:4] == [sys.executable, "-P", "-m", "planner"]
    assert command[command.index("--engine-path") + 1] == str(shell.engine)
    folder = next(line for line in made["text"].splitlines() if line.startswith("WorkingDirectory="))
    done = subprocess.run(
        [*command, "--detach", "--json"],
        cwd=folder.partition("=")[2], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    back = json.loads(done.stdout)["deployment"]
    assert back["name"] == "work"
    assert [p["model"] for p in back["processes"]] == [p["model"] for p in first["processes"]]
    assert pids_of(back) != pids_of(first)
    plist = shell.json("service", "work", "--format", "launchd")["service"]
    assert plistlib.loads(plist["text"].encode())["ProgramArguments"] == command
    assert not plist["installed"]


def test_the_kind_of_the_engine_is_saved(tmp_path: Path) -> None:
    assert profile_of(spec(tmp_path)).engine is EngineKind.LLAMA_SERVER
