"""Blocking work of which only the newest question counts: one at a time, and what waits is replaced, never queued."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from planner.tui.problem import Problem
from planner.tui.workers import in_background

T = TypeVar("T")


class Newest(Generic[T]):
    """A thread cannot be stopped; so a new question waits for the one under way, and drops all between them."""

    def __init__(self, *, deadline_s: float | None = None) -> None:
        self._deadline_s = deadline_s
        self._wanted: object = None
        self._busy: asyncio.Event | None = None

    def drop(self) -> None:
        """Nobody wants the answer of what was asked any more; the work behind it goes on until its end."""
        self._wanted = None

    async def run(self, function: Callable[[], T], *, after_s: float = 0.0) -> T | Problem | None:
        """The function's result or the problem it raised; None where something newer was asked meanwhile.

        It begins `after_s` seconds from now at the earliest: keys that follow quickly are one question.
        """
        mine = self._wanted = object()
        if after_s:
            await asyncio.sleep(after_s)
        while self._wanted is mine and self._busy is not None:
            await self._busy.wait()
        if self._wanted is not mine:
            return None
        self._busy = asyncio.Event()
        try:
            found = await in_background(function, deadline_s=self._deadline_s)
        finally:
            ended, self._busy = self._busy, None
            ended.set()
        return found if self._wanted is mine else None
