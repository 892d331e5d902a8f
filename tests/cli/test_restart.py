"""`planner restart` as a person runs it: real processes, a fake engine, tiny models."""

import json
import os
import signal
import sys

import psutil
import pytest

from tests.cli.test_up import Shell, alive, pids_of, shell, until

__all__ = ["shell"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")
REST = ("gateway_url", "api_key_file", "request", "fingerprint")


def test_what_runs_is_replaced_at_the_same_address_with_the_same_key(shell: Shell) -> None:
    before = shell.json(*shell.up(), "--detach")["deployment"]
    done = shell.run("restart", "--json")
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)["deployment"]
    assert after["state"] == "running"
    assert [after.get(name) for name in REST] == [before.get(name) for name in REST]
    assert alive(pids_of(before)) == []
    assert alive(pids_of(after)) == pids_of(after)
    assert "stopping “default”" in done.stderr
    assert "generation: ready" in done.stderr
    (listed,) = shell.json("status")["deployments"]
    assert listed["supervisor_pid"] == after["supervisor_pid"]


def test_one_that_was_stopped_is_started_by_its_name_and_found_again_by_up(shell: Shell) -> None:
    shell.json(*shell.up(), "--detach")
    shell.json("stop")
    unnamed = shell.run("restart", "--json")
    assert unnamed.returncode == 3
    assert json.loads(unnamed.stdout)["error"]["reference"] == "not-running"
    named = shell.run("restart", "default")
    assert named.returncode == 0, named.stderr
    assert "Running: http://127.0.0.1" in named.stdout
    assert "API key: " in named.stdout
    (listed,) = shell.json("status")["deployments"]
    assert shell.json(*shell.up(), "--detach")["deployment"]["supervisor_pid"] == listed["supervisor_pid"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there the engines end with their supervisor at once")
def test_the_only_one_that_failed_is_meant_where_none_runs(shell: Shell) -> None:
    before = shell.json(*shell.up(), "--detach")["deployment"]
    psutil.Process(before["supervisor_pid"]).kill()
    until(lambda: shell.json("status")["deployments"][0]["state"] == "failed", "that it is noticed")
    assert shell.json("restart")["deployment"]["state"] == "running"


def test_a_foreground_command_hears_of_it_and_what_was_started_again_outlives_it(shell: Shell) -> None:
    command = shell.begin(*shell.up())
    until(lambda: [d["state"] for d in shell.json("status")["deployments"]] == ["running"], "the pair")
    after = shell.json("restart")["deployment"]
    _, said = command.communicate(timeout=60)
    assert command.returncode == 0
    assert "Stopped from elsewhere" in said
    assert alive(pids_of(after)) == pids_of(after)


def test_nothing_is_stopped_where_a_file_is_gone_and_wrong_names_and_several_are_told(shell: Shell) -> None:
    none = shell.run("restart", "other", "--json")
    assert none.returncode == 3
    assert json.loads(none.stdout)["error"]["reference"] == "no-such-deployment"
    first = shell.json(*shell.up(), "--detach")["deployment"]
    shell.json(*shell.up("test/tiny-embedder", "test/other-writer"), "--name", "second", "--detach")
    several = shell.run("restart", "--json")
    assert several.returncode == 2
    assert json.loads(several.stdout)["error"]["reference"] == "which-deployment"
    (shell.folder / "tiny-writer.gguf").rename(shell.folder / "away.gguf")
    gone = shell.run("restart", "default", "--json")
    assert gone.returncode == 6
    assert json.loads(gone.stdout)["error"]["reference"] == "file-gone"
    assert alive(pids_of(first)) == pids_of(first)


def test_an_interrupted_restart_leaves_nothing_that_nobody_knows_of(shell: Shell) -> None:
    before = shell.json(*shell.up(), "--detach")["deployment"]
    command = shell.begin("restart")
    until(lambda: not alive(pids_of(before)), "the end of the old one")
    code, _, _ = shell.end(command, signal.SIGINT)
    assert code in (0, 130)
    shell.run("stop", "--all")
    left = [p for p in psutil.process_iter(["cmdline"]) if str(shell.folder) in " ".join(p.info["cmdline"] or ())]
    assert left == []
