"""Choices that are kept beyond this run: in memory at once, in their file a moment later."""

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING

from planner.errors import PlannerError
from planner.tui.problem import Problem
from planner.tui.remembered import Remembered
from planner.tui.workers import in_background, newest

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

_AFTER_S = 0.3
"""Choices that change quickly (each letter of a search) are written once."""


class Keeping:
    """Part of the app; its methods run in the app's loop. `remembered` are the choices of now."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app
        self.remembered = Remembered(app.services.recall())

    def remember(self, name: str, value: object) -> None:
        """Keep a choice (a JSON value), without waiting; None forgets it."""
        self.remembered.put(name, value)
        if self.remembered.changed and self._app.is_running:
            newest(self._app, self._keep, group="keep")

    async def _keep(self) -> None:
        await asyncio.sleep(_AFTER_S)
        found: Problem | None
        try:
            found = await in_background(partial(self._app.services.keep, self.remembered.taken()))
        except asyncio.CancelledError:
            self.remembered.changed = True  # nobody knows whether it was written: `close` does it again
            raise
        if found is not None:
            self.remembered.changed = True  # a disk that was full may have room by then

    def close(self) -> None:
        """After the app: what was not written yet."""
        if self.remembered.changed:
            with contextlib.suppress(OSError, PlannerError):
                self._app.services.keep(self.remembered.taken())
