"""The command that a recommendation ends with runs what was recommended, whatever the question was."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.location import data_dir
from tests.cli.conftest import Planner


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model of one's own, better than any there is, in a folder with a space."""
    shipped = json.loads((data_dir() / "models" / "qwen3.json").read_text(encoding="utf-8"))
    models: list[dict[str, Any]] = [each for each in shipped["models"] if each["id"] == "Qwen/Qwen3-4B"]
    (model,) = models
    path = tmp_path / "my models" / "own.json"
    path.parent.mkdir()
    own = {**model, "id": "me/own-4B", "aliases": [], "family": "own", "release_date": "2025-09-29"}
    path.write_text(json.dumps({"schema": 1, "family": "own", "models": [own]}), encoding="utf-8")
    return path


@pytest.mark.parametrize("folder", [False, True])
def test_a_model_of_one_s_own_is_named_with_its_file(planner: Planner, own: Path, folder: bool) -> None:
    given = str(own.parent if folder else own)
    options = ("--vram", "12", "--catalog", given, "-n", "50")
    plans = planner("recommend", *options, "--json").json["recommendations"]
    having = [plan for plan in plans if plan["generation"]["model"] == "me/own-4B"]
    assert having
    for plan in plans:
        assert ("--catalog" in plan["command"]) is (plan in having)
    for plan in having:
        assert plan["command"][-2:] == ["--catalog", given]
        assert planner(*plan["command"][1:], "--vram", "1", "--ram", "1", "--json").json["error"]["reference"] == (
            "nothing-fits"  # it is planned, so the model is known
        )
    table, markdown = (planner("recommend", *options, *extra).out for extra in ((), ("--format", "md")))
    for text in (table.replace("\\\n", ""), markdown):
        commands = [shlex.split(line.partition("run: ")[2] or line, comments=True) for line in text.splitlines()]
        assert all(plan["command"] in commands for plan in having)


@pytest.mark.parametrize("role", ["embedding", "generation", "reranker"])
def test_a_single_model_is_launched(planner: Planner, role: str) -> None:
    for plan in planner("recommend", "--vram", "8", "--role", role, "--json").json["recommendations"]:
        command = plan["command"]
        assert command[:2] == ["planner", "launch"]
        assert planner(*command[1:], "--help").code == 0
        named = [word for word in command[2:] if not word.startswith("--") and ":" in word]
        assert named == [f"{plan[role]['model']}:{plan[role]['variant']}"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e999", "-1"])
def test_a_speed_that_is_no_number_is_refused(planner: Planner, number: str) -> None:
    for command in (("recommend", "--vram", "8"), ("need", "Qwen3-8B")):
        outcome = planner(*command, "--min-speed", number, "--json")
        assert outcome.code == 2
        assert outcome.json["error"]["reference"] == "usage"


def test_a_tie_says_so_in_the_table(planner: Planner) -> None:
    question = ("recommend", "--vram", "24", "--role", "reranker")
    plans = planner(*question, "--json").json["recommendations"]
    tied = [later for place, later in enumerate(plans) if later["score"] in {plan["score"] for plan in plans[:place]}]
    assert tied
    assert planner(*question).out.count("as good as plan 1 by its score") == len(tied)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_encoding_that_lacks_a_character_costs_no_answer(encoding: str) -> None:
    """Names that are cut end in “…”, the hint of an unknown GPU has quotation marks."""

    def printed(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "planner", *arguments],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert b"should not happen" not in done.stderr
        return done.stdout.decode(encoding)

    table = printed("recommend", "--vram", "48", "--ram", "64", "-n", "8")
    assert ("…" if encoding == "utf-8" else "...") in table
    error = json.loads(printed("recommend", "--gpu", "nonesuch 🦙", "--json"))["error"]
    assert "“nonesuch 🦙”" in error["message"]


@pytest.mark.parametrize(
    "machine",
    [
        ("--gpu", "8xH100", "--ram", "1024"),
        ("--vram", "24", "--docs", "99999", "--doc-tokens", "12345", "--prefer", "speed"),
        ("--vram", "80", "--context", "262144", "--reranker"),
    ],
)
def test_wide_figures_take_room_from_the_names_not_from_the_margin(
    planner: Planner, machine: tuple[str, ...]
) -> None:
    for extra in ((), ("--explain",)):
        outcome = planner("recommend", *machine, *extra, "-n", "12")
        assert outcome.code == 0
        assert max(map(len, outcome.out.splitlines())) <= 80
