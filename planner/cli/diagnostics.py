"""The only writer of stderr, and the owner of the exit codes. stdout is data, stderr is narration."""

import os
import sys
from enum import IntEnum

from planner.core.launch.events import Event, NoteTold, encode_event
from planner.errors import BadDataError, EngineError, NoResultError, PlannerError, RemoteError, UsageError
from planner.units import printable


class ExitCode(IntEnum):
    """Part of the contract with scripts (docs/json.md)."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NO_RESULT = 3
    BAD_DATA = 4
    REMOTE = 5
    ENGINE = 6
    INTERRUPTED = 130


_CODES: tuple[tuple[type[PlannerError], ExitCode], ...] = (
    (UsageError, ExitCode.USAGE),
    (NoResultError, ExitCode.NO_RESULT),
    (BadDataError, ExitCode.BAD_DATA),
    (RemoteError, ExitCode.REMOTE),
    (EngineError, ExitCode.ENGINE),
)


def exit_code(error: BaseException) -> ExitCode:
    """The exit code of an error: that of its class in the error tree."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), ExitCode.UNEXPECTED)


def error_body(error: PlannerError) -> dict[str, object]:
    """The JSON form of an error, as it goes to stdout under `--json`."""
    return {"error": {"reference": error.reference, "message": error.message, "hint": error.hint}}


def note(text: str = "") -> None:
    """One line of narration."""
    line = printable(text)
    sys.stderr.write((encode_event(NoteTold(line)) if tells_events() else line) + "\n")
    sys.stderr.flush()


def tells_events() -> bool:
    """Whether a program reads along and wants events (the app does)."""
    return os.environ.get("PLANNER_PROGRESS") == "events"


def tell(event: Event) -> None:
    """An event, if anybody wants any."""
    if tells_events():
        sys.stderr.write(encode_event(event) + "\n")
        sys.stderr.flush()


def complain(error: PlannerError) -> None:
    """An error for people: what happened, then what to do."""
    note(f"Error: {error.message}")
    if error.hint:
        note(f"  → {error.hint}")


def is_interactive() -> bool:
    """Whether stderr is a terminal that can redraw a line, or a reader that says it can (the app does)."""
    if os.environ.get("PLANNER_PROGRESS") == "redraw":
        return True
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def redraw(text: str) -> None:
    """Replace the current line (only on a terminal; the caller asks `is_interactive`)."""
    columns = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 200
    sys.stderr.write("\r\x1b[2K" + printable(text)[: max(20, columns - 1)])
    sys.stderr.flush()


def end_redraw() -> None:
    """Leave a redrawn line and start a new one."""
    sys.stderr.write("\n")
    sys.stderr.flush()
