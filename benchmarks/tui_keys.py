"""How long the first page takes from a key to its repaint, idle and while much goes on at once, and its memory.

Run: python -m benchmarks.tui_keys        (on a quiet machine)

Busy means: the machine is looked at and planned for again and again (the real probe and search, in the process beside
the app), a launch tells of a download 20 times a second, and two deployments change their figures at each look. The
key is an arrow. Two repaints are timed: of the highlighted row, and of the other plan's page below the list.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.tui_terminal import POINTER, Terminal
from planner.core.launch.events import Event
from planner.serve.state import DeploymentRecord
from planner.tui.child import Outcome
from planner.tui.data.aside import Aside
from planner.tui.data.machine import Situation
from planner.tui.run import run
from planner.tui.services import Services
from tests.tui.world import server

_APP = (sys.executable, "-P", "-m", "benchmarks.tui_keys", "--app")
_BETWEEN_S = 0.12
"""From one key to the next, as when a key is held down slowly."""


class Download:
    """A launch that never ends and always has something to say."""

    def __init__(self, say: Callable[[str, bool], None]) -> None:
        self._ended = threading.Event()
        self._say = say

    def wait(self) -> Outcome:
        """Tell of progress until it is interrupted."""
        for step in itertools.count():
            if self._ended.wait(0.05):
                break
            self._say(f"writer:Q4_K_M downloading  {step % 100} %  {step / 50:.2f} GB of 5.00 GB  31.2 MB/s", True)
        return Outcome({}, cancelled=True)

    def interrupt(self) -> None:
        """End."""
        self._ended.set()

    def settle(self, grace_s: float) -> None:
        """Nothing to wait for."""
        del grace_s


def app() -> int:
    """The app as it is, but for a launch and deployments that are made up."""
    aside = Aside()
    rounds = itertools.count()

    def look() -> Situation:
        aside.begin()
        return aside.look()

    def servers() -> tuple[DeploymentRecord, ...]:
        took = next(rounds)
        one = server()
        processes = tuple(msgspec.structs.replace(p, tg_measured=100.0 + took % 7) for p in one.processes)
        return (msgspec.structs.replace(one, processes=processes), msgspec.structs.replace(one, name="second"))

    def start(
        arguments: Sequence[str],
        on_line: Callable[[str, bool], None],
        on_event: Callable[[Event], None] | None = None,
    ) -> Download:
        del arguments, on_event
        return Download(on_line)

    services = Services(look=look, plan=aside.plan, more=aside.more, servers=servers, start=start)
    return run(services, aside=aside)


def presses(terminal: Terminal, count: int, *, between: Callable[[], None]) -> list[tuple[float, float]]:
    """Seconds from each key to the moved highlight, and to the other plan's page below it."""
    took: list[tuple[float, float]] = []
    for index in range(count):
        between()
        terminal.rest(0.0)
        key, wanted = (b"\x1b[B", b"Plan 2 (") if index % 2 == 0 else (b"\x1b[A", b"Plan 1 (")
        pressed_s = terminal.write(key)
        moved_s = terminal.until(POINTER, forget=False) - pressed_s
        took.append((moved_s, terminal.until(wanted) - pressed_s))
        time.sleep(_BETWEEN_S)
    return took


def main() -> None:
    """Idle first, then busy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--app", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.app:
        sys.exit(app())
    with tempfile.TemporaryDirectory() as home, Terminal(home, command=_APP, PYTHONPATH=str(Path.cwd())) as terminal:
        terminal.until(POINTER)
        terminal.rest(3.0)
        _line("idle", presses(terminal, chosen.keys, between=lambda: None))
        idle_bytes = terminal.rss_bytes()
        terminal.write(b"t")
        terminal.until(b"launching")
        terminal.write(b"\x1b")
        terminal.until(b"Plan 1 (")
        again = itertools.cycle([b"r", b"", b"", b"", b"", b"", b"", b""])

        def look_again() -> None:
            terminal.write(next(again))

        _line("probing, planning, downloading, serving", presses(terminal, chosen.keys, between=look_again))
        print(f"memory: {idle_bytes / 2**20:.0f} MiB idle, {terminal.rss_bytes() / 2**20:.0f} MiB busy")


def _line(what: str, took: Sequence[tuple[float, float]]) -> None:
    for part, times in zip(("row", "page"), zip(*took, strict=True), strict=True):
        ordered = sorted(seconds * 1e3 for seconds in times)
        most_ms = ordered[int(len(ordered) * 0.9)]
        print(f"{what}, {part}: median {statistics.median(ordered):.0f} ms, 9 of 10 within {most_ms:.0f} ms")


if __name__ == "__main__":
    main()
