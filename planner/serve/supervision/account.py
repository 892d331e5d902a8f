"""What a supervisor tells others of its deployment: the record, kept true on disk as far as the disk allows."""

import contextlib
import sys
from typing import Any

import msgspec

from planner.core.models.model import Role
from planner.serve.state import DeploymentRecord, Home, ProcessRecord


class Account:
    """The record of one deployment; changed in memory, written by `save` when it is another than was written."""

    def __init__(self, home: Home, record: DeploymentRecord) -> None:
        self._home = home
        self.record = record
        self._saved: DeploymentRecord | None = None
        self._problem = ""

    def change(self, **changes: Any) -> None:
        """Change fields of the deployment."""
        self.record = msgspec.structs.replace(self.record, **changes)

    def note(self, text: str) -> None:
        """Add a line for people."""
        self.change(notes=(*self.record.notes, text))

    def process(self, role: Role) -> ProcessRecord:
        """The record of a role's process."""
        return next(process for process in self.record.processes if process.role == role.value)

    def update(self, role: Role, **changes: Any) -> None:
        """Change fields of a role's process."""
        self.put(msgspec.structs.replace(self.process(role), **changes))

    def put(self, changed: ProcessRecord) -> None:
        """Replace the record of a process."""
        self.change(processes=tuple(changed if p.role == changed.role else p for p in self.record.processes))

    @property
    def is_saved(self) -> bool:
        """Whether what is on disk is what is known."""
        return self.record == self._saved

    def save(self) -> None:
        """Write it if it changed. A disk that takes nothing is no reason to end engines that answer: it is told once.

        Never over the state of another supervisor: whoever reads that would lose the other's engines.
        """
        if self.is_saved:
            return
        if self._home.state_token() not in ("", self.record.supervisor_token):
            say(f"{self._home.state} belongs to another supervisor; not written.")
            self._saved = self.record
            return
        try:
            self._home.write_state(self.record)
        except OSError as error:
            problem = f"{self._home.state} cannot be written: {error.strerror or error}"
            if problem != self._problem:
                say(problem)
            self._problem = problem
            return
        self._saved, self._problem = self.record, ""


def say(text: str) -> None:
    """A line for the supervisor's own log, if that can be written."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
