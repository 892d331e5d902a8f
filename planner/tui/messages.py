"""What background work tells the app. Handlers own the state; nothing else changes it."""

from typing import TYPE_CHECKING

from textual.message import Message

from planner.core.launch.events import Event, ProgressTold
from planner.core.pairs.recommendation import Recommendation
from planner.tui.child import Outcome
from planner.tui.data.extras import Extras
from planner.tui.data.machine import Situation
from planner.tui.problem import Problem

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord


class Looked(Message):
    """The machine and the catalog were read, or not."""

    def __init__(self, found: Situation | Problem) -> None:
        super().__init__()
        self.found = found


class Planned(Message):
    """The recommendation is there, or the reason why there is none."""

    def __init__(self, found: tuple[Recommendation, ...] | Problem) -> None:
        super().__init__()
        self.found = found


class MoreFound(Message):
    """What is worth knowing about plans, and about which."""

    def __init__(self, plans: tuple[Recommendation, ...], found: Extras | Problem) -> None:
        super().__init__()
        self.plans = plans
        self.found = found


class ServersRead(Message):
    """The running deployments."""

    def __init__(self, found: "tuple[DeploymentRecord, ...] | Problem") -> None:
        super().__init__()
        self.found = found


class LaunchLine(Message):
    """A line of the launching command; a transient one replaces the one before it."""

    def __init__(self, text: str, *, transient: bool) -> None:
        super().__init__()
        self.text = text
        self.transient = transient

    def can_replace(self, message: Message) -> bool:
        """Progress that was not shown yet need not be. Textual asks the older message whether it may be dropped."""
        return self.transient and isinstance(message, LaunchLine)


class LaunchTold(Message):
    """An event of the launching command."""

    def __init__(self, told: Event) -> None:
        super().__init__()
        self.told = told

    def can_replace(self, message: Message) -> bool:
        """As with lines: of progress the newest counts."""
        newer = message.told if isinstance(message, LaunchTold) else None
        return isinstance(self.told, ProgressTold) and isinstance(newer, ProgressTold)


class LicencesRead(Message):
    """What has to be accepted before the launch goes on."""

    def __init__(self, found: tuple[str, ...] | Problem) -> None:
        super().__init__()
        self.found = found


class LaunchEnded(Message):
    """The launching command ended."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


class StopEnded(Message):
    """The command that stops a deployment ended."""

    def __init__(self, name: str, outcome: Outcome) -> None:
        super().__init__()
        self.name = name
        self.outcome = outcome


class DownloadTold(Message):
    """An event of a download."""

    def __init__(self, reference: str, told: Event) -> None:
        super().__init__()
        self.reference = reference
        self.told = told

    def can_replace(self, message: Message) -> bool:
        """Of the progress of one download the newest counts."""
        return (
            isinstance(message, DownloadTold)
            and message.reference == self.reference
            and isinstance(self.told, ProgressTold)
            and isinstance(message.told, ProgressTold)
        )


class DownloadEnded(Message):
    """A download ended, one way or another."""

    def __init__(self, reference: str, outcome: Outcome) -> None:
        super().__init__()
        self.reference = reference
        self.outcome = outcome
