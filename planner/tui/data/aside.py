"""Looking at the machine and planning in a process of its own, which sends back what it finds piece by piece.

For three reasons: it begins before Textual has been imported, so that the two run side by side; the search for plans
is pure computing and would make the screen stutter in a thread; and a driver that crashes or never comes back takes
only the child with it. Where no child can be started, or it ends without an answer, the work is done right here.
"""

import contextlib
import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.errors import PlannerError

if TYPE_CHECKING:  # nothing is imported that would keep the child waiting for its start
    from planner.core.pairs.recommendation import Recommendation
    from planner.tui.data.extras import Extras
    from planner.tui.data.machine import Situation

COMMAND = (sys.executable, "-P", "-m", "planner.tui.data.aside")
"""`-P`: a folder named planner where the user happens to be must not be run instead."""


class Aside:
    """`look`, `plan` and `more` for `Services`. With `begin`, the first look is under way before it is asked for."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._begun = False
        self._given_up = False
        self._situation: Situation | None = None
        self._plans: tuple[Recommendation, ...] | None = None

    def begin(self) -> None:
        """Start the child; returns at once. One that still runs for an earlier look is ended."""
        with self._lock:
            self._end()
            with contextlib.suppress(OSError):
                self._child = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            self._begun, self._given_up = True, False

    def look(self) -> "Situation":
        """The machine and the catalog. Blocks; raises PlannerError."""
        from planner.tui.data.machine import Situation, look_around

        if not self._begun:
            self.begin()
        self._begun = False
        child = self._child
        found = _received(child)
        self._check_wanted(child)
        self._situation = found if isinstance(found, Situation) else None
        return self._situation or look_around()

    def plan(self, situation: "Situation") -> "tuple[Recommendation, ...]":
        """The pairs for a situation. Blocks; raises NoResultError."""
        from planner.tui.data.machine import plan_pairs

        child = self._child
        if situation is self._situation:
            found = _received(child)
            if isinstance(found, tuple):
                self._plans = found
                return found
        self._check_wanted(child)
        return plan_pairs(situation)

    def more(self, situation: "Situation", plans: "Sequence[Recommendation]") -> "Extras":
        """What is worth knowing about the plans beside themselves. Blocks; raises PlannerError."""
        from planner.tui.data.extras import Extras, find_extras

        child = self._child
        if situation is self._situation and plans is self._plans:
            found = _received(child)
            if isinstance(found, Extras):
                return found
        self._check_wanted(child)
        return find_extras(situation, plans)

    def give_up(self) -> None:
        """End what is under way; returns at once, as a child that hangs in a driver may not be seen to end."""
        self._given_up = True
        if (child := self._let_go()) is not None:
            threading.Thread(target=_end, args=(child,), name="give-up", daemon=True).start()

    def close(self) -> None:
        """End a child that nobody waits for any more."""
        with self._lock:
            self._end()

    def _check_wanted(self, child: "subprocess.Popen[bytes] | None") -> None:
        """Nothing is done here for a child that was ended. Raises PlannerError."""
        if self._given_up or child is not self._child:
            raise PlannerError("This look at the machine was given up, or another has begun.", reference="superseded")

    def _let_go(self) -> "subprocess.Popen[bytes] | None":
        """Its answers are nobody's from now on."""
        child, self._child, self._situation, self._plans = self._child, None, None, None
        return child

    def _end(self) -> None:
        if (child := self._let_go()) is not None:
            _end(child)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def _received(child: "subprocess.Popen[bytes] | None") -> object:
    """The next value the child sends; None when it ended, or cannot be understood."""
    if child is None or child.stdout is None:
        return None
    # What arrives is kept, has no cycles, and is a catalog: with 10,000 models of one's own each full collection of
    # garbage would look through all of it and hold up the screen for 0.3 s.
    gc.disable()
    try:
        return pickle.load(child.stdout)  # noqa: S301  # our own program wrote it, on a pipe nobody else has
    except Exception:  # noqa: BLE001  # whatever is wrong with it, there is another way
        return None
    finally:
        gc.freeze()
        gc.enable()


def main() -> None:
    """The child. It ends without a word where it fails: the same failure is told where the work is done again."""
    from planner.tui.data.machine import look_around, plan_pairs

    situation = look_around()
    # More than a pipe holds, and the reader may be busy with its own start: do not wait for it.
    sent = threading.Thread(target=_send, args=(situation,))
    sent.start()
    plans = plan_pairs(situation)
    sent.join()
    _send(plans)

    from planner.tui.data.extras import find_extras

    _send(find_extras(situation, plans))


def _send(value: object) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        pickle.dump(value, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
