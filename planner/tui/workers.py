"""Blocking work beside the app: in daemon threads, awaited by Textual workers.

Textual's own thread workers run in asyncio's executor, which is joined at exit: a probe that sleeps 8 s kept the
process alive for 8.4 s (measured with Textual 8.2.8). A daemon thread ends with the process, so that quitting never
waits for anything; the worker around it keeps Textual's rules (exclusive, cancelled with the app).
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from textual.dom import DOMNode
from textual.worker import WorkType

from planner.errors import PlannerError
from planner.tui.problem import Problem

T = TypeVar("T")


async def in_background(function: Callable[[], T], *, deadline_s: float | None = None) -> T | Problem:
    """The function's result, or the problem it raised; with a deadline also the problem that it did not come back."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T | Problem] = loop.create_future()

    def deliver(result: T | Problem) -> None:
        if not future.done():
            future.set_result(result)

    def work() -> None:
        try:
            result: T | Problem = function()
        except (PlannerError, Exception) as error:  # noqa: BLE001  # shown where it happened, whatever it is
            result = Problem.of(error)
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            loop.call_soon_threadsafe(deliver, result)

    threading.Thread(target=work, name=f"planner-{getattr(function, '__name__', 'work')}", daemon=True).start()
    try:
        return await asyncio.wait_for(future, deadline_s)
    except TimeoutError:
        return Problem(
            f"No answer within {deadline_s:.0f} s.",
            "Something it depends on hangs: a driver, a network disk. Press r to try again.",
            "deadline",
        )


def newest(node: DOMNode, work: WorkType[None], *, group: str) -> None:
    """Begin work of which only the newest of its group counts: what was begun before is cancelled."""
    node.run_worker(work, exclusive=True, exit_on_error=False, group=group)


def beside(node: DOMNode, work: WorkType[None], *, group: str) -> None:
    """Begin work that others of its group do not end."""
    node.run_worker(work, exit_on_error=False, group=group)
