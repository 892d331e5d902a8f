"""What-if answers come from the planner itself: the command that is named answers the same."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from planner.catalog.loader import load
from planner.core.memory.readings import with_whole_budgets
from planner.core.pages.views import hardware_view
from planner.tui.data.machine import Situation
from planner.tui.data.question import FieldError, Question
from planner.tui.data.what_if import WhatIf, gpu_names
from planner.units import GIB
from tests.core.shapes import gpu, machine


@pytest.fixture(scope="module")
def situation() -> Situation:
    """A machine with a card of 8 GiB, and the shipped catalog."""
    catalog = load()
    return Situation(machine(gpu(0, 8.0)), catalog.models, (), catalog.speed, catalog)


def test_without_a_change_the_best_plan_is_that_of_this_machine(situation: Situation) -> None:
    answer = WhatIf()(situation, Question())
    assert answer.problem is None
    assert answer.best_here is not None
    assert answer.plans[0].command == answer.best_here.command
    assert answer.plans[0].score == answer.best_here.score


def test_a_larger_card_in_this_machine_keeps_the_rest_of_it(situation: Situation) -> None:
    answer = WhatIf()(situation, Question(vram="24"))
    assert answer.hardware.devices[0].memory_total_bytes == 24 * GIB
    assert answer.hardware.host.memory_total_bytes == situation.hardware.host.memory_total_bytes
    assert answer.best_here is not None
    assert answer.plans[0].score > answer.best_here.score


def test_a_chip_that_shares_memory_is_another_computer(situation: Situation) -> None:
    answer = WhatIf()(situation, Question(gpu="Apple M4 Max", ram="64"))
    assert answer.commands == ("planner recommend --gpu 'Apple M4 Max' --ram 64",)
    assert answer.hardware.host.os == "macos"
    assert answer.hardware.host.memory_total_bytes == 64 * GIB


def test_nothing_that_fits_is_an_answer_with_the_reason(situation: Situation) -> None:
    answer = WhatIf()(situation, Question(min_speed="900000"))
    assert answer.plans == ()
    assert answer.problem is not None
    assert answer.best_here is not None


@pytest.mark.parametrize(
    ("question", "field", "said"),
    [
        (Question(gpu="RTX 409"), "gpu", "Press enter for a list"),
        (Question(gpu="2x RTX 3090", vram="8,8,8"), "gpu", "VRAM gives 3 sizes"),
        (Question(ram="none"), "ram", "not a memory size"),
    ],
)
def test_what_cannot_be_names_its_field(situation: Situation, question: Question, field: str, said: str) -> None:
    with pytest.raises(FieldError) as raised:
        WhatIf()(situation, question)
    assert raised.value.field == field
    assert said in f"{raised.value.message} {raised.value.hint}"


def test_the_list_of_gpus_has_memory_and_bandwidth_of_each(situation: Situation) -> None:
    names = dict(gpu_names(situation))
    assert names["GeForce RTX 4090"].startswith("24 GiB, 1")
    assert len(names) > 400


@pytest.mark.parametrize("question", [Question(vram="12"), Question(gpu="RTX 4090", context="32768")])
def test_the_named_command_answers_the_same(situation: Situation, question: Question, tmp_path: Path) -> None:
    answer = WhatIf()(situation, question)
    saved = tmp_path / "machine.json"
    saved.write_bytes(msgspec.json.encode(hardware_view(with_whole_budgets(situation.hardware))))
    command = answer.commands[-1].replace("machine.json", str(saved))
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command), "--json"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    told = json.loads(done.stdout)["recommendations"]
    assert [item["command"] for item in told] == [list(plan.command) for plan in answer.plans]
    assert [item["score"] for item in told] == [plan.score for plan in answer.plans]
    assert [item["memory"]["total_bytes"] for item in told] == [plan.memory.total_bytes for plan in answer.plans]
