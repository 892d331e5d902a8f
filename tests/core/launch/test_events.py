"""Events of a running command: what is written can be read back, and nothing else passes for one."""

import pytest

from planner.core.launch.events import (
    Event,
    NoteTold,
    ProgressTold,
    Step,
    StepState,
    StepTold,
    decode_event,
    encode_event,
)


@pytest.mark.parametrize(
    "event",
    [
        StepTold(Step.LOAD, StepState.DONE, "generation", "buffers of 295 MiB"),
        ProgressTold("bge-m3:F16", "downloading", 3, 10),
        ProgressTold("bge-m3:F16", "converting", 3),
        NoteTold("two\nlines, and “quotes”"),
    ],
)
def test_an_event_survives_its_line(event: Event) -> None:
    line = encode_event(event)
    assert "\n" not in line
    assert decode_event(line) == event


@pytest.mark.parametrize(
    "line",
    [
        "",
        "engine: embedded",
        "{}",
        '{"event": "step"}',
        '{"event": "step", "step": "dance", "state": "begun"}',
        '{"event": "progress", "label": "x", "phase": "y", "done_bytes": "3"}',
        "[" * 100_000,
        b"\xff",
    ],
)
def test_any_other_line_is_none(line: str | bytes) -> None:
    assert decode_event(line) is None
