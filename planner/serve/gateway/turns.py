"""Back-pressure: how many requests wait here, how many an engine gets at a time, how much memory their bodies take.

An engine works on as many texts or answers at a time as it has slots; what it is sent beyond that takes its few HTTP
threads, until it does not even answer the question whether it is well. So requests wait here, in order, and when too
many do, the next one is told at once to come back later: a queue nobody reaches the end of helps nobody.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from planner.core.models.model import Role
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.record import current

_AHEAD = 1
"""Requests beyond its slots that an engine has at hand, so that no slot waits for the gateway."""
_LONGEST_RETRY_S = 60
_SMOOTHING = 0.2


class Turns:
    """Who may talk to an engine. One event loop, so no locks.

    `max_requests` are admitted for a role at a time, waiting or being answered; `max_held_bytes` of request bodies
    are held for all roles together; nobody waits for a turn longer than `patience_s`.
    """

    def __init__(self, *, max_requests: int, max_held_bytes: int, patience_s: float) -> None:
        self._max_requests = max_requests
        self._max_held_bytes = max_held_bytes
        self._patience_s = patience_s
        self._turns: dict[Role, _Turn] = {}
        self._seconds: dict[Role, float] = {}
        self.inside: dict[Role, int] = defaultdict(int)
        self.refused: dict[Role, int] = defaultdict(int)
        self.held_bytes = 0

    @contextmanager
    def place(self, role: Role | None) -> Iterator[None]:
        """A place among the requests of a role; None has no queue. Raises ApiError 503 when all are taken."""
        if role is None:
            yield
            return
        if self.inside[role] >= self._max_requests:
            self.refused[role] += 1
            raise ApiError(
                503,
                f"{self._max_requests} requests for the {role} model are waiting or being answered already. "
                "Try again later, or send fewer at a time.",
                code="overloaded",
                retry_after_s=self._retry_after_s(role),
            )
        self.inside[role] += 1
        try:
            yield
        finally:
            self.inside[role] -= 1

    @asynccontextmanager
    async def turn(self, role: Role, *, slots: int) -> AsyncIterator[None]:
        """An engine's attention, as soon as it has some, first come first served. Raises ApiError 503."""
        turn = self._turns.get(role)
        if turn is None or turn.slots != slots:
            # Another number of slots is another engine: who still holds a turn of the old one gives it back there.
            turn = self._turns[role] = _Turn(slots)
        loop = asyncio.get_running_loop()
        came = loop.time()
        try:
            if turn.free.locked():
                async with asyncio.timeout(self._patience_s):
                    await turn.free.acquire()
            else:
                await turn.free.acquire()  # at once
        except TimeoutError:
            raise ApiError(
                503,
                f"The {role} engine was busy with other requests for {self._patience_s:g} s. Try again later.",
                code="overloaded",
                retry_after_s=self._retry_after_s(role),
            ) from None
        started = loop.time()
        if (record := current.get()) is not None:
            record.waited_s += started - came
        try:
            yield
        finally:
            turn.free.release()
            seconds, slots_ = loop.time() - started, turn.slots + _AHEAD
            before = self._seconds.get(role, seconds / slots_)
            self._seconds[role] = before + _SMOOTHING * (seconds / slots_ - before)

    def hold(self, size: int) -> None:
        """Count bytes of a body that is being read. Raises ApiError 503 when all bodies together are too many."""
        if self.held_bytes + size > self._max_held_bytes:
            raise ApiError(
                503,
                "The requests being answered hold all the memory there is for them. Try again later, "
                "or send fewer texts at a time.",
                code="overloaded",
                retry_after_s=2,
            )
        self.held_bytes += size

    def release(self, size: int) -> None:
        """Give counted bytes back."""
        self.held_bytes -= size

    def _retry_after_s(self, role: Role) -> int:
        """About when half of those who wait now will have been answered."""
        expected_s = self._seconds.get(role, 1.0) * self.inside[role] / 2
        return max(1, min(_LONGEST_RETRY_S, math.ceil(expected_s)))


class _Turn:
    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.free = asyncio.Semaphore(max(1, slots) + _AHEAD)
