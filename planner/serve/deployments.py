"""Starting, finding and ending deployments from another process: what `up`, `status` and `stop` (and the app) use."""

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import filelock
import msgspec
import psutil

from planner.core.launch.launch_plan import LaunchPlan, ProcessPlan
from planner.core.launch.supervise import DeploymentState, Phase
from planner.errors import EngineError, NoResultError
from planner.serve.engine.engines import Engine
from planner.serve.state import (
    ENDED,
    DeploymentRecord,
    DeploymentSpec,
    Door,
    Home,
    ProcessSpec,
    is_name,
    observed,
    supervisor_alive,
    unreadable_record,
)
from planner.serve.supervision.claim import CLAIM_WAIT_S, SUPERVISOR, held_error, is_claimed, supervisors
from planner.serve.supervision.leftovers import end_leftovers_of
from planner.serve.supervision.log_file import open_log

_POLL_S = 0.05
_WATCH_S = 0.2
_STOP_DEADLINE_S = 30.0
_LOCK_DEADLINE_S = 30.0
_REAP_S = 2.0
_LEAST_FREE_BYTES = 64 * 2**10
"""A disk with less cannot take a state file beside the old one."""

_PRIVATE = Door()

OnChange = Callable[[DeploymentRecord], None]


def fingerprint(plan: LaunchPlan, door: Door = _PRIVATE) -> str:
    """Equal for plans that serve the same models to the same clients in the same way.

    Where the layers lie and what was estimated is left out: it moves with the memory that happens to be free.
    """
    facts: list[object] = [
        (p.role.value, p.model.id, p.variant.quant, p.settings.context, p.settings.parallel, p.settings.kv_type_k)
        for p in plan.processes
    ]
    if door != _PRIVATE:
        facts.append(door)
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def make_spec(
    plan: LaunchPlan,
    *,
    paths: Sequence[Path],
    engine: Engine,
    request: str,
    port: int,
    port_wanted: bool,
    tied: bool,
    known_models: Sequence[str] = (),
    smaller: Sequence[ProcessPlan | None] = (),
    door: Door = _PRIVATE,
) -> DeploymentSpec:
    """What a supervisor needs to know; `paths` are the verified model files in the plan's order.

    `smaller` are the plans for processes that run out of memory, in the same order; none at all when it is empty.
    """
    fallbacks = smaller or (None,) * len(plan.processes)
    return DeploymentSpec(
        name=plan.name,
        supervisor_token=secrets.token_hex(16),
        request=request,
        fingerprint=fingerprint(plan, door),
        engine=engine,
        processes=tuple(
            ProcessSpec(plan=process, model_path=str(path.absolute()), smaller=fallback)
            for process, path, fallback in zip(plan.processes, paths, fallbacks, strict=True)
        ),
        port=port,
        port_wanted=port_wanted,
        tied=tied,
        known_models=tuple(known_models),
        door=door,
    )


def list_deployments(deployments_dir: Path) -> tuple[DeploymentRecord, ...]:
    """Every deployment that was not stopped, as it is now.

    One whose supervisor died says `failed`, and so does one whose state cannot be read.
    """
    records = (_record_of(Home(deployments_dir, name)) for name in _names(deployments_dir))
    current = (observed(record) for record in records if record is not None)
    return tuple(record for record in current if record.state is not DeploymentState.STOPPED)


def find_running(home: Home, *, request: str = "", plan: str = "", port: int = 0) -> DeploymentRecord | None:
    """The deployment that already runs under this name, if it is the one asked for; None if the name is free.

    It is the same when the request or the plan is (`request`, `plan`: either may be unknown), on the same port if one
    is asked for. Raises EngineError `name-taken` when another one has the name, `deployment-held` when
    something runs here that its state file does not tell.
    """
    record = home.read_state()
    if record is None and home.state_problem() and is_claimed(home):
        raise held_error(home)
    if record is None or not supervisor_alive(record) or record.state in ENDED:
        return None
    same_plan = (bool(request) and record.request == request) or (bool(plan) and record.fingerprint == plan)
    urls = (record.public_url or record.gateway_url, *(p.url for p in record.processes if not record.gateway_url))
    same_port = not port or any((url or "").endswith(f":{port}") for url in urls)
    if same_plan and same_port:
        return record
    if not plan and not same_plan:
        return None  # not known yet: ask again once it is planned
    models = " + ".join(process.model for process in record.processes)
    difference = (
        f"on {record.public_url or record.gateway_url}" if same_plan else f"with other models or settings ({models})"
    )
    raise EngineError(
        f"A deployment named “{home.name}” is already running {difference}.",
        hint=f"Stop it first: planner stop {home.name}. Or run both: --name OTHER.",
        reference="name-taken",
    )


@contextlib.contextmanager
def locked(home: Home) -> Iterator[None]:
    """Nobody else starts or stops this deployment meanwhile. Raises EngineError when somebody does for too long."""
    home.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = filelock.FileLock(home.lock, mode=0o600)
    try:
        lock.acquire(timeout=_LOCK_DEADLINE_S)
    except filelock.Timeout as error:
        raise EngineError(
            f"Another planner has been starting or stopping “{home.name}” for more than {_LOCK_DEADLINE_S:.0f} s.",
            hint="Wait for it, or choose another --name.",
            reference="deployment-busy",
        ) from error
    try:
        yield
    finally:
        lock.release()


def start_supervisor(home: Home, spec: DeploymentSpec, *, stall_s: float | None = None) -> subprocess.Popen[bytes]:
    """Start the deployment's supervisor in a session of its own; call under `locked`, then `wait_started`.

    A tied one ends when the returned process' stdin is closed. What an earlier one left behind is ended first.
    Raises EngineError while another supervisor lives in the folder.
    """
    if is_claimed(home, wait_s=CLAIM_WAIT_S):
        raise held_error(home)
    if (old := home.read_state()) is not None:
        end_leftovers_of(home, old)
    home.make()
    home.state.unlink(missing_ok=True)
    for log_file in home.log("supervisor").parent.glob("*.log*"):
        log_file.unlink(missing_ok=True)
    home.write_plan(spec)
    extra = [] if stall_s is None else [str(stall_s)]
    log = open_log(home.log("supervisor"))
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", SUPERVISOR, str(home.path), spec.supervisor_token, *extra],
            stdin=subprocess.PIPE if spec.tied else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.path,
            start_new_session=True,
        )
    finally:
        os.close(log)


def wait_started(home: Home, supervisor: subprocess.Popen[bytes], *, on_change: OnChange) -> DeploymentRecord:
    """Wait until the deployment runs, telling every change on the way. Raises EngineError when it does not start.

    There is no deadline here: the supervisor has one for everything it waits for, and its death is seen.
    """
    last: DeploymentRecord | None = None
    while True:
        exited = supervisor.poll() is not None
        record = home.read_state()
        if record is not None and record != last:
            last = record
            on_change(record)
        if record is not None and record.state in (DeploymentState.RUNNING, DeploymentState.DEGRADED):
            return record
        if exited:
            raise failure_of(home, record)
        time.sleep(_POLL_S)


def wait_claimed(home: Home, supervisor: subprocess.Popen[bytes]) -> None:
    """Wait until the supervisor has written its first state, or is gone: from then on others see the name taken."""
    while home.read_state() is None and supervisor.poll() is None:
        time.sleep(_POLL_S)


def wait_ended(home: Home, supervisor: subprocess.Popen[bytes], *, on_change: OnChange) -> DeploymentRecord | None:
    """Wait until the supervisor is gone, telling every change on the way; the last state it wrote."""
    last: DeploymentRecord | None = None
    while supervisor.poll() is None:
        record = home.read_state()
        if record is not None and record != last:
            last = record
            on_change(record)
        time.sleep(_WATCH_S)
    record = home.read_state()
    return observed(record) if record is not None else None


def let_go(supervisor: subprocess.Popen[bytes]) -> None:
    """Leave a detached supervisor to itself: it outlives this process, which will not wait for it."""
    supervisor.returncode = 0


def failure_of(home: Home, record: DeploymentRecord | None) -> EngineError:
    """Why a deployment is no longer there, as an error."""
    error = record.error if record is not None else None
    if error is not None:
        return EngineError(error.message, hint=error.hint, reference=error.reference)
    if record is not None and record.state is DeploymentState.STOPPED:
        return EngineError(f"“{home.name}” was stopped from elsewhere.", reference="stopped")
    if _is_full(home.path):
        return EngineError(
            f"The disk that holds {home.path} is full: neither state nor log could be written.",
            hint="Free some space there, or set state_dir in config.toml.",
            reference="no-space",
        )
    return EngineError(
        f"The supervisor of “{home.name}” ended without a word.",
        hint=f"Its log: {home.log('supervisor')}",
        reference="supervisor-died",
    )


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _LEAST_FREE_BYTES
    except OSError:
        return False


def stop_deployment(home: Home) -> DeploymentRecord:
    """End a deployment and everything it started; waits until nothing is left.

    Raises NoResultError when there is none, EngineError when its supervisor cannot be ended.
    """
    record = home.read_state()
    if (record is None or record.state is DeploymentState.STOPPED) and (home.state_problem() or is_claimed(home)):
        return _stop_unknown(home)
    if record is None or record.state is DeploymentState.STOPPED:
        raise NoResultError(
            f"There is no deployment named “{home.name}”.",
            hint="planner status lists what runs.",
            reference="no-such-deployment",
        )
    if supervisor_alive(record) and record.supervisor_pid is not None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(record.supervisor_pid)
            process.send_signal(signal.SIGTERM)
            _wait_gone(record, _STOP_DEADLINE_S)
            if supervisor_alive(record):
                process.kill()
                _wait_gone(record, _STOP_DEADLINE_S)
            _wait_reaped(process)
        record = home.read_state() or record
    return _write_stopped(home, record)


def _stop_unknown(home: Home) -> DeploymentRecord:
    """End a deployment whose state does not tell what runs: its supervisor, whose engines end with it."""
    found = supervisors(home)
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=_STOP_DEADLINE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_STOP_DEADLINE_S)
    if is_claimed(home, wait_s=CLAIM_WAIT_S):
        raise held_error(home)
    return _write_stopped(home, home.read_state() or msgspec.structs.replace(unreadable_record(home, ""), error=None))


def _write_stopped(home: Home, record: DeploymentRecord) -> DeploymentRecord:
    end_leftovers_of(home, record)
    stopped = msgspec.structs.replace(
        record,
        state=DeploymentState.STOPPED,
        processes=tuple(
            msgspec.structs.replace(p, state=Phase.STOPPED, pid=None, url=None) for p in record.processes
        ),
    )
    try:
        home.write_state(stopped)
    except OSError:
        # A full disk: all has ended, and without a state file nothing is taken for running either.
        home.state.unlink(missing_ok=True)
    return stopped


def stop_supervisor(supervisor: subprocess.Popen[bytes]) -> None:
    """End a supervisor this process started, and wait for it; its engines end with it."""
    if supervisor.stdin is not None:
        with contextlib.suppress(OSError):
            supervisor.stdin.close()
    if supervisor.poll() is None:
        supervisor.terminate()
    try:
        supervisor.wait(_STOP_DEADLINE_S)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()


def end_leftovers(home: Home) -> None:
    """End engines of this deployment that outlived their supervisor (where the system lets them)."""
    if (record := home.read_state()) is not None and not supervisor_alive(record):
        end_leftovers_of(home, record)


def _names(deployments_dir: Path) -> list[str]:
    try:
        found = sorted(p.parent.name for p in deployments_dir.glob("*/state.json"))
    except OSError:
        return []
    return [name for name in found if is_name(name)]


def _record_of(home: Home) -> DeploymentRecord | None:
    record, problem = home.read_state(), home.state_problem()
    return unreadable_record(home, problem) if record is None and problem else record


def _wait_gone(record: DeploymentRecord, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while supervisor_alive(record) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _wait_reaped(process: psutil.Process) -> None:
    """Give its parent, as a rule the system's first process, a moment to clear it from the process list."""
    deadline = time.monotonic() + _REAP_S
    while process.is_running() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
