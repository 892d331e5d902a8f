"""State files: names, rights, liveness, and what a crash leaves behind."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from planner.core.launch.supervise import DeploymentState, Phase
from planner.errors import BadDataError, UsageError
from planner.files import replace_file
from planner.serve.deployments import list_deployments
from planner.serve.state import DeploymentRecord, Home, observed, process_matches
from planner.serve.supervision.log_file import LogReader, log_tail, open_log, rotate
from planner.serve.supervision.records import first_record
from tests.serve.plans import spec


def record(folder: Path, **changes: object) -> DeploymentRecord:
    home = Home(folder / "deployments", "test")
    made = first_record(spec(folder), home, supervisor_pid=os.getpid(), create_time=None, started_at="")
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "x\n", "é", "a" * 64, "a\\b", "x."])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        Home(tmp_path, name)


def test_a_plan_and_a_state_come_back_as_they_were(tmp_path: Path) -> None:
    home = Home(tmp_path / "deployments", "test")
    home.make()
    plan = spec(tmp_path)
    home.write_plan(plan)
    assert home.read_plan() == plan
    state = record(tmp_path)
    home.write_state(state)
    assert home.read_state() == state
    assert stat.S_IMODE(home.state.stat().st_mode) == 0o600


def test_the_clients_key_survives_a_restart_and_the_engines_key_does_not(tmp_path: Path) -> None:
    home = Home(tmp_path, "test")
    home.make()
    gateway, engine = home.read_key(home.gateway_key), home.read_key(home.engine_key)
    assert len(gateway) >= 32
    home.make()
    assert home.read_key(home.gateway_key) == gateway
    assert home.read_key(home.engine_key) != engine


@pytest.mark.skipif(os.name == "nt", reason="rights are another thing there")
def test_a_key_that_others_may_read_is_closed_at_the_next_start(tmp_path: Path) -> None:
    home = Home(tmp_path, "test")
    home.make()
    key = home.read_key(home.gateway_key)
    home.gateway_key.chmod(0o644)
    home.make()
    assert stat.S_IMODE(home.gateway_key.stat().st_mode) == 0o600
    assert home.read_key(home.gateway_key) == key


@pytest.mark.parametrize("content", ["short", "with \x07 a bell in it"])
def test_a_key_that_is_none_is_an_error_that_names_its_file(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path, "test")
    home.make()
    home.gateway_key.write_text(content)
    with pytest.raises(BadDataError) as caught:
        home.make()
    assert str(home.gateway_key) in caught.value.message
    assert content not in caught.value.message


def test_an_interrupted_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")
    with pytest.raises(TypeError):
        replace_file(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert not list(tmp_path.glob(".state.json.*"))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 3}', "\x00\xff"])
def test_a_broken_state_file_is_shown_as_such_and_hides_no_other(tmp_path: Path, content: str) -> None:
    home = Home(tmp_path, "test")
    home.make()
    home.state.write_text(content)
    home.plan.write_text(content)
    assert home.read_state() is None
    other = Home(tmp_path, "zother")
    other.make()
    other.write_state(record(tmp_path, name="zother"))
    shown, second = list_deployments(tmp_path)
    assert (shown.name, shown.state, second.name) == ("test", DeploymentState.FAILED, "zother")
    assert shown.error is not None
    assert str(home.state) in shown.error.message
    assert "planner stop test" in shown.error.hint
    with pytest.raises(BadDataError):
        home.read_plan()


def test_a_state_of_another_schema_is_not_taken_for_ours(tmp_path: Path) -> None:
    home = Home(tmp_path, "test")
    home.make()
    home.write_state(record(tmp_path, schema=99))
    assert home.read_state() is None
    (shown,) = list_deployments(tmp_path)
    assert shown.error is not None
    assert "schema 99" in shown.error.message


def test_a_folder_that_no_deployment_can_be_called_is_passed_over(tmp_path: Path) -> None:
    home = Home(tmp_path, "test")
    home.make()
    home.write_state(record(tmp_path))
    copy = tmp_path / "my copy"
    copy.mkdir()
    (copy / "state.json").write_bytes(home.state.read_bytes())
    assert [found.name for found in list_deployments(tmp_path)] == ["test"]


def test_no_folder_at_all_is_no_deployment(tmp_path: Path) -> None:
    assert list_deployments(tmp_path / "nothing") == ()


def test_a_record_whose_supervisor_is_gone_is_failed(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    state = record(tmp_path, state=DeploymentState.RUNNING, supervisor_pid=done.pid, supervisor_create_time=1.0)
    seen = observed(state)
    assert seen.state is DeploymentState.FAILED
    assert {process.state for process in seen.processes} == {Phase.FAILED}
    assert seen.error is not None
    assert seen.error.hint


def test_another_process_with_the_same_number_is_not_ours(tmp_path: Path) -> None:
    me = os.getpid()
    born = psutil.Process(me).create_time()
    # Its arguments are readable and do not carry the token.
    assert not process_matches(me, create_time=born, marker="a-token-nobody-has")
    assert process_matches(me, create_time=born, marker="")
    assert not process_matches(me, create_time=born - 3600, marker="")
    assert not process_matches(None, create_time=None, marker="x")
    assert not process_matches(-1, create_time=None, marker="x")
    state = record(tmp_path, state=DeploymentState.RUNNING, supervisor_pid=me, supervisor_create_time=born)
    assert observed(state).state is DeploymentState.FAILED


@pytest.mark.skipif(sys.platform != "linux", reason="process 1 is not ours, and its arguments are readable on Linux")
def test_without_a_time_of_birth_nothing_without_arguments_is_ours() -> None:
    init = psutil.Process(1)
    assert not process_matches(1, create_time=None, marker="")
    assert process_matches(1, create_time=init.create_time(), marker="")
    assert not process_matches(1, create_time=init.create_time() + 60, marker="")


@pytest.mark.parametrize("state", [DeploymentState.STOPPED, DeploymentState.FAILED, DeploymentState.RUNNING])
def test_an_ended_deployment_shows_no_address_and_no_process(tmp_path: Path, state: DeploymentState) -> None:
    made = record(tmp_path, state=state, gateway_url="http://127.0.0.1:8484", gateway_pid=5, supervisor_pid=5)
    processes = tuple(
        msgspec.structs.replace(process, pid=7, url="http://127.0.0.1:9", state=Phase.RUNNING)
        for process in made.processes
    )
    shown = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(made, processes=processes).public()))
    seen = [shown["gateway_url"], shown["gateway_pid"], shown["supervisor_pid"]]
    seen += [process[key] for process in shown["processes"] for key in ("pid", "url")]
    assert {value is None for value in seen} == {state is not DeploymentState.RUNNING}


def test_a_process_that_was_given_up_on_shows_no_address_while_the_rest_runs(tmp_path: Path) -> None:
    made = record(tmp_path, state=DeploymentState.DEGRADED)
    lost, other = (msgspec.structs.replace(process, pid=7, url="http://127.0.0.1:9") for process in made.processes)
    lost = msgspec.structs.replace(lost, state=Phase.FAILED)
    shown = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(made, processes=(lost, other)).public()))
    assert [process["pid"] for process in shown["processes"]] == [None, 7]
    assert [process["url"] for process in shown["processes"]] == [None, "http://127.0.0.1:9"]


def test_what_was_stopped_stays_stopped(tmp_path: Path) -> None:
    state = record(tmp_path, state=DeploymentState.STOPPED)
    assert observed(state) is state


def test_a_log_reader_follows_growth_cuts_and_endless_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    reader = LogReader(path)
    assert reader.read() == []
    log = open_log(path)
    try:
        os.write(log, b"one\ntwo\nthr")
        assert reader.read() == ["one", "two"]
        os.write(log, b"ee\n\xff\n")
        assert reader.read() == ["three", "\ufffd"]
        os.write(log, b"x" * 200_000)
        assert [len(line) for line in reader.read()] == [65536]
        assert rotate(path, max_bytes=1000)
        assert not rotate(path, max_bytes=1000)
        os.write(log, b"after\n")
        assert reader.read() == ["after"]
    finally:
        os.close(log)
    assert stat.S_IMODE(path.with_name("x.log.1").stat().st_mode) == 0o600
    assert log_tail(path, 5) == ["after"]
    assert log_tail(tmp_path / "none", 5) == []
