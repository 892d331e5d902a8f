"""The parts of a launch in order, each with its state and time: folded from what the command tells. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from planner.core.launch.events import Event, ProgressTold, Step, StepState, StepTold
from planner.tui.child import Outcome
from planner.tui.pace import Pace, moved

_ROLE_NAMES = {"embedding": "embedder", "generation": "generator", "reranker": "reranker"}
_TITLES = {
    Step.PLAN: "plan",
    Step.ENGINE: "engine",
    Step.FETCH: "download",
    Step.START: "start",
    Step.LOAD: "load",
    Step.VERIFY: "verify",
}


class PartState(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    NOT_NEEDED = "not needed"


@dataclass(frozen=True)
class Part:
    """One part. Times in seconds of the app's clock; `pace` while bytes are moved."""

    step: Step
    role: str = ""
    state: PartState = PartState.WAITING
    detail: str = ""
    began_s: float | None = None
    ended_s: float | None = None
    pace: Pace | None = None

    @property
    def title(self) -> str:
        """`download embedder`."""
        return f"{_TITLES[self.step]} {_ROLE_NAMES.get(self.role, self.role)}".rstrip()

    def took_s(self, now_s: float) -> float | None:
        """How long it took, or takes by now; None for one that has not begun."""
        return None if self.began_s is None else (now_s if self.ended_s is None else self.ended_s) - self.began_s


Parts = tuple[Part, ...]


def first_parts(roles: Sequence[str], details: Sequence[str] = ()) -> Parts:
    """All parts of a launch of these roles; `details` say what is fetched for each."""
    details = [*details, *([""] * len(roles))]
    fetches = (Part(Step.FETCH, role, detail=detail) for role, detail in zip(roles, details, strict=False))
    loads = (Part(Step.LOAD, role) for role in roles)
    return (Part(Step.PLAN), Part(Step.ENGINE), *fetches, Part(Step.START), *loads, Part(Step.VERIFY))


def told(parts: Parts, event: Event, now_s: float) -> Parts:
    """The parts after an event; events about parts that nobody knows are left alone."""
    if isinstance(event, ProgressTold):
        return _progress(parts, event, now_s)
    return tuple(_after(part, event, now_s) for part in parts) if isinstance(event, StepTold) else parts


def _progress(parts: Parts, event: ProgressTold, now_s: float) -> Parts:
    """Bytes belong to the part that is under way; engines are fetched too."""
    here = next((p for p in parts if p.state is PartState.UNDER_WAY and p.step in {Step.ENGINE, Step.FETCH}), None)
    return tuple(replace(p, pace=moved(p.pace, event, now_s)) if p is here else p for p in parts)


def _after(part: Part, event: StepTold, now_s: float) -> Part:
    if (part.step, part.role) != (event.step, event.role):
        return part
    detail = event.detail or part.detail
    match event.state:
        case StepState.WAITING:
            return replace(part, detail=detail)
        case StepState.BEGUN:
            return replace(part, state=PartState.UNDER_WAY, detail=detail, began_s=now_s, ended_s=None, pace=None)
        case StepState.DONE:
            return _ended(replace(part, detail=detail), PartState.DONE, now_s)
        case StepState.FAILED:
            return _ended(replace(part, detail=detail), PartState.FAILED, now_s)


def _ended(part: Part, state: PartState, now_s: float) -> Part:
    return replace(part, state=state, began_s=now_s if part.began_s is None else part.began_s, ended_s=now_s)


def ended(parts: Parts, outcome: Outcome, now_s: float) -> Parts:
    """The parts once the command has ended: what was under way failed or was stopped, or was done after all."""
    if outcome.problem is None:
        return tuple(
            _ended(part, PartState.DONE, now_s)
            if part.state is PartState.UNDER_WAY
            else replace(part, state=PartState.NOT_NEEDED)
            if part.state is PartState.WAITING
            else part
            for part in parts
        )
    failed = any(part.state is PartState.FAILED for part in parts)
    end = PartState.STOPPED if outcome.cancelled or failed else PartState.FAILED
    if not failed and all(part.state is not PartState.UNDER_WAY for part in parts):
        blamed = next((part for part in parts if part.state is PartState.WAITING), None)
        return tuple(_ended(part, end, now_s) if part is blamed else part for part in parts)
    return tuple(_ended(part, end, now_s) if part.state is PartState.UNDER_WAY else part for part in parts)


def failed_part(parts: Parts) -> Part | None:
    """The first one that failed."""
    return next((part for part in parts if part.state is PartState.FAILED), None)
