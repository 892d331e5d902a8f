"""Measured speeds on disk: they come back as they were, and nothing damaged is believed."""

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planner.core.estimates.measurements import Measurement
from planner.core.memory.workload import Settings
from planner.probe.speed_store import add_speeds, forget_speeds, read_speeds, speed_file

SPEED = Measurement(
    device="cpu",
    quantity="tg",
    model="test/writer",
    quant="Q8_0",
    settings=Settings(context=4096, n_gpu_layers=0, depth=400),
    tokens_per_s=21.5,
    engine="embedded 1.0",
    measured_on="2026-11-03",
)


def changed(**fields: Any) -> Measurement:
    return msgspec.structs.replace(SPEED, **fields)


def test_what_was_kept_is_read_for_its_owner_alone(tmp_path: Path) -> None:
    path = add_speeds(tmp_path, "m", [SPEED])
    assert read_speeds(tmp_path, "m") == ((SPEED,), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_measured_is_no_note(tmp_path: Path) -> None:
    assert read_speeds(tmp_path, "m") == ((), None)


def test_a_later_measurement_takes_the_place_of_an_earlier_one_of_its_kind(tmp_path: Path) -> None:
    others = [changed(quantity="pp"), changed(quant="F16"), changed(device="rtx-4090/cuda")]
    add_speeds(tmp_path, "m", [SPEED, *others])
    add_speeds(tmp_path, "m", [changed(tokens_per_s=30.0, model="TEST/Writer")])
    speeds, _ = read_speeds(tmp_path, "m")
    assert len(speeds) == 4
    assert [speed.tokens_per_s for speed in speeds if speed.key == SPEED.key] == [30.0]


def test_forgetting_removes_all_and_says_how_many(tmp_path: Path) -> None:
    assert forget_speeds(tmp_path, "m") == 0
    add_speeds(tmp_path, "m", [SPEED, changed(quantity="pp")])
    assert forget_speeds(tmp_path, "m") == 2
    assert read_speeds(tmp_path, "m") == ((), None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[" * 5000,
        b"{}",
        msgspec.json.encode({"machine": "another", "speeds": [], "schema": 1}),
        msgspec.json.encode({"machine": "m", "speeds": [], "schema": 2}),
        *(
            msgspec.json.encode({"machine": "m", "speeds": [msgspec.to_builtins(speed)], "schema": 1})
            for speed in (
                changed(tokens_per_s=0.0),
                changed(tokens_per_s=-3.0),
                changed(tokens_per_s=1e300),
                changed(measured_on="yesterday"),
                changed(settings=Settings(context=0)),
                changed(settings=Settings(context=4096, depth=-1)),
                changed(settings=Settings(context=2**40)),
            )
        ),
    ],
)
def test_a_damaged_or_foreign_file_is_left_alone_with_a_note(tmp_path: Path, content: bytes) -> None:
    path = speed_file(tmp_path, "m")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    speeds, note = read_speeds(tmp_path, "m")
    assert speeds == ()
    assert note is not None
    assert "planner bench" in note
    assert str(tmp_path) not in note
