"""Logs of deployments, followed as they grow, without keys."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from planner.serve.supervision.log_file import LogReader

ACCESS = "access"
"""The gateway's own log: a line of JSON for each request. It is shown when it is asked for, in words."""
TAIL_LINES = 300
_TAIL_BYTES = 64 * 1024
_LONG_S = 0.05


class Follower(Protocol):
    """Logs of one deployment. Blocks for as long as a disk takes."""

    def read(self) -> list[tuple[str, str]]:
        """Role and line: first the last lines there are, from then on what was added."""


class LogFollower:
    """Follows the logs of some roles, of all processes when none is named. Files may come later, or be cut."""

    def __init__(self, folder: Path, roles: Sequence[str] = ()) -> None:
        self._folder = folder
        self._roles = tuple(roles)
        self._readers: dict[str, LogReader] = {}

    def read(self) -> list[tuple[str, str]]:
        """Of several files one after the other: their lines carry no common time."""
        from planner.serve.engine.redact import redact

        found: list[tuple[str, str]] = []
        for path in sorted(self._folder.glob("*.log")):
            if path.stem in self._roles or (not self._roles and path.stem != ACCESS):
                lines = [redact(line) for line in self._lines(path) if line.strip()]
                if path.stem == ACCESS:
                    lines = [text for line in lines if (text := request_words(line))]
                found += [(path.stem, line) for line in lines]
        return found

    def _lines(self, path: Path) -> list[str]:
        from planner.serve.supervision.log_file import LogReader

        reader = self._readers.get(path.stem)
        if reader is not None:
            # What an engine said last may have no end; it is shown once nothing else comes.
            return reader.read() or list(reader.drain())
        try:
            start = max(0, path.stat().st_size - _TAIL_BYTES)
        except OSError:
            return []
        reader = self._readers[path.stem] = LogReader(path, start)
        lines = reader.read()
        return lines[1 if start else 0 :][-TAIL_LINES:]


def request_words(line: str) -> str:
    """A request in words: `13:46:40 POST /v1/embeddings 200 in 0.52 s`; empty for this app's own questions."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(entry, dict) or not {"time", "method", "route", "status"} <= set(entry):
        return line
    if entry["route"] == "/metrics":
        return ""
    parts = [str(entry["time"])[11:19], *(str(entry[name]) for name in ("method", "route", "status"))]
    parts += [words for name, tell in _TOLD if (words := tell(entry.get(name)))]
    return " ".join(parts)


def _number(least: float, words: str) -> Callable[[object], str]:
    return lambda value: words.format(value) if isinstance(value, int | float) and value >= least else ""


def _text(words: str) -> Callable[[object], str]:
    return lambda value: words.format(value) if isinstance(value, str) and value not in ("", "owner") else ""


_TOLD: tuple[tuple[str, Callable[[object], str]], ...] = (
    ("error", _text("{}")),
    ("seconds", _number(0.0, "in {:.2f} s")),
    ("waited_seconds", _number(_LONG_S, "after {:.2f} s of waiting")),
    ("prompt_tokens", _number(1, "{} read")),
    ("completion_tokens", _number(1, "{} written")),
    ("key", _text("with the key {}")),
)
"""What else of a request is told, in this order; the owner's own key is not worth a word."""


def follow_logs(name: str, roles: Sequence[str] = ()) -> Follower:
    """The logs of a deployment. Raises UsageError for a name that cannot be one."""
    from planner.config import load_config
    from planner.serve.state import Home

    home = Home(load_config().deployments_dir, name)
    return LogFollower(home.log("supervisor").parent, roles)
