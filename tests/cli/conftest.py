"""Running commands in this process, with what they print and their exit code."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from planner.cli.app import run


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Planner = Callable[..., Outcome]


@pytest.fixture
def planner(capfd: pytest.CaptureFixture[str]) -> Planner:
    """`planner("recommend", "--vram", "8")` → its outcome."""

    def call(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        return Outcome(code=int(code), out=out, err=err)

    return call
