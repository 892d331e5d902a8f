"""The engines behind the gateway: who answers for a role, and in which state.

The supervisor writes, the gateway reads; both live in one process and one event loop. A role is announced
before its engine is ready, so that the gateway can say “loading” and not “unknown”.
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from planner.core.models.model import Model, Role


class RoleState(StrEnum):
    """Loading: being started or restarted. Ready: answers. Failed: given up on. Stopped: ended on purpose."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """One engine that is ready to answer.

    `url` is its loopback address without a path (`http://127.0.0.1:41234`), `api_key` the engine's own key:
    never shown, never forwarded to a client. `context` is tokens per slot, `batch` the longest embedding input in
    tokens that one pass takes, `slots` how many requests it works on at a time. `engine` is an engine kind's value,
    `engine_version` what its `--version` says (`""` when it does not tell).
    """

    role: Role
    url: str
    api_key: str
    model: Model
    quant: str
    context: int
    batch: int
    slots: int = 1
    engine: str
    engine_version: str = ""


class RoleStatus(msgspec.Struct, frozen=True):
    """What is known about a role. `upstream` is there only while `state` is ready; `detail` is for people."""

    role: Role
    state: RoleState
    model: Model | None = None
    upstream: Upstream | None = None
    detail: str = ""


class Upstreams:
    """Role → engine, changed by the supervisor while the gateway serves.

    `on_restart` is called when a restart is asked for. Not thread-safe: all users share one event loop.
    """

    def __init__(self, *, on_restart: Callable[[], None] | None = None) -> None:
        self._on_restart = on_restart
        self._status: dict[Role, RoleStatus] = {}
        self._restarts: list[tuple[Role, str]] = []

    def announce(self, role: Role, model: Model, *, state: RoleState = RoleState.LOADING, detail: str = "") -> None:
        """The role has (for now) no engine: it is loading, failed or stopped."""
        self._status[role] = RoleStatus(role=role, state=state, model=model, detail=detail)

    def set(self, upstream: Upstream) -> None:
        """The role's engine is ready."""
        self._status[upstream.role] = RoleStatus(
            role=upstream.role, state=RoleState.READY, model=upstream.model, upstream=upstream
        )

    def remove(self, role: Role) -> None:
        """Forget the role altogether."""
        self._status.pop(role, None)

    def get(self, role: Role) -> Upstream | None:
        """The role's engine if it is ready."""
        status = self._status.get(role)
        return status.upstream if status is not None else None

    def status(self, role: Role) -> RoleStatus | None:
        """What is known about the role; None if no engine was ever planned for it."""
        return self._status.get(role)

    def all(self) -> tuple[RoleStatus, ...]:
        """Every role that was announced, in order of announcement."""
        return tuple(self._status.values())

    @property
    def ready(self) -> bool:
        """Whether every announced role answers (False when there is none)."""
        return bool(self._status) and all(s.state is RoleState.READY for s in self._status.values())

    def request_restart(self, role: Role, reason: str) -> None:
        """Ask the supervisor to restart an engine that answers nonsense (NaN vectors stay until a restart)."""
        self._restarts.append((role, reason))
        if self._on_restart is not None:
            self._on_restart()

    def take_restarts(self) -> tuple[tuple[Role, str], ...]:
        """Restart requests since the last call."""
        taken = tuple(self._restarts)
        self._restarts.clear()
        return taken
