"""`planner logs`: which deployment and which role the words on the command line mean."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.config import load_config
from tests.cli.conftest import Planner

Put = Callable[[str, str], None]


@pytest.fixture
def put() -> Put:
    """Leave the log of a stopped deployment's role behind."""
    clock = iter(range(1, 1000))

    def write(name: str, role: str) -> None:
        home = load_config().deployments_dir / name
        (home / "logs").mkdir(parents=True, exist_ok=True)
        (home / "logs" / f"{role}.log").write_text(f"words of {name} {role}\n")
        state: Path = home / "state.json"
        state.write_text("{}")
        os.utime(state, (tick := next(clock), tick))

    return write


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), ["other generation", "other supervisor"]),
        (("generation",), ["other generation"]),
        (("default",), ["default embedding", "default generation"]),
        (("default", "generation"), ["default generation"]),
        (("default", "generation", "-f"), ["default generation"]),
        (("--name", "default", "embedding"), ["default embedding"]),
        (("--name", "default"), ["default embedding", "default generation"]),
    ],
)
def test_a_name_a_role_or_both(planner: Planner, put: Put, words: tuple[str, ...], said: list[str]) -> None:
    for name, role in (("default", "embedding"), ("default", "generation")):
        put(name, role)
    for role in ("generation", "supervisor"):
        put("other", role)
    done = planner("logs", *words)
    assert done.code == 0, done.err
    assert [line.partition("words of ")[2] for line in done.out.splitlines()] == said


def test_a_deployment_that_is_between_its_end_and_its_start_has_its_logs(planner: Planner, put: Put) -> None:
    put("default", "generation")
    (load_config().deployments_dir / "default/state.json").unlink()
    done = planner("logs")
    assert done.code == 0, done.err
    assert "words of default generation" in done.out


@pytest.mark.parametrize(
    ("words", "code", "reference"),
    [
        (("nothing",), 3, "no-such-deployment"),
        (("../default",), 3, "no-such-deployment"),
        (("nothing", "generation"), 3, "no-such-deployment"),
        (("--name", "nothing"), 3, "no-such-deployment"),
        (("default", "reranker"), 3, "no-such-log"),
        (("--name", "../x"), 2, "name-invalid"),
        (("default", "generator"), 2, "usage"),
        (("--name", "default", "other"), 2, "usage"),
        (("default", "generation", "x"), 2, "usage"),
    ],
)
def test_words_that_mean_nothing_are_told(
    planner: Planner, put: Put, words: tuple[str, ...], code: int, reference: str
) -> None:
    put("default", "generation")
    done = planner("logs", *words, "--json")
    assert (done.code, done.json["error"]["reference"]) == (code, reference)
    if words == ("nothing",):
        assert "default" in done.json["error"]["hint"]


def test_a_deployment_that_is_named_like_a_role_is_meant_by_its_option(planner: Planner, put: Put) -> None:
    put("generation", "embedding")
    put("default", "generation")
    assert "words of default generation" in planner("logs", "generation").out
    assert "words of generation embedding" in planner("logs", "--name", "generation").out
