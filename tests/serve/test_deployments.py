"""Whole deployments: a real supervisor process, a real gateway, fake engines."""

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import msgspec
import psutil
import pytest

from planner.core.launch.supervise import DeploymentState, Phase
from planner.errors import EngineError, NoResultError
from planner.serve import deployments
from planner.serve.state import DeploymentRecord, DeploymentSpec, Home
from tests.serve.plans import MEASURED_BYTES, spec

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")
WAIT_S = 60.0


class Runner:
    """Starts deployments of one test and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def home(self, name: str = "test") -> Home:
        return Home(self.folder / "deployments", name)

    def start(self, plan: DeploymentSpec, *, stall_s: float = 30.0) -> subprocess.Popen[bytes]:
        supervisor = deployments.start_supervisor(self.home(plan.name), plan, stall_s=stall_s)
        self.started.append(supervisor)
        return supervisor

    def up(self, plan: DeploymentSpec, *, stall_s: float = 30.0) -> DeploymentRecord:
        supervisor = self.start(plan, stall_s=stall_s)
        return deployments.wait_started(self.home(plan.name), supervisor, on_change=lambda _: None)

    def family(self) -> list[psutil.Process]:
        return [
            member
            for supervisor in self.started
            if supervisor.poll() is None
            for member in psutil.Process(supervisor.pid).children(recursive=True)
        ]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(tmp_path)
    yield runner
    family = runner.family()
    for supervisor in runner.started:
        deployments.stop_supervisor(supervisor)
    for member in family:
        if member.is_running():
            member.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that must come true. Fails with `what` after a minute."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {WAIT_S:.0f} s for: {what}"
        time.sleep(0.02)


def gone(processes: list[psutil.Process]) -> bool:
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_pair_runs_behind_one_gateway_and_leaves_nothing_when_stopped(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    assert record.state is DeploymentState.RUNNING
    assert [check.name for check in record.verification if not check.ok] == []
    generation = next(process for process in record.processes if process.role == "generation")
    assert generation.memory_measured_bytes == MEASURED_BYTES
    assert generation.memory_estimated_bytes == 36 * 2**20
    assert (generation.tg_estimated, generation.tg_measured) == (20.0, 50.0)
    embedding = next(process for process in record.processes if process.role == "embedding")
    assert embedding.pp_estimated == 200.0
    assert embedding.pp_measured is not None
    assert embedding.tg_measured is None

    key = Path(record.api_key_file).read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx2.Client(trust_env=False) as client:
        url = f"{record.gateway_url}/v1/embeddings"
        assert client.post(url, json={"input": "a cat"}).status_code == 401
        assert client.post(url, json={"input": "a cat"}, headers=headers).status_code == 200
        # The engines have a key of their own: the clients' does not open them.
        answer = client.post(f"{embedding.url}/v1/embeddings", json={"input": "a cat"}, headers=headers)
        assert answer.status_code == 401

    family = runner.family()
    assert len(family) == 2
    (listed,) = deployments.list_deployments(runner.folder / "deployments")
    assert listed.state is DeploymentState.RUNNING
    stopped = deployments.stop_deployment(runner.home())
    assert stopped.state is DeploymentState.STOPPED
    assert {process.state for process in stopped.processes} == {Phase.STOPPED}
    assert gone(family)
    assert runner.started[0].wait(WAIT_S) == 0
    assert deployments.list_deployments(runner.folder / "deployments") == ()


def test_files_are_for_their_owner_alone_and_the_public_form_has_no_secret(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    home = runner.home()
    for path in [home.path, *home.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    engine_key = home.read_key(home.engine_key)
    gateway_key = home.read_key(home.gateway_key)
    assert engine_key != gateway_key
    for member in [psutil.Process(runner.started[0].pid), *runner.family()]:
        assert not {engine_key, gateway_key} & set(" ".join(member.cmdline()).split())
    public = repr(record.public())
    assert engine_key not in public
    assert gateway_key not in public
    assert record.supervisor_token not in public


@pytest.mark.parametrize(
    ("mode", "reference"),
    [
        ("crash", "model-unloadable"),
        ("oom", "out-of-memory"),
        ("illegal", "engine-wrong-cpu"),
        ("short-vectors", "engine-unfit"),
        ("mute", "verification-failed"),
        ("dies-of-stream", "engine-failed"),
    ],
)
def test_a_pair_that_does_not_come_up_says_why_and_leaves_nothing(runner: Runner, mode: str, reference: str) -> None:
    with pytest.raises(EngineError) as caught:
        runner.up(spec(runner.folder, mode))
    assert caught.value.reference == reference
    assert caught.value.hint
    assert runner.started[0].wait(WAIT_S) == 6
    record = runner.home().read_state()
    assert record is not None
    assert record.state is DeploymentState.FAILED
    pids = [process.pid for process in record.processes]
    assert pids == [None, None]


def test_a_stalled_engine_ends_the_start(runner: Runner) -> None:
    with pytest.raises(EngineError, match="did not become ready"):
        runner.up(spec(runner.folder, "forever-503"), stall_s=0.7)


def test_a_flag_the_engine_refuses_despite_its_help_is_dropped_with_a_note(runner: Runner) -> None:
    record = runner.up(spec(runner.folder, "refuses-flag"))
    assert record.state is DeploymentState.RUNNING
    assert any("--offline" in note for note in record.notes)


def test_an_engine_that_crashes_is_started_again(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    before = next(process for process in record.processes if process.role == "generation")
    with httpx2.Client(trust_env=False) as client, pytest.raises(httpx2.HTTPError):
        client.post(f"{before.url}/die", json={})

    def again() -> bool:
        now = runner.home().read_state()
        assert now is not None
        process = next(p for p in now.processes if p.role == "generation")
        return now.state is DeploymentState.RUNNING and process.restarts == 1 and process.pid != before.pid

    until(again, "the engine runs again")


def test_three_crashes_in_a_minute_are_enough_and_the_rest_goes_on(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    home = runner.home()
    crashes = 0

    def given_up() -> bool:
        nonlocal crashes
        now = home.read_state()
        assert now is not None
        process = next(p for p in now.processes if p.role == "generation")
        if process.state is Phase.RUNNING and process.restarts == crashes and process.url:
            with httpx2.Client(trust_env=False) as client, pytest.raises(httpx2.HTTPError):
                client.post(f"{process.url}/die", json={})
            crashes += 1
        return process.state is Phase.FAILED

    until(given_up, "the engine is given up on")
    assert crashes == 3
    now = home.read_state()
    assert now is not None
    assert now.state is DeploymentState.DEGRADED
    headers = {"Authorization": f"Bearer {home.read_key(home.gateway_key)}"}
    with httpx2.Client(trust_env=False, base_url=now.gateway_url or "", headers=headers) as client:
        assert client.post("/v1/embeddings", json={"input": "a cat"}).status_code == 200
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        assert client.post("/v1/chat/completions", json=chat).status_code == 503
    assert deployments.stop_deployment(home).state is DeploymentState.STOPPED


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
def test_a_killed_supervisor_leaves_nothing_and_is_never_shown_as_running(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    family = runner.family()
    runner.started[0].kill()
    runner.started[0].wait(WAIT_S)
    until(lambda: gone(family), "the engines end with their supervisor")
    (listed,) = deployments.list_deployments(runner.folder / "deployments")
    assert listed.state is DeploymentState.FAILED
    assert listed.error is not None
    assert listed.error.reference == "supervisor-died"
    # The name is free again.
    assert deployments.find_running(runner.home(), request="another", plan="another") is None
    assert runner.up(spec(runner.folder)).state is DeploymentState.RUNNING


def test_leftovers_of_a_dead_supervisor_are_ended_by_the_next_start(runner: Runner, tmp_path: Path) -> None:
    plan = spec(runner.folder)
    home = runner.home()
    record = runner.up(plan)
    deployments.stop_deployment(home)
    # What a system without Linux's promise would leave: a process that carries the engine's key file as an argument.
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", str(home.engine_key)])
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        left = msgspec.structs.replace(
            record,
            processes=tuple(
                msgspec.structs.replace(process, pid=pid)
                for process, pid in zip(record.processes, (orphan.pid, stranger.pid), strict=True)
            ),
        )
        home.write_state(left)
        assert runner.up(plan).state is DeploymentState.RUNNING
        orphan.wait(WAIT_S)
        assert stranger.poll() is None
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()


def end_guard(home: Home) -> None:
    """What somebody does who kills everything with the deployment's folder in its name."""
    for process in psutil.process_iter(["cmdline"]):
        if str(home.path) == (process.info["cmdline"] or [""])[-1]:
            process.kill()
            process.wait(WAIT_S)


def test_a_killed_supervisor_leaves_nothing_that_its_engines_have_started(runner: Runner) -> None:
    runner.up(spec(runner.folder, "orphan"))
    family = runner.family()
    assert len(family) == 4
    runner.started[0].kill()
    runner.started[0].wait(WAIT_S)
    until(lambda: gone(family), "servers that engines have forked, and that ignore polite requests, end too")


def test_the_guard_goes_with_its_deployment(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    home = runner.home()

    def guards() -> list[int]:
        return [
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(home.path) == (process.info["cmdline"] or [""])[-1]
        ]

    assert len(guards()) == 1
    deployments.stop_deployment(home)
    until(lambda: not guards(), "the guard ends")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_outlives_its_engine_and_supervisor_is_ended(runner: Runner, again: bool) -> None:
    runner.up(spec(runner.folder, "orphan"))
    family = runner.family()
    end_guard(runner.home())
    runner.started[0].kill()
    runner.started[0].wait(WAIT_S)
    until(lambda: len([p for p in family if not gone([p])]) == 2, "the engines end, not what they started")
    # A session of the same user, as a stranger would have: it stays.
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        if again:
            assert runner.up(spec(runner.folder)).state is DeploymentState.RUNNING
        else:
            deployments.stop_deployment(runner.home())
        assert gone(family)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        for member in family:
            if member.is_running():
                member.kill()


def test_a_tied_deployment_ends_with_the_process_that_started_it(runner: Runner) -> None:
    runner.up(spec(runner.folder, tied=True))
    family = runner.family()
    supervisor = runner.started[0]
    assert supervisor.stdin is not None
    supervisor.stdin.close()  # what the system does when that process dies, however it dies
    assert supervisor.wait(WAIT_S) == 0
    assert gone(family)


def test_ending_a_start_leaves_nothing(runner: Runner) -> None:
    supervisor = runner.start(spec(runner.folder, "hang"))
    until(lambda: len(runner.family()) == 2, "the engines are loading")
    family = runner.family()
    supervisor.terminate()
    supervisor.wait(WAIT_S)
    assert gone(family)


def test_a_taken_port_is_an_error_that_names_the_holder(runner: Runner) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EngineError) as caught:
            runner.up(spec(runner.folder, port=port))
    assert caught.value.reference == "port-taken"
    assert f"Port {port} is taken by " in caught.value.message
    assert f"pid {os.getpid()}" in caught.value.message


def test_the_usual_port_gives_way_when_it_is_taken(runner: Runner) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        plan = msgspec.structs.replace(spec(runner.folder, port=port), port_wanted=False)
        record = runner.up(plan)
    assert record.state is DeploymentState.RUNNING
    assert record.gateway_url != f"http://127.0.0.1:{port}"
    assert any(f"Port {port} is taken" in note for note in record.notes)


def test_only_loopback_is_listened_to(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    everybody = [psutil.Process(runner.started[0].pid), *runner.family()]
    addresses = {
        connection.laddr.ip
        for member in everybody
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_the_same_wish_finds_the_running_one_and_another_is_refused(runner: Runner) -> None:
    plan = spec(runner.folder)
    record = runner.up(plan)
    home = runner.home()
    assert deployments.find_running(home, request=plan.request) == record
    assert deployments.find_running(home, request="other words", plan=plan.fingerprint) == record
    assert deployments.find_running(home, request="not planned yet") is None
    with pytest.raises(EngineError) as caught:
        deployments.find_running(home, request="other words", plan="other models")
    assert caught.value.reference == "name-taken"
    assert "planner stop test" in caught.value.hint
    with pytest.raises(EngineError, match="already running on http"):
        deployments.find_running(home, request=plan.request, port=1)


@pytest.mark.parametrize("content", ["{", '{"schema": 99}'])
def test_a_damaged_state_file_lets_no_second_supervisor_in(runner: Runner, content: str) -> None:
    plan = spec(runner.folder)
    runner.up(plan)
    home = runner.home()
    family = runner.family()
    key = home.read_key(home.engine_key)
    home.state.write_text(content)
    (listed,) = deployments.list_deployments(runner.folder / "deployments")
    assert listed.state is DeploymentState.FAILED
    for attempt in (
        lambda: deployments.find_running(home, request="another", plan="another"),
        lambda: deployments.start_supervisor(home, plan),
    ):
        with pytest.raises(EngineError) as caught:
            attempt()
        assert caught.value.reference == "deployment-held"
        assert str(runner.started[0].pid) in caught.value.message
        assert "planner stop test" in caught.value.hint
    # Nothing was touched, and the engines still run.
    assert home.read_key(home.engine_key) == key
    assert all(member.is_running() for member in family)
    assert deployments.stop_deployment(home).state is DeploymentState.STOPPED
    assert gone(family)
    assert deployments.list_deployments(runner.folder / "deployments") == ()
    assert runner.up(spec(runner.folder)).state is DeploymentState.RUNNING


def test_a_second_supervisor_in_the_same_folder_ends_at_once(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    home = runner.home()
    module = "planner.serve.supervision.supervisor"
    second = subprocess.run(
        [sys.executable, "-P", "-m", module, str(home.path), "another-token"],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert second.returncode == 6
    assert "still runs" in second.stderr
    after = home.read_state()
    assert after is not None
    assert (after.state, after.supervisor_pid) == (DeploymentState.RUNNING, record.supervisor_pid)


def test_a_supervisor_does_not_write_over_the_state_of_another(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    home = runner.home()
    foreign = msgspec.structs.replace(record, supervisor_token="another", supervisor_pid=None)
    home.write_state(foreign)
    supervisor = runner.started[0]
    supervisor.terminate()
    assert supervisor.wait(WAIT_S) == 0
    assert home.read_state() == foreign


def test_a_deployment_whose_folder_was_removed_ends(runner: Runner) -> None:
    """Nothing but its processes would tell of it: no status, no stop, and a second one could be started."""
    runner.up(spec(runner.folder))
    family = runner.family()
    shutil.rmtree(runner.home().path)
    assert runner.started[0].wait(WAIT_S) == 6
    assert gone(family)
    assert not runner.home().path.exists()


def test_a_supervisor_without_its_folder_is_found_by_its_process(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    supervisor = runner.started[0]
    family = runner.family()
    os.kill(supervisor.pid, signal.SIGSTOP)  # so that it does not see it
    home = runner.home()
    shutil.rmtree(home.path)
    with pytest.raises(EngineError) as caught:
        deployments.start_supervisor(home, spec(runner.folder))
    assert caught.value.reference == "deployment-held"
    os.kill(supervisor.pid, signal.SIGCONT)
    assert deployments.stop_deployment(home).state is DeploymentState.STOPPED
    assert gone(family)


class FullHome(Home):
    """A folder on a disk without room."""

    def write_state(self, record: DeploymentRecord) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_deployment_is_stopped_though_nothing_can_be_written(runner: Runner) -> None:
    runner.up(spec(runner.folder))
    family = runner.family()
    full = FullHome(runner.folder / "deployments", "test")
    assert deployments.stop_deployment(full).state is DeploymentState.STOPPED
    assert gone(family)
    assert deployments.list_deployments(runner.folder / "deployments") == ()


def test_stopping_what_is_not_there_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(NoResultError) as caught:
        deployments.stop_deployment(Home(tmp_path, "nothing"))
    assert caught.value.reference == "no-such-deployment"
