"""What a running command tells a program that reads along: one JSON object a line on stderr, beside notes for people.

Wanted with PLANNER_PROGRESS=events. The app draws its steps and bars from them; nothing else depends on them.
"""

from enum import StrEnum

import msgspec


class Step(StrEnum):
    """The parts of a launch, in order. Fetching and loading are done for each model."""

    PLAN = "plan"
    ENGINE = "engine"
    FETCH = "fetch"
    START = "start"
    LOAD = "load"
    VERIFY = "verify"


class StepState(StrEnum):
    """Where a part stands."""

    WAITING = "waiting"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"


class StepTold(msgspec.Struct, frozen=True, tag="step", tag_field="event"):
    """A part began or ended. `role` of a model where there are several; `detail` for people."""

    step: Step
    state: StepState
    role: str = ""
    detail: str = ""


class ProgressTold(msgspec.Struct, frozen=True, tag="progress", tag_field="event"):
    """Where a fetch stands: bytes done, of all (None: nobody knows), in a phase of `planner.fetch.progress`."""

    label: str
    phase: str
    done_bytes: int
    total_bytes: int | None = None


class NoteTold(msgspec.Struct, frozen=True, tag="note", tag_field="event"):
    """A line for people."""

    text: str


Event = StepTold | ProgressTold | NoteTold
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> str:
    """One line, without its end."""
    return msgspec.json.encode(event).decode()


def decode_event(line: str | bytes) -> Event | None:
    """The event a line holds; None for any other line."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
