"""A deployment's life as seen by the command that started it: until it answers, or until it ends.

In the foreground the command stays until it is told to end, and ends everything with it.
"""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from planner.cli import steps
from planner.cli.deployment_view import changes, summary
from planner.cli.diagnostics import ExitCode
from planner.cli.output import write_json, write_lines
from planner.cli.session import Session
from planner.core.launch.events import Step
from planner.serve.state import DeploymentRecord, DeploymentSpec, Home

_ENDING = ("SIGTERM", "SIGHUP")


class _StopSignal(BaseException):
    """SIGTERM or SIGHUP reached the command."""


def already(session: Session, record: DeploymentRecord) -> int:
    """Show what runs instead of starting it twice; the exit code."""
    session.note(f"“{record.name}” is already running.")
    show(session, record)
    return ExitCode.OK


def show(session: Session, record: DeploymentRecord, *, foreground: bool = False) -> None:
    """Print a deployment that runs: where it is reached, with which key, what was measured."""
    if session.as_json:
        write_json({"deployment": record.public()})
    else:
        write_lines(summary(record, foreground=foreground))


def run(session: Session, home: Home, spec: DeploymentSpec, *, detach: bool) -> int:
    """Start the supervisor and wait: until ready when detached, else until the end."""
    from planner.serve import deployments

    narrate = steps.watching(changes(session.note))
    supervisor: subprocess.Popen[bytes] | None = None
    ready = False
    with _handled(_ENDING, _stop):  # a closed terminal and `kill` end the command like Ctrl-C does: in order
        try:
            with deployments.locked(home):
                running = deployments.find_running(home, request=spec.request, plan=spec.fingerprint)
                if running is not None:
                    return already(session, running)
                steps.begun(Step.START)
                with _signals_held_back():
                    supervisor = deployments.start_supervisor(home, spec)
                deployments.wait_claimed(home, supervisor)
            record = deployments.wait_started(home, supervisor, on_change=narrate)
            ready = True
            show(session, record, foreground=not detach)
            if detach:
                deployments.let_go(supervisor)
                return ExitCode.OK
            return _stay(session, home, supervisor)
        except _StopSignal:
            return ExitCode.OK if ready else ExitCode.INTERRUPTED
        except KeyboardInterrupt:
            if not ready:
                raise
            # The usual way to end it, not an interruption worth a line of its own.
            return ExitCode.INTERRUPTED
        finally:
            if supervisor is not None and not (detach and ready):
                _end(session, home, supervisor)


def _stay(session: Session, home: Home, supervisor: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a foreground deployment, telling what happens meanwhile."""
    from planner.serve import deployments

    record = deployments.wait_ended(home, supervisor, on_change=changes(session.note, running=True))
    if record is not None and record.state == "stopped":
        session.note("Stopped from elsewhere.")
        return ExitCode.OK
    raise deployments.failure_of(home, record)


def _end(session: Session, home: Home, supervisor: "subprocess.Popen[bytes]") -> None:
    """End what this command started. A second signal must not leave engines behind, so none is listened to."""
    from planner.serve import deployments

    was_running = supervisor.poll() is None
    with _handled(("SIGINT", *_ENDING), signal.SIG_IGN):
        if was_running:
            session.note("Stopping …")
        deployments.stop_supervisor(supervisor)
        deployments.end_leftovers(home)
        if was_running:
            session.note("Stopped; nothing is left running.")


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Deliver a signal that comes meanwhile afterwards: a process that was started must be known before it is ended.

    By handlers, not by a mask: a mask would be inherited by what is started here.
    """
    caught: list[int] = []
    try:
        with _handled(("SIGINT", *_ENDING), lambda number, _frame: caught.append(number)):
            yield
    finally:
        if caught:
            signal.raise_signal(caught[0])


def _stop(_number: int, _frame: object) -> None:
    raise _StopSignal


@contextlib.contextmanager
def _handled(
    names: Sequence[str], handler: Callable[[int, FrameType | None], None] | signal.Handlers
) -> Iterator[None]:
    """Those of the signals that there are on this system, handled so."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
