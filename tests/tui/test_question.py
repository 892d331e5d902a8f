"""What-if questions: each field is checked by itself, arrow keys go through values, and the command asks the same."""

import shlex

import pytest

from planner.core.machines.overrides import Overrides
from planner.core.memory.workload import Workload
from planner.tui.data.question import (
    AS_IT_IS,
    BY_NAME,
    FIELDS,
    FieldError,
    Question,
    commands,
    problems,
    read,
    step,
)
from planner.units import GIB


def test_without_any_change_it_is_the_plain_question() -> None:
    assert read(Question()) == (Overrides(), Workload())
    assert commands(Question(), whole_machine=False) == ("planner recommend --total",)


def test_every_field_reaches_the_question() -> None:
    question = Question("RTX 4090", "24x2", "64", "16", "32768", "4", "q8_0", "quality", "commercial", "20")
    assert {field.name for field in FIELDS} == set(question.changed)
    overrides, workload = read(question)
    assert overrides == Overrides(vram=(24 * GIB, 24 * GIB), gpu="RTX 4090", ram_bytes=64 * GIB, cpu_cores=16)
    assert workload == Workload(
        context=32768, parallel=4, kv_type="q8_0", prefer="quality", licence="commercial", min_speed=20.0
    )
    first, second = commands(question, whole_machine=False)
    assert first == "planner hardware --save machine.json"
    assert shlex.split(second)[:6] == ["planner", "recommend", "--hardware", "machine.json", "--gpu", "RTX 4090"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("vram", "lots", "not a memory size"),
        ("vram", "0", "makes no sense"),
        ("ram", "-8", "not a memory size"),
        ("cpu_cores", "0", "not a number of cores"),
        ("context", "12", "Give 256 to 16777216."),
        ("context", "1e5", "not a number of tokens"),
        ("context", "9" * 5000, "not a number of tokens"),
        ("parallel", "65", "Give 1 to 64."),
        ("kv_type", "q3", "Known: f16, bf16"),
        ("min_speed", "nan", "not a speed"),
        ("min_speed", "inf", "not a speed"),
        ("gpu", "x" * 300, "not that long"),
    ],
)
def test_what_cannot_be_is_said_of_its_field_and_no_other(name: str, text: str, said: str) -> None:
    question = Question(context="8192").having(name, text)
    assert set(problems(question)) == {name}
    assert said in problems(question)[name]
    with pytest.raises(FieldError) as raised:
        read(question)
    assert raised.value.field == name


def test_the_arrow_keys_go_through_the_values_and_stop_at_both_ends() -> None:
    question = Question()
    seen = []
    for _ in range(20):
        question = step(question, "context", 1)
        seen.append(question.context)
    assert tuple(seen[:7]) == BY_NAME["context"].steps
    assert seen[-1] == "131072"
    for _ in range(20):
        question = step(question, "context", -1)
    assert question.context == AS_IT_IS


@pytest.mark.parametrize(("by", "to"), [(1, "16"), (-1, "12")])
def test_a_typed_value_lies_between_two_steps(by: int, to: str) -> None:
    assert step(Question(vram="14"), "vram", by).vram == to


def test_spaces_around_a_typed_value_do_not_count() -> None:
    assert Question().having("gpu", "  2x  RTX 3090 ").gpu == "2x RTX 3090"
    assert Question(ram="8").having("ram", "   ") == Question()


def test_every_step_of_every_field_is_a_value_that_can_be() -> None:
    for field in FIELDS:
        for value in field.steps:
            assert not problems(Question().having(field.name, value)), (field.name, value)
