"""The supervisor: one process per deployment that owns the gateway and the engines, and leaves none behind.

`python -P -m planner.serve.supervision.supervisor FOLDER TOKEN` runs the plan in that folder and keeps its state file
true. Decisions are `core.launch.supervise.step`; this module turns processes and time into events, and actions into
processes. It ends on SIGTERM, SIGINT, SIGHUP and, when tied to the process that started it, at the end of its stdin.
"""

import asyncio
import contextlib
import datetime as dt
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from planner.core.launch import supervise
from planner.core.launch.smaller import need_against_have
from planner.core.launch.supervise import DeploymentState, Phase
from planner.core.models.model import Role
from planner.errors import EngineError, PlannerError
from planner.serve.engine.environment import system_config_file
from planner.serve.engine.failure import LaunchError
from planner.serve.engine.memory_report import MemoryReport
from planner.serve.gateway.front import Front, open_front, opens
from planner.serve.gateway.upstream import RoleState, Upstream, Upstreams
from planner.serve.proof.differences import difference_notes, others_busy
from planner.serve.proof.verify import VerifyReport, verify
from planner.serve.state import DeploymentSpec, ErrorRecord, Home
from planner.serve.supervision.account import Account, say
from planner.serve.supervision.claim import claim
from planner.serve.supervision.crew import Crew
from planner.serve.supervision.family import create_time
from planner.serve.supervision.process import STALL_S, EngineProcess
from planner.serve.supervision.records import (
    ESSENTIAL_CHECKS,
    WITHOUT_GATEWAY,
    direct_report,
    first_record,
    planned_record,
    ready_record,
    verified_record,
)

EXIT_FAILED = 6
_TICK_S = 0.5
_CALM_TICK_S = 5.0
"""While everything runs and nothing is due: whatever happens then is an event, and ends the wait."""
_HEALTH_EVERY_S = 5.0
_SUSPECT_EVERY_S = 1.0
_SETTLE_S = 1.0
_ENDED = (Phase.STOPPED, Phase.FAILED)

Verify = Callable[[str, str, Collection[Role]], VerifyReport]


class Supervisor:
    """Runs one deployment from its plan until it ends."""

    def __init__(
        self, home: Home, spec: DeploymentSpec, *, stall_s: float = STALL_S, verify: Verify = verify
    ) -> None:
        self._home = home
        self._spec = spec
        self._verify = verify
        self._models = {process.plan.role: process.plan.model for process in spec.processes}
        shrinkable = {process.plan.role for process in spec.processes if process.smaller is not None}
        self._machine = supervise.begin(tuple(self._models), can_shrink=shrinkable)
        self._events: asyncio.Queue[supervise.Event] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: PlannerError | None = None
        self._ends: dict[Role, LaunchError] = {}
        self._verifying = False
        self._proven_lives: int | None = None
        self._upstreams = Upstreams(on_restart=lambda: self._events.put_nowait(supervise.Ticked()))
        self._answering: dict[Role, Upstream] = {}
        self._buffers: dict[Role, MemoryReport] = {}
        first = first_record(
            spec, home, supervisor_pid=os.getpid(), create_time=create_time(os.getpid()), started_at=_now()
        )
        self._account = Account(home, first)
        self._crew = Crew(home, spec, stall_s=stall_s, on_started=self._started, on_note=self._account.note)

    async def run(self) -> int:
        """Start everything, keep it running, end everything. Returns 0 when stopped on request, 6 when it failed."""
        try:
            self._home.write_state(self._account.record)
        except OSError as error:
            # Nobody could ever see or end what is started here.
            say(f"{self._home.state} cannot be written: {error.strerror or error}")
            return EXIT_FAILED
        front: Front | None = None
        try:
            if self._spec.door.gateway:
                front = open_front(self._home, self._spec, self._upstreams)
        except PlannerError as error:
            self._failure = error
            return self._finish()
        self._tell_what_differs(front)
        for role, model in self._models.items():
            self._upstreams.announce(role, model)
        if front is not None:
            self._account.change(gateway_url=front.url, public_url=front.public_url)
            front.start()
        self._events.put_nowait(supervise.Began())
        self._spawn(self._watch_health())
        try:
            await self._supervise(front.url if front is not None else None)
        finally:
            await self._crew.end_all()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if front is not None:
                await front.stop()
            code = self._finish()
        return code

    def request_stop(self) -> None:
        """End everything; returns at once."""
        self._events.put_nowait(supervise.StopRequested())

    async def _supervise(self, gateway_url: str | None) -> None:
        while True:
            try:
                event = await asyncio.wait_for(self._events.get(), _CALM_TICK_S if self._is_calm else _TICK_S)
            except TimeoutError:
                event = supervise.Ticked()
            self._machine, actions = supervise.step(self._machine, event, time.monotonic())
            for action in actions:
                self._act(action)
            self._take_failure(event)
            self._end_without_folder()
            self._show()
            phases = {process.phase for process in self._machine.processes}
            if phases.issubset(_ENDED) and not self._crew.running():
                return
            if phases == {Phase.RUNNING} and not self._verifying and self._is_unproven():
                self._verifying = True
                self._spawn(self._verify_all(gateway_url))
            for role, reason in self._upstreams.take_restarts():
                self._events.put_nowait(supervise.Unhealthy(role, reason))

    @property
    def _is_calm(self) -> bool:
        """Whether every engine answers, has been seen to work, and the state file says so."""
        running = all(process.phase is Phase.RUNNING and not process.ending for process in self._machine.processes)
        return running and not self._machine.stopping and not self._is_unproven() and self._account.is_saved

    def _act(self, action: supervise.Action) -> None:
        match action:
            case supervise.Start(role, smaller):
                if smaller and (change := self._crew.shrink(role)):
                    self._account.note(
                        f"The {role.value} engine ran out of memory; it is started again with {change}."
                    )
                    self._account.put(planned_record(self._account.process(role), self._crew.plan(role)))
                self._spawn(self._live(role))
            case supervise.Kill(role):
                self._spawn(self._crew.end(role))

    def _take_failure(self, event: supervise.Event) -> None:
        """A process given up on before all was seen to work is why the start failed; a later one is not."""
        if self._failure is not None or not isinstance(event, supervise.Exited):
            return
        process = self._machine.process(event.role)
        in_start = not process.was_ready or not self._account.record.verified
        if process.phase is Phase.FAILED and in_start and (error := self._ends.get(event.role)):
            account = f" {need_against_have(self._crew.plan(event.role))}" if error.out_of_memory else ""
            self._failure = EngineError(error.message + account, hint=error.hint, reference=error.reference)
            self.request_stop()

    def _end_without_folder(self) -> None:
        """Without its folder nobody finds the deployment any more, to stop it or to see that its name is taken."""
        if self._failure is None and not self._home.path.exists():
            self._failure = EngineError(f"{self._home.path} was removed.", reference="folder-removed")
            self.request_stop()

    async def _live(self, role: Role) -> None:
        """One life of one engine: start, wait until it is ready, wait until it ends."""
        try:
            process, ready, report = await self._crew.launch(role)
            rss_bytes = process.memory_rss_bytes()
            if report is not None:
                self._buffers[role] = report
            self._account.put(ready_record(self._account.process(role), ready, report, rss_bytes=rss_bytes))
            self._answering[role] = self._crew.upstream(role, ready)
            self._events.put_nowait(supervise.BecameReady(role))
            await process.wait()
            error = process.explain_exit()
        except LaunchError as failed:
            error = failed
        self._answering.pop(role, None)
        await self._crew.end(role)
        self._ends[role] = error
        self._events.put_nowait(
            supervise.Exited(role, error.message, permanent=error.permanent, out_of_memory=error.out_of_memory)
        )

    async def _watch_health(self) -> None:
        """Ask every engine that answers for its health, one round after the other, as long as this runs."""
        while True:
            suspects = any(process.is_suspect for _, process in self._crew.running())
            await asyncio.sleep(_SUSPECT_EVERY_S if suspects else _HEALTH_EVERY_S)
            await asyncio.gather(*(self._check_health(role, process) for role, process in self._crew.running()))

    async def _check_health(self, role: Role, process: EngineProcess) -> None:
        process.keep_log_small()
        upstream = self._upstreams.get(role)
        if upstream is not None and await process.is_hung(upstream.url):
            reason = f"The {role.value} engine hung: it did not answer and did nothing."
            self._events.put_nowait(supervise.Unhealthy(role, reason))

    @property
    def _lives(self) -> int:
        """How often any engine was started again."""
        return sum(process.restarts for process in self._machine.processes)

    def _is_unproven(self) -> bool:
        """Whether it is to be seen that it works: after the first start, and after a restart of what did not."""
        bad = not all(check.ok for check in self._account.record.verification)
        return not self._account.record.verified or (bad and self._proven_lives != self._lives)

    async def _verify_all(self, gateway_url: str | None) -> None:
        lives, first = self._lives, not self._account.record.verified
        busy_share = None
        if gateway_url is None:
            report = direct_report(self._answering.values())
        else:
            key = self._home.read_key(self._home.gateway_key)
            # In a thread: it is a client of the gateway, which this loop serves.
            busy_share = await asyncio.to_thread(others_busy)
            report = await asyncio.to_thread(self._verify, gateway_url, key, tuple(self._models))
        bad = [check for check in report.checks if not check.ok]
        if bad:
            await asyncio.sleep(_SETTLE_S)  # the end of an engine may be why, and be known only now
        self._verifying = False
        if lives != self._lives or set(self._answering) != set(self._models):
            return  # an engine ended meanwhile; it is asked again once all run again
        self._proven_lives = lives
        if first and (fatal := [check for check in bad if check.name in ESSENTIAL_CHECKS]):
            self._failure = EngineError(
                "The engines run, but the deployment does not work: "
                + "; ".join(f"{check.name}: {check.detail}" for check in fatal)
                + ".",
                hint="See planner logs; planner inspect FILE shows whether the model file is what it should be.",
                reference="verification-failed",
            )
            self.request_stop()
            return
        self._account.record = verified_record(self._account.record, report)
        plans = [self._crew.plan(role) for role in self._models]
        for text in difference_notes(plans, report, memory=self._buffers, busy_share=busy_share):
            self._account.note(text)
        for role, process in self._crew.running():
            self._account.update(role, memory_rss_bytes=process.memory_rss_bytes())
        self._show()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A fault of ours must not leave engines behind that nobody watches.
            message = f"The supervisor failed: {type(error).__name__}: {error}"
            self._failure = self._failure or PlannerError(message, reference="supervisor-failed")
            self.request_stop()

    # What others see: the gateway's upstreams and the state file.

    def _show(self) -> None:
        """Bring both in line with the state machine. The end is written once, by `_finish`, when it is true."""
        for process in self._machine.processes:
            upstream = self._answering.get(process.role)
            if process.phase is Phase.RUNNING and upstream is not None:
                self._upstreams.set(upstream)
            else:
                state = _ROLE_STATES[process.phase]
                self._upstreams.announce(process.role, self._models[process.role], state=state, detail=process.reason)
            self._account.update(process.role, state=process.phase, restarts=process.restarts, detail=process.reason)
        whole = self._machine.deployment_state
        if whole in (DeploymentState.RUNNING, DeploymentState.DEGRADED) and not self._account.record.verified:
            whole = DeploymentState.STARTING
        elif whole is DeploymentState.RUNNING and not all(check.ok for check in self._account.record.verification):
            whole = DeploymentState.DEGRADED
        if not self._machine.stopping and whole is not DeploymentState.FAILED:
            self._account.change(state=whole)
        self._account.save()

    def _finish(self) -> int:
        """Write the end; returns the exit code."""
        error = self._failure
        if error is None and self._machine.deployment_state is DeploymentState.FAILED:
            reasons = " ".join(process.reason for process in self._machine.processes if process.phase is Phase.FAILED)
            error = EngineError(reasons, hint="See planner logs.", reference="engine-crashed")
        for process in self._machine.processes:
            phase = Phase.FAILED if process.phase is Phase.FAILED else Phase.STOPPED
            self._account.update(process.role, state=phase, pid=None, url=None, detail=process.reason)
        self._account.change(
            state=DeploymentState.FAILED if error else DeploymentState.STOPPED,
            error=ErrorRecord(error.reference, error.message, error.hint) if error else None,
        )
        self._account.save()
        return EXIT_FAILED if error else 0

    def _started(self, role: Role, process: EngineProcess) -> None:
        self._account.update(role, pid=process.pid, create_time=process.create_time, url=None)
        self._account.save()

    def _tell_what_differs(self, front: Front | None) -> None:
        door, port = self._spec.door, self._spec.port
        address = None if front is None else front.public_url or front.url
        if address is not None and port and not address.endswith(f":{port}"):
            self._account.note(f"Port {port} is taken by another program; the gateway uses {address}.")
        if front is not None and front.public_url is not None:
            for text in opens(door, front.public_url):
                self._account.note(text)
        if not door.gateway:
            self._account.note(WITHOUT_GATEWAY)
        if self._spec.engine.binary and (path := system_config_file()) is not None:
            self._account.note(f"{path} exists: the engine reads it, keys included, and cannot be told not to.")


_ROLE_STATES = {
    Phase.STARTING: RoleState.LOADING,
    Phase.RUNNING: RoleState.LOADING,  # its end is known here before the state machine hears of it
    Phase.RESTARTING: RoleState.LOADING,
    Phase.FAILED: RoleState.FAILED,
    Phase.STOPPED: RoleState.STOPPED,
}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def serve(home: Home, *, stall_s: float = STALL_S) -> int:
    """Run the deployment in `home` in this process until it ends; returns the exit code.

    Raises EngineError when another supervisor lives there.
    """
    lock = claim(home)
    try:
        return await _serve(home, stall_s=stall_s)
    finally:
        lock.release()


async def _serve(home: Home, *, stall_s: float) -> int:
    spec = home.read_plan()
    supervisor = Supervisor(home, spec, stall_s=stall_s)
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        if (number := getattr(signal, name, None)) is not None:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, supervisor.request_stop)
    transport = await _watch_stdin(loop, supervisor.request_stop) if spec.tied else None
    try:
        return await supervisor.run()
    finally:
        if transport is not None:
            transport.close()


class _EndOfInput(asyncio.Protocol):
    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end

    def connection_lost(self, _error: Exception | None) -> None:
        self._on_end()


async def _watch_stdin(loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> asyncio.BaseTransport:
    """Call `on_end` when the process at the other end of stdin is gone, however it went."""
    transport, _ = await loop.connect_read_pipe(lambda: _EndOfInput(on_end), sys.stdin)
    return transport


def main(arguments: list[str]) -> int:
    """Entry of the supervisor's process: FOLDER TOKEN [STALL_SECONDS]."""
    folder = Path(arguments[0])
    stall_s = float(arguments[2]) if len(arguments) > 2 else STALL_S
    os.umask(0o077)
    try:
        return asyncio.run(serve(Home(folder.parent, folder.name), stall_s=stall_s))
    except PlannerError as error:
        sys.stderr.write(f"{error.message}\n")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
