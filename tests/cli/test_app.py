"""The frame around the commands: exit codes, streams, start-up imports, a pipe that closes."""

import re
import shlex
import subprocess
import sys

import pytest

from planner.cli.app import COMMANDS
from planner.cli.diagnostics import ExitCode, exit_code
from planner.errors import (
    AccessError,
    BadDataError,
    CatalogError,
    EngineError,
    GgufError,
    IntegrityError,
    NoResultError,
    NoSpaceError,
    OfflineError,
    PlannerError,
    RemoteError,
    UsageError,
)
from tests.cli.conftest import Planner

HEAVY = (
    "textual",
    "requests",
    "huggingface_hub",
    "numpy",
    "gguf",
    "httpx2",
    "starlette",
    "uvicorn",
    "xllamacpp",
    "rich",
)

GROUPS = {"catalog": ("check",), "engine": ("list", "install", "use"), "key": ("add", "list", "remove")}
LEAVES = sorted({*COMMANDS, *(f"{group} {leaf}" for group, leaves in GROUPS.items() for leaf in leaves)} - {*GROUPS})


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UsageError, 2), (NoResultError, 3), (BadDataError, 4), (CatalogError, 4), (GgufError, 4), (RemoteError, 5),
        (OfflineError, 5), (IntegrityError, 5), (AccessError, 5), (NoSpaceError, 5), (EngineError, 6),
        (PlannerError, 1),
    ],
)  # fmt: skip
def test_exit_codes_are_those_of_the_contract(kind: type[PlannerError], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_a_recommendation_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from planner.cli.app import run\n"
        "code = run(['recommend', '--vram', '8'])\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported: {heavy}' if heavy or code else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_has_help_with_an_example(planner: Planner, command: str) -> None:
    outcome = planner(*command.split(), "--help")
    assert outcome.code == 0
    assert re.search(r"^Usage: planner ", outcome.out)
    assert re.search(r"Examples?:\n\s+planner ", outcome.out), f"{command} --help shows no example"
    assert "\b" not in outcome.out


@pytest.mark.parametrize("command", LEAVES)
def test_every_command_answers_json_and_works_offline(planner: Planner, command: str) -> None:
    text = planner(*command.split(), "--help").out
    assert "--json" in text
    assert "--offline" in text


def test_usage_errors_are_json_when_json_was_asked_for(planner: Planner) -> None:
    outcome = planner("recomend", "--json")
    assert outcome.code == 2
    assert set(outcome.json["error"]) == {"reference", "message", "hint"}


def test_without_a_terminal_it_prints_a_recommendation() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "planner"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "planner up " in done.stdout
    assert "planner --help" in done.stderr


def test_an_unknown_screen_of_the_app_is_a_usage_error_that_names_the_screens(planner: Planner) -> None:
    outcome = planner("--screen", "hom")
    assert outcome.code == 2
    assert "Screens: home" in outcome.err
    assert planner("--screen", "home", "models").code == 2


def test_a_reader_that_leaves_is_no_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "planner", "models", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_closed_or_full_output_is_one_plain_line(json: list[str]) -> None:
    command = shlex.join([sys.executable, "-m", "planner", "models", *json])
    for redirect in (">&-", ">/dev/full"):
        done = subprocess.run(  # noqa: S602  # the redirection is the shell's
            f"{command} {redirect}", shell=True, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert "utput" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_unexpected_failure_is_one_line_and_exit_code_1(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "models", "planner.no_such_module:models")
    outcome = planner("models")
    assert outcome.code == ExitCode.UNEXPECTED
    assert "Traceback" not in outcome.err
    assert "PLANNER_DEBUG" in outcome.err
