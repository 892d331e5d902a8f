"""Running `planner` itself in a child process, so that the app survives its crashes and deployments survive the app.

The child's stderr is narration and is passed on line by line, with events between the lines where they are wanted
(`planner.core.launch.events`); its stdout is one JSON document.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import msgspec

from planner.core.launch.events import Event, NoteTold, decode_event
from planner.tui.problem import Problem
from planner.units import printable

COMMAND = (sys.executable, "-P", "-m", "planner")
"""This very installation. `-P`: a folder named planner where the user happens to be must not be run instead."""

MAX_ANSWER_BYTES = 4 * 2**20
_KEPT_LINES = 12
_POLL_S = 0.1
_INTERRUPTED = 130
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")

OnEvent = Callable[[Event], None]
"""Gets each event. Called from another thread."""
OnLine = Callable[[str, bool], None]
"""Gets each line, and whether it is one that the next will replace (progress). Called from another thread."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: with an answer, or with a problem. `cancelled`: because it was told to."""

    answer: dict[str, Any]
    problem: Problem | None = None
    cancelled: bool = False


class Job(Protocol):
    """A command under way."""

    def wait(self) -> Outcome:
        """Blocks until it ended."""

    def interrupt(self) -> None:
        """Ask it to end, as Ctrl-C would; returns at once, and `wait` then comes back."""

    def settle(self, grace_s: float) -> None:
        """Give it that long to end after an interrupt; what still runs then ends by itself."""


class Start(Protocol):
    """Starts `planner` with arguments. Raises OSError when that is not possible."""

    def __call__(self, arguments: Sequence[str], on_line: OnLine, on_event: OnEvent | None = None) -> Job:
        """The started command. With `on_event` it tells its progress in events, and on a redrawn line otherwise."""


class ChildJob:
    """`planner` in a child process of its own session: a closed terminal does not end it half-way.

    It writes to unnamed files rather than pipes, so that it can clean up in peace after this process has gone.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        on_line: OnLine,
        on_event: OnEvent | None = None,
        *,
        command: Sequence[str],
        environ: Mapping[str, str],
    ) -> None:
        self._name = f"planner {arguments[0]}" if arguments else "planner"
        self._on_line = on_line
        self._on_event = on_event
        self._lines: list[str] = []
        self._interrupted = threading.Event()
        with contextlib.ExitStack() as until_started:
            out, self._out = _channel(until_started)
            err, self._err = _channel(until_started)
            self._process = subprocess.Popen(
                [*command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={
                    **environ,
                    "PYTHONIOENCODING": "utf-8",
                    "PLANNER_PROGRESS": "redraw" if on_event is None else "events",
                },
            )

    def wait(self) -> Outcome:
        """Pass on what the child says until it ended; call once."""
        splitter = LineSplitter()
        with self._out, self._err:
            ended = False
            while True:
                while chunk := self._err.read(65536):
                    self._tell(splitter.feed(chunk))
                if ended:
                    break
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_POLL_S)
                    ended = True
            self._tell(splitter.rest())
            return self._outcome(self._out.read(MAX_ANSWER_BYTES), self._process.returncode)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self._interrupted.set()
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT if os.name == "posix" else signal.SIGTERM)

    def settle(self, grace_s: float) -> None:
        """Wait, but not for long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace_s)

    def _tell(self, lines: Sequence[tuple[str, bool]]) -> None:
        for line, transient in lines:
            text = line
            if self._on_event is not None:
                if transient:
                    continue  # half a line: the rest is on its way
                event = decode_event(line)
                if event is not None and not isinstance(event, NoteTold):
                    self._on_event(event)
                    continue
                text = line if event is None else printable(event.text)
            if not transient:
                self._lines = [*self._lines, text][-_KEPT_LINES:]
            self._on_line(text, transient)

    def _outcome(self, answer: bytes, exit_code: int) -> Outcome:
        try:
            body = msgspec.json.decode(answer, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            body = {}
        if exit_code == 0 and body and "error" not in body:
            return Outcome(body)
        if self._interrupted.is_set():
            return Outcome({}, Problem("Cancelled.", "What was downloaded is kept.", "cancelled"), cancelled=True)
        error = _error_in(body)
        if error is None and body and "error" not in body:
            # An answer that is not what was hoped for: damaged files, for one.
            return Outcome(body, self._silent(exit_code))
        return Outcome({}, error or self._silent(exit_code))

    def _silent(self, exit_code: int) -> Problem:
        """An end without a JSON answer: say how, with the child's own last words."""
        how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
        if exit_code == _INTERRUPTED:
            how = "was interrupted"
        words = next((line for line in reversed(self._lines) if line.strip()), "")
        return Problem(
            f"{self._name} {how} and gave no answer.",
            f"Its last words: {words}" if words else "It said nothing.",
            "no-answer",
        )


def start_child(arguments: Sequence[str], on_line: OnLine, on_event: OnEvent | None = None) -> Job:
    """Start `planner` with arguments. Raises OSError."""
    return ChildJob(arguments, on_line, on_event, command=COMMAND, environ=os.environ)


def _error_in(body: Mapping[str, Any]) -> Problem | None:
    error = body.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return None
    return Problem(error["message"], str(error.get("hint") or ""), str(error.get("reference") or "unexpected"))


def _channel(until_started: contextlib.ExitStack) -> tuple[int, BinaryIO]:
    """A file without a name: a descriptor for the child to write to, closed here once it has it, and a reader."""
    descriptor, path = tempfile.mkstemp(prefix="planner-")
    until_started.callback(os.close, descriptor)
    reader = Path(path).open("rb", buffering=0)  # noqa: SIM115  # closed when the child ended
    with contextlib.suppress(OSError):  # Windows keeps the name until the file is closed
        Path(path).unlink()
    return descriptor, cast("BinaryIO", reader)


class LineSplitter:
    """Bytes to lines. What a carriage return ends is about to be replaced, so it is progress, not a line."""

    MAX_LINE = 4096

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> list[tuple[str, bool]]:
        """Complete lines with False, then the current state of an unfinished one with True."""
        *complete, self._held = (self._held + chunk).replace(b"\r\n", b"\n").split(b"\n")
        found = [(text, False) for line in complete if (text := _shown(line))]
        # A line without an end must not grow for ever.
        self._held = self._held.rsplit(b"\r", 1)[-1][-self.MAX_LINE :] if b"\r" in self._held else self._held
        self._held = self._held[-self.MAX_LINE :]
        if text := _shown(self._held):
            found.append((text, True))
        return found

    def rest(self) -> list[tuple[str, bool]]:
        """What is left at the end of the stream."""
        text = _shown(self._held)
        self._held = b""
        return [(text, False)] if text else []


def _shown(line: bytes) -> str:
    """The last state of a redrawn line, without escape sequences and control characters."""
    states = [_ESCAPES.sub("", part) for part in line.decode("utf-8", "replace").split("\r")]
    last = next((state for state in reversed(states) if state.strip()), "")
    return printable(last).rstrip()[: LineSplitter.MAX_LINE]
