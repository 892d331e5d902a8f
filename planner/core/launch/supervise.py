"""What to do when an engine starts, dies or hangs: one pure step function, driven by the supervisor's loop.

Times are seconds of any monotonic clock; `now` is always an argument. A process that dies before it ever answered
is not restarted (the same would happen again, and the person who started it is waiting for the reason). One that
dies later is restarted after 1, 2 and 4 s, and given up on after three crashes within 60 s, or when it dies again
after all three delays without having answered for 60 s in between: loading slowly must not make a crash loop endless.

One that dies for lack of memory is started once more with the smaller plan that was made beside its own, if there is
one: at once when it never answered, else after the usual delay. That happens once; the same end again is final.
"""

from collections.abc import Collection
from enum import StrEnum

import msgspec

from planner.core.models.model import Role

RESTART_DELAYS_S = (1.0, 2.0, 4.0)
CRASH_WINDOW_S = 60.0
CRASH_LIMIT = 3
STREAK_LIMIT = len(RESTART_DELAYS_S) + 1
"""Crashes in a row, however far apart, without a whole window of answering between two of them."""


class Phase(StrEnum):
    """Where one process stands; also its `state` in the JSON contract."""

    STARTING = "starting"
    RUNNING = "running"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class DeploymentState(StrEnum):
    """Where a deployment stands (JSON contract)."""

    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPED = "stopped"
    FAILED = "failed"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process. `crashes` holds the times of recent crashes, `restart_at` the time of the next start.

    `streak` counts crashes since the process last ran for a whole window; it picks the delay. `can_shrink`: a smaller
    plan exists; `shrunk`: it is the one in use. `ending`: it was told to end, and its exit has not come yet.
    """

    role: Role
    phase: Phase = Phase.STARTING
    was_ready: bool = False
    ready_at: float | None = None
    restart_at: float | None = None
    crashes: tuple[float, ...] = ()
    streak: int = 0
    restarts: int = 0
    reason: str = ""
    can_shrink: bool = False
    shrunk: bool = False
    ending: bool = False


class Supervision(msgspec.Struct, frozen=True):
    """All processes of a deployment."""

    processes: tuple[Process, ...]
    stopping: bool = False

    @property
    def deployment_state(self) -> DeploymentState:
        """One word for the whole: any process short of running makes a started deployment degraded."""
        phases = {p.phase for p in self.processes}
        started = all(p.was_ready for p in self.processes)
        if Phase.FAILED in phases and not (started and phases & {Phase.RUNNING, Phase.RESTARTING}):
            return DeploymentState.FAILED
        if phases <= {Phase.STOPPED}:
            return DeploymentState.STOPPED
        if phases == {Phase.RUNNING}:
            return DeploymentState.RUNNING
        return DeploymentState.DEGRADED if started else DeploymentState.STARTING

    def process(self, role: Role) -> Process:
        """The process of a role. Raises KeyError."""
        for process in self.processes:
            if process.role is role:
                return process
        raise KeyError(role)


class Began(msgspec.Struct, frozen=True):
    """The supervisor is up: start everything."""


class BecameReady(msgspec.Struct, frozen=True):
    """The process answers."""

    role: Role


class Exited(msgspec.Struct, frozen=True):
    """The process is gone, or never came up. `permanent`: starting it again as it was cannot help.

    `out_of_memory`: it is known to have ended for lack of memory.
    """

    role: Role
    reason: str
    permanent: bool = False
    out_of_memory: bool = False


class Unhealthy(msgspec.Struct, frozen=True):
    """The process lives and does not answer, or answers nonsense."""

    role: Role
    reason: str


class Ticked(msgspec.Struct, frozen=True):
    """Time went by."""


class StopRequested(msgspec.Struct, frozen=True):
    """Somebody wants everything to end."""


_ALIVE = (Phase.STARTING, Phase.RUNNING)
"""Phases in which there is a process, or one is just being started."""

Event = Began | BecameReady | Exited | Unhealthy | Ticked | StopRequested


class Start(msgspec.Struct, frozen=True):
    """Start the process of this role; `smaller`: with the smaller of its two plans."""

    role: Role
    smaller: bool = False


class Kill(msgspec.Struct, frozen=True):
    """End the process of this role (politely, then not); its exit comes back as an event."""

    role: Role
    reason: str


Action = Start | Kill


def begin(roles: tuple[Role, ...], *, can_shrink: Collection[Role] = ()) -> Supervision:
    """The state before anything was started; for the roles in `can_shrink` there is a smaller plan as well."""
    return Supervision(processes=tuple(Process(role=role, can_shrink=role in can_shrink) for role in roles))


def step(state: Supervision, event: Event, now: float) -> tuple[Supervision, tuple[Action, ...]]:
    """The next state and what has to be done to get there. Events about unknown roles change nothing."""
    changed = state
    actions: tuple[Action, ...] = ()
    match event:
        case Began():
            actions = tuple(Start(p.role) for p in state.processes)
        case StopRequested():
            changed, actions = _stop(state, "stopped on request")
        case Ticked():
            changed, actions = _restart_due(state, now)
        case BecameReady(role) if (process := _find(state, role)) and process.phase is Phase.STARTING:
            running = msgspec.structs.replace(process, phase=Phase.RUNNING, was_ready=True, ready_at=now, reason="")
            changed = _put(state, running)
        case Unhealthy(role, reason) if (process := _find(state, role)) and process.phase is Phase.RUNNING:
            if not process.ending:
                changed = _put(state, msgspec.structs.replace(process, reason=reason, ending=True))
                actions = (Kill(role, reason),)
        case Exited(role) if process := _find(state, role):
            changed, actions = _exited(state, process, event, now=now)
        case _:
            pass
    return changed, actions


def _exited(
    state: Supervision, process: Process, event: Exited, *, now: float
) -> tuple[Supervision, tuple[Action, ...]]:
    if process.phase not in _ALIVE:
        return state, ()  # a start has one end, and this is not it
    process = msgspec.structs.replace(process, ending=False, ready_at=None)
    if state.stopping:
        return _put(state, msgspec.structs.replace(process, phase=Phase.STOPPED, restart_at=None)), ()
    ready_at = state.process(process.role).ready_at
    reason = process.reason or event.reason
    shrinks = event.out_of_memory and process.can_shrink and not process.shrunk
    if shrinks and not process.was_ready:
        # The reason is told as a note by whoever starts it again; the new start is not to be blamed for it.
        smaller = msgspec.structs.replace(
            process, phase=Phase.STARTING, shrunk=True, restarts=process.restarts + 1, reason=""
        )
        return _put(state, smaller), (Start(process.role, smaller=True),)
    if not process.was_ready:
        failed = msgspec.structs.replace(process, phase=Phase.FAILED, reason=reason)
        return _stop(_put(state, failed), f"the {process.role.value} engine did not start")
    crashes = (*(t for t in process.crashes if now - t <= CRASH_WINDOW_S), now)
    ran_well = ready_at is not None and now - ready_at > CRASH_WINDOW_S
    streak = 1 if ran_well else process.streak + 1
    spent = len(crashes) >= CRASH_LIMIT or streak >= STREAK_LIMIT
    if spent or (event.permanent and not shrinks):
        phase, restart_at = Phase.FAILED, None
    else:
        phase, restart_at = Phase.RESTARTING, now + RESTART_DELAYS_S[streak - 1]
    changed = msgspec.structs.replace(
        process,
        phase=phase,
        restart_at=restart_at,
        crashes=crashes,
        streak=streak,
        reason=reason,
        shrunk=process.shrunk or shrinks,
    )
    return _put(state, changed), ()


def _restart_due(state: Supervision, now: float) -> tuple[Supervision, tuple[Action, ...]]:
    actions: list[Action] = []
    for process in state.processes:
        if process.phase is Phase.RESTARTING and process.restart_at is not None and process.restart_at <= now:
            # The reason of the crash goes: a new start must not be blamed for it.
            state = _put(
                state,
                msgspec.structs.replace(
                    process, phase=Phase.STARTING, restart_at=None, restarts=process.restarts + 1, reason=""
                ),
            )
            actions.append(Start(process.role, smaller=process.shrunk))
    return state, tuple(actions)


def _stop(state: Supervision, reason: str) -> tuple[Supervision, tuple[Action, ...]]:
    if state.stopping:
        return state, ()
    actions = tuple(Kill(p.role, reason) for p in state.processes if p.phase in _ALIVE and not p.ending)
    processes = tuple(
        msgspec.structs.replace(p, phase=Phase.STOPPED, restart_at=None)
        if p.phase is Phase.RESTARTING
        else msgspec.structs.replace(p, ending=p.phase in _ALIVE)
        for p in state.processes
    )
    return Supervision(processes=processes, stopping=True), actions


def _find(state: Supervision, role: Role) -> Process | None:
    return next((p for p in state.processes if p.role is role), None)


def _put(state: Supervision, process: Process) -> Supervision:
    processes = tuple(process if p.role is process.role else p for p in state.processes)
    return msgspec.structs.replace(state, processes=processes)
