"""Logs of deployments, followed as they grow, without keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from planner.serve.log_file import LogReader

TAIL_LINES = 300
_TAIL_BYTES = 64 * 1024


class Follower(Protocol):
    """Logs of one deployment. Blocks for as long as a disk takes."""

    def read(self) -> list[tuple[str, str]]:
        """Role and line: first the last lines there are, from then on what was added."""


class LogFollower:
    """Follows the logs of some roles, of all when none is named. Files may come later, be cut, or be replaced."""

    def __init__(self, folder: Path, roles: Sequence[str] = ()) -> None:
        self._folder = folder
        self._roles = tuple(roles)
        self._readers: dict[str, LogReader] = {}

    def read(self) -> list[tuple[str, str]]:
        """Of several files one after the other: their lines carry no common time."""
        from planner.serve.redact import redact

        found: list[tuple[str, str]] = []
        for path in sorted(self._folder.glob("*.log")):
            if not self._roles or path.stem in self._roles:
                found += [(path.stem, redact(line)) for line in self._lines(path) if line.strip()]
        return found

    def _lines(self, path: Path) -> list[str]:
        from planner.serve.log_file import LogReader

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


def follow_logs(name: str, roles: Sequence[str] = ()) -> Follower:
    """The logs of a deployment. Raises UsageError for a name that cannot be one."""
    from planner.config import load_config
    from planner.serve.state import Home

    home = Home(load_config().deployments_dir, name)
    return LogFollower(home.log("supervisor").parent, roles)
