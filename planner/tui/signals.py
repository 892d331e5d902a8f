"""Signals that end the app: it leaves as by its own key, with the exit code of a program they ended."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Sequence
from functools import partial

from planner.tui.hang_up import GONE

ENDING: Sequence[signal.Signals] = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Those there are on this system; Ctrl-C is a key of the app."""


class Ending:
    """Calls `leave` with an exit code, in the app's loop, for a signal or a terminal that is gone."""

    def __init__(self, signals: Sequence[signal.Signals], leave: Callable[[int], None]) -> None:
        self._signals = signals
        self._leave = leave
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self) -> None:
        """From now on; called in the app's loop."""
        self._loop = asyncio.get_running_loop()
        for number in self._signals:
            with contextlib.suppress(NotImplementedError, ValueError):
                self._loop.add_signal_handler(number, partial(self._leave, 128 + number))

    def hung_up(self) -> None:
        """The terminal is gone; called from a thread of its own."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(partial(self._leave, GONE))
