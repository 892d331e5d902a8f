"""The recommendations for common machines are those that were looked at."""

import shlex

import pytest

from tests.cli.conftest import (
    Planner,
    planner,  # noqa: F401  # the fixture
)
from tests.golden.machines import MACHINES, commands, path_of


@pytest.mark.parametrize("machine", MACHINES)
def test_the_answer_is_the_one_that_was_reviewed(
    planner: Planner,  # noqa: F811
    machine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = [f"$ {command}\n{planner(*shlex.split(command)[1:]).out}" for command in commands(machine)]
    assert "\n".join(found) == path_of(machine).read_text(encoding="utf-8"), "python -m tests.golden.machines"


@pytest.mark.parametrize("machine", MACHINES)
def test_no_plan_takes_more_than_there_is(planner: Planner, machine: str) -> None:  # noqa: F811
    for plan in planner(*shlex.split(commands(machine)[0])[1:], "--json").json["recommendations"]:
        assert plan["memory"]["total_bytes"] <= plan["memory"]["budget_bytes"]
        for row in plan["memory"]["devices"]:
            assert row["total_bytes"] <= row["budget_bytes"]
