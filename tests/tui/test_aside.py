"""The process that looks and plans: its answers are used, and whatever is wrong with it there is another way."""

import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planner.errors import PlannerError
from planner.tui.data import extras, machine
from planner.tui.data.aside import Aside
from planner.tui.data.extras import Extras
from planner.tui.data.machine import Situation
from tests.tui.world import EXTRAS, HARDWARE, PLANS

Child = Callable[[str], Aside]


@pytest.fixture
def child(tmp_path: Path, request: pytest.FixtureRequest) -> Child:
    """An `Aside` whose child runs a Python text; `answers` is the path of what it may send."""
    answers = tmp_path / "answers"
    answers.write_bytes(b"".join(pickle.dumps(value) for value in (Situation(HARDWARE, ()), PLANS, EXTRAS)))

    def make(code: str) -> Aside:
        code = f"import sys, time\nanswers = open({str(answers)!r}, 'rb').read()\n{code}"
        aside = Aside((sys.executable, "-I", "-c", code))
        request.addfinalizer(aside.close)
        return aside

    return make


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What had to be done in this process."""
    done: list[str] = []

    def look() -> Situation:
        done.append("look")
        return Situation(HARDWARE, (), ("looked here",))

    def plan(_: Situation) -> object:
        done.append("plan")
        return PLANS[:1]

    def more(_: Situation, __: object) -> Extras:
        done.append("more")
        return Extras()

    monkeypatch.setattr(extras, "find_extras", more)
    monkeypatch.setattr(machine, "look_around", look)
    monkeypatch.setattr(machine, "plan_pairs", plan)
    return done


def test_look_and_plan_come_from_the_child(child: Child, here: list[str]) -> None:
    aside = child("sys.stdout.buffer.write(answers)")
    for _ in range(2):
        aside.begin()
        situation = aside.look()
        assert situation.hardware == HARDWARE
        plans = aside.plan(situation)
        assert plans == PLANS
        assert aside.more(situation, plans) == EXTRAS
    assert here == []


@pytest.mark.parametrize(
    ("code", "in_this_process"),
    [
        ("sys.exit(1)", ["look", "plan", "more"]),
        ("import os; os.kill(os.getpid(), 11)", ["look", "plan", "more"]),
        ("sys.stdout.buffer.write(answers[:100])", ["look", "plan", "more"]),
        ("sys.stdout.buffer.write(b'hello')", ["look", "plan", "more"]),
        ("import pickle; sys.stdout.buffer.write(pickle.dumps(7))", ["look", "plan", "more"]),
        ("sys.stdout.buffer.write(answers[:3000])", ["plan", "more"]),
        ("sys.stdout.buffer.write(answers[:-50])", ["more"]),
    ],
)
def test_a_child_that_ends_without_an_answer_is_done_without(
    child: Child, here: list[str], code: str, in_this_process: list[str]
) -> None:
    aside = child(code)
    situation = aside.look()
    plans = aside.plan(situation)
    aside.more(situation, plans)
    assert here == in_this_process


def test_where_no_child_can_be_started_the_work_is_done_here(here: list[str]) -> None:
    aside = Aside(("/nonexistent/python",))
    aside.begin()
    assert aside.plan(aside.look())
    assert here == ["look", "plan"]


def test_plans_of_an_earlier_look_are_never_taken_for_those_of_another(child: Child, here: list[str]) -> None:
    aside = child("sys.stdout.buffer.write(answers)")
    aside.look()
    assert aside.plan(Situation(HARDWARE, ())) == PLANS[:1]
    assert here == ["plan"]


def test_a_child_that_hangs_is_ended_by_the_next_look_and_at_the_end(child: Child, here: list[str]) -> None:
    import threading

    aside = child("time.sleep(600)")
    aside.begin()
    first = aside._child
    failed: list[PlannerError] = []

    def wait() -> None:
        try:
            aside.look()
        except PlannerError as error:
            failed.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while aside._begun:  # until it waits for the child
        pass
    aside.begin()
    waiting.join(30)
    second = aside._child
    aside.close()
    assert [error.reference for error in failed] == ["superseded"]
    assert first is not None
    assert second is not None
    assert (first.returncode, second.returncode) == (-9, -9)
    assert here == []


@pytest.mark.parametrize("code", ["time.sleep(600)", "sys.stdout.buffer.write(answers[:3000])\nsys.stdout.flush()"])
def test_giving_up_ends_the_child_and_nothing_is_done_here_instead(child: Child, here: list[str], code: str) -> None:
    aside = child(f"{code}\ntime.sleep(600)")
    aside.begin()
    process = aside._child
    assert process is not None
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: aside.plan(aside.look()))
        while aside._begun:  # until it waits for the child
            pass
        aside.give_up()
        failed = waiting.exception(30)
    assert isinstance(failed, PlannerError)
    assert failed.reference == "superseded"
    assert process.wait(30) == -9
    assert here == []


def test_the_real_child_finds_what_this_process_finds(tmp_path: Path) -> None:
    aside = Aside()
    try:
        situation = aside.look()
        assert situation.catalog is not None
        plans = aside.plan(situation)
        more = aside.more(situation, plans)
        child = aside._child
        assert child is not None
        assert child.wait(60) == 0
        assert more == extras.find_extras(situation, plans)
    finally:
        aside.close()
    assert machine.look_around().models == situation.models
    assert {plan.command for plan in plans} == {plan.command for plan in machine.plan_pairs(situation)}
