"""What the supervisor does about engines that starve, freeze, answer nonsense, say nothing or open a door."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import psutil
import pytest

from planner.core.launch.launch_plan import ProcessPlan
from planner.core.launch.supervise import DeploymentState
from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve import deployments
from planner.serve.state import DeploymentRecord, DeploymentSpec, ProcessRecord
from tests.serve.fake_engine import SMALL_CONTEXT
from tests.serve.plans import spec
from tests.serve.test_deployments import WAIT_S, Runner, gone, until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")


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


def with_smaller(plan: DeploymentSpec, context: int = SMALL_CONTEXT) -> DeploymentSpec:
    """The deployment with a smaller plan beside each."""

    def smaller(process: ProcessPlan) -> ProcessPlan:
        return msgspec.structs.replace(process, settings=msgspec.structs.replace(process.settings, context=context))

    processes = tuple(msgspec.structs.replace(p, smaller=smaller(p.plan)) for p in plan.processes)
    return msgspec.structs.replace(plan, processes=processes)


def one(record: DeploymentRecord | None, role: Role = Role.GENERATION) -> ProcessRecord:
    assert record is not None
    return next(process for process in record.processes if process.role == role.value)


def running_again(runner: Runner, before: ProcessRecord) -> bool:
    record = runner.home().read_state()
    assert record is not None
    now = one(record, Role(before.role))
    return record.state is DeploymentState.RUNNING and now.restarts == before.restarts + 1 and now.pid != before.pid


def client(runner: Runner) -> httpx2.Client:
    record = runner.home().read_state()
    assert record is not None
    key = runner.home().read_key(runner.home().gateway_key)
    return httpx2.Client(
        base_url=record.gateway_url or "", headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=WAIT_S
    )


def test_engines_that_run_out_of_memory_come_up_with_the_smaller_plan_and_say_so(runner: Runner) -> None:
    record = runner.up(with_smaller(spec(runner.folder, "oom-unless-small")))
    assert record.state is DeploymentState.RUNNING
    for role in (Role.EMBEDDING, Role.GENERATION):
        process = one(record, role)
        assert (process.context, process.restarts) == (SMALL_CONTEXT, 1)
        assert (
            f"The {role.value} engine ran out of memory; it is started again with context {SMALL_CONTEXT} "
            "instead of 512."
        ) in record.notes


@pytest.mark.parametrize("mode", ["oom", "alloc"])
def test_an_engine_that_starves_on_the_smaller_plan_too_ends_the_start_with_need_and_have(
    runner: Runner, mode: str
) -> None:
    with pytest.raises(EngineError) as caught:
        runner.up(with_smaller(spec(runner.folder, mode)))
    assert caught.value.reference == "out-of-memory"
    record = runner.home().read_state()
    assert record is not None
    assert record.state is DeploymentState.FAILED
    assert max(process.restarts for process in record.processes) == 1


def test_without_anything_to_give_way_the_first_lack_of_memory_is_the_last(runner: Runner) -> None:
    with pytest.raises(EngineError) as caught:
        runner.up(spec(runner.folder, "oom-unless-small"))
    assert caught.value.reference == "out-of-memory"
    record = runner.home().read_state()
    assert record is not None
    assert [process.restarts for process in record.processes] == [0, 0]


def test_a_frozen_engine_is_replaced(runner: Runner) -> None:
    before = one(runner.up(spec(runner.folder)))
    assert before.pid is not None
    os.kill(before.pid, signal.SIGSTOP)
    until(lambda: running_again(runner, before), "the frozen engine is replaced")
    assert not psutil.pid_exists(before.pid)
    with client(runner) as http:
        answer = http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "Hi"}]})
    assert answer.status_code == 200


def test_a_kill_by_somebody_else_is_not_called_a_lack_of_memory(runner: Runner) -> None:
    before = one(runner.up(with_smaller(spec(runner.folder))))
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    seen: set[str] = set()

    def back() -> bool:
        seen.add(one(runner.home().read_state()).detail)
        return running_again(runner, before)

    until(back, "the killed engine is replaced")
    if sys.platform == "linux":  # elsewhere nobody counts
        assert any("killed by somebody else" in detail for detail in seen)
        assert one(runner.home().read_state()).context == before.context


@pytest.mark.parametrize("mode", ["nan", "wrong-dims"])
def test_vectors_that_turn_bad_get_the_embedder_restarted_and_no_client_sees_them(runner: Runner, mode: str) -> None:
    before = one(runner.up(spec(runner.folder, mode)), Role.EMBEDDING)
    with client(runner) as http:
        answers = [http.post("/v1/embeddings", json={"input": ["a cat"] * 8})]
        while answers[-1].status_code == 200:
            answers.append(http.post("/v1/embeddings", json={"input": ["a cat"] * 8}))
            assert len(answers) < 10
        assert answers[-1].status_code in (502, 503), answers[-1].text
        until(lambda: running_again(runner, before), "the embedder is replaced")
        assert http.post("/v1/embeddings", json={"input": "a cat"}).status_code == 200


def test_an_engine_whose_log_never_says_where_it_listens_is_found_all_the_same(runner: Runner) -> None:
    assert runner.up(spec(runner.folder, "silent")).state is DeploymentState.RUNNING


def test_an_engine_that_listens_to_others_is_ended(runner: Runner) -> None:
    with pytest.raises(EngineError) as caught:
        runner.up(spec(runner.folder, "exposed"))
    assert caught.value.reference == "engine-exposed"
    assert "which others can reach" in caught.value.message
    assert gone(runner.family())


def test_nobody_waits_for_ever_while_engines_are_killed_under_load(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    stop = threading.Event()
    codes: list[int] = []
    broken: list[str] = []

    def ask() -> None:
        with client(runner) as http:
            while not stop.is_set():
                try:
                    codes.append(http.post("/v1/embeddings", json={"input": "a cat"}).status_code)
                except httpx2.HTTPError as error:
                    broken.append(repr(error))

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for thread in clients:
        thread.start()
    try:
        before = one(record, Role.EMBEDDING)
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: running_again(runner, before), "the killed engine is replaced")
        answered = len(codes)
        until(lambda: 200 in codes[answered:], "clients get answers again")
    finally:
        stop.set()
        for thread in clients:
            thread.join(WAIT_S)
    assert not [thread for thread in clients if thread.is_alive()]
    assert broken == []
    assert set(codes) <= {200, 502, 503}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB, where the system lets us mount one."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "small"
    folder.mkdir()
    if mount is None or umount is None or sys.platform != "linux":
        pytest.skip("no tmpfs here")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("no right to mount a tmpfs")
    yield folder
    subprocess.run([umount, "-l", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is left."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def test_a_full_disk_stops_neither_what_runs_nor_a_restart(small_disk: Path, runner: Runner) -> None:
    (small_disk / "deployments").mkdir()
    (runner.folder / "deployments").symlink_to(small_disk / "deployments")
    before = one(runner.up(spec(runner.folder)))
    assert before.pid is not None
    filling = fill(small_disk)
    with client(runner) as http:
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        assert http.post("/v1/chat/completions", json=chat).status_code == 200
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: http.post("/v1/chat/completions", json=chat).status_code != 200, "the engine is gone")
        until(lambda: http.post("/v1/chat/completions", json=chat).status_code == 200, "it answers again")
        # The state could not be written; with room again it becomes true by itself.
        assert one(runner.home().read_state()).restarts == 0
        filling.unlink()
        until(lambda: running_again(runner, before), "the state is written")
    assert deployments.stop_deployment(runner.home()).state is DeploymentState.STOPPED


def test_on_a_disk_without_room_nothing_is_started(small_disk: Path, runner: Runner) -> None:
    (small_disk / "deployments").mkdir()
    (runner.folder / "deployments").symlink_to(small_disk / "deployments")
    fill(small_disk)
    with pytest.raises(OSError, match="No space left"):
        runner.up(spec(runner.folder))
    assert runner.family() == []


def test_a_supervisor_that_was_held_for_a_while_blames_no_engine(runner: Runner) -> None:
    record = runner.up(spec(runner.folder))
    supervisor = psutil.Process(runner.started[0].pid)
    supervisor.suspend()
    time.sleep(2)
    supervisor.resume()
    with client(runner) as http:
        until(lambda: http.get("/health").status_code == 200, "it answers again")
    now = runner.home().read_state()
    assert now is not None
    assert [p.pid for p in now.processes] == [p.pid for p in record.processes]
