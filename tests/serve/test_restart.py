"""Starting a deployment again: the same plan, the same address, nothing left of the old one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from planner.core.launch.supervise import DeploymentState
from planner.errors import EngineError, NoResultError
from planner.serve import deployments
from planner.serve.restart import restart_deployment
from planner.serve.state import Door, Home
from tests.serve.plans import spec
from tests.serve.test_deployments import Runner, gone, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """Ends what was started, by whatever it was."""
    runner = Runner(tmp_path)
    yield runner
    for record in deployments.list_deployments(tmp_path / "deployments"):
        deployments.stop_deployment(Home(tmp_path / "deployments", record.name))
    for supervisor in runner.started:
        deployments.stop_supervisor(supervisor)


def test_it_runs_again_at_the_same_address_with_new_processes_and_is_detached(runner: Runner) -> None:
    before = runner.up(spec(runner.folder))
    family = runner.family()
    said: list[str] = []
    after = restart_deployment(runner.home(), tell=said.append)
    assert after.state is DeploymentState.RUNNING
    assert after.gateway_url == before.gateway_url
    assert after.supervisor_pid != before.supervisor_pid
    assert (after.request, after.fingerprint) == (before.request, before.fingerprint)
    assert gone(family)
    assert said[:2] == ["stopping “test” …", "starting it again …"]
    assert "generation: running" in said
    assert not runner.home().read_plan().tied


def test_one_that_is_open_to_others_keeps_the_ports_that_they_and_this_machine_know(runner: Runner) -> None:
    opened = msgspec.structs.replace(spec(runner.folder), door=Door(host="127.0.0.2"))
    before = runner.up(opened)
    after = restart_deployment(runner.home(), tell=lambda _: None)
    assert before.public_url is not None
    assert (after.public_url, after.gateway_url) == (before.public_url, before.gateway_url)


@pytest.mark.parametrize("engines", [1, 2])
def test_engines_without_a_gateway_keep_their_ports(runner: Runner, engines: int) -> None:
    whole = spec(runner.folder)
    before = runner.up(msgspec.structs.replace(whole, processes=whole.processes[:engines], door=Door(gateway=False)))
    after = restart_deployment(runner.home(), tell=lambda _: None)
    urls = [process.url for process in before.processes]
    assert None not in urls
    assert [process.url for process in after.processes] == urls


def test_who_stops_listening_does_not_leave_it_between_its_end_and_its_start(runner: Runner) -> None:
    runner.up(spec(runner.folder))

    def tell(text: str) -> None:
        if "starting" in text:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        restart_deployment(runner.home(), tell=tell)
    until(lambda: _state(runner) is DeploymentState.RUNNING, "the deployment")


def _state(runner: Runner) -> DeploymentState | None:
    record = runner.home().read_state()
    return None if record is None else record.state


def test_what_crashed_runs_again_without_being_stopped_first(runner: Runner) -> None:
    before = runner.up(spec(runner.folder))
    assert before.supervisor_pid is not None
    psutil.Process(before.supervisor_pid).kill()
    runner.started[0].wait()
    (listed,) = deployments.list_deployments(runner.folder / "deployments")
    assert listed.state is DeploymentState.FAILED
    assert restart_deployment(runner.home(), tell=lambda _: None).state is DeploymentState.RUNNING


def test_nothing_is_stopped_for_a_start_that_cannot_succeed(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    model = Path(runner.home().read_plan().processes[0].model_path)
    model.rename(model.with_suffix(".away"))
    with pytest.raises(EngineError) as error:
        restart_deployment(runner.home(), tell=lambda _: None)
    assert error.value.reference == "file-gone"
    (listed,) = deployments.list_deployments(runner.folder / "deployments")
    assert listed.state is DeploymentState.RUNNING


def test_without_a_plan_there_is_nothing_to_start(tmp_path: Path) -> None:
    with pytest.raises(NoResultError) as error:
        restart_deployment(Home(tmp_path, "none"), tell=lambda _: None)
    assert error.value.reference == "no-plan"


def test_as_a_program_it_answers_with_the_deployment_or_the_error(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    command = [sys.executable, "-P", "-m", "planner.serve.restart"]
    found = subprocess.run([*command, str(runner.home().path)], capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["deployment"]["state"] == "running"
    assert "starting it again" in found.stderr
    until(lambda: deployments.list_deployments(runner.folder / "deployments") != (), "the deployment")
    lost = subprocess.run([*command, str(runner.folder / "other")], capture_output=True, text=True, check=False)
    assert lost.returncode == 6
    assert json.loads(lost.stdout)["error"]["reference"] == "no-plan"
