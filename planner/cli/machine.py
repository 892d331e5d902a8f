"""The machine a page is about, as far as one was asked about."""

from planner.cli.planning import planned_hardware
from planner.cli.session import Session
from planner.core.machines.hardware import Hardware


def asked_machine(session: Session) -> Hardware:
    """The described machine, else this one at its capacity: the same answer every time."""
    return planned_hardware(session, live=False)
