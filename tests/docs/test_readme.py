"""The README says what is true: its samples are what the commands print, its commands exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from planner.cli.app import cli
from tests.cli.conftest import (
    Planner,
    planner,  # noqa: F401  # the fixture
)

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "catalog" / "README.md")


def samples() -> list[tuple[str, str]]:
    """(command, what it prints) of every block marked `<!-- sample: … -->`."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- sample: (.+?) -->\n```console\n\$ (.+?)\n(.*?)```", text, flags=re.DOTALL)
    assert blocks, "the README has no samples"
    assert all(marker == command for marker, command, _ in blocks)
    return [(command, output) for _, command, output in blocks]


def commands() -> list[str]:
    """Every `planner …` in the pages' code."""
    found: set[str] = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        inline = re.findall(r"`(planner [^`]+)`", text)
        prompts = re.findall(r"^\$ (planner .+)$", text, flags=re.MULTILINE)
        found.update(line for line in (*inline, *prompts) if "…" not in line)
    return sorted(found)


@pytest.mark.parametrize(("command", "output"), samples())
def test_a_sample_is_what_the_command_prints(planner: Planner, command: str, output: str) -> None:  # noqa: F811
    assert planner(*shlex.split(command)[1:]).out == output


@pytest.mark.parametrize("line", commands())
def test_a_command_in_the_pages_parses(line: str) -> None:
    group: click.Command = cli
    arguments = shlex.split(re.sub(r"\[[^\]]*\]", "", line))[1:]
    context = click.Context(cli)
    if arguments and arguments[0].startswith("-"):
        cli.make_context(line, arguments)  # an option of `planner` alone
        return
    while isinstance(group, click.Group) and arguments:
        name, command, arguments = group.resolve_command(context, arguments)
        assert command is not None
        group = command
        context = click.Context(group, info_name=name, parent=context)
    if not any(argument in {"--help", "--version"} for argument in arguments):
        # Placeholders stand for a value of the user's, so files need not exist.
        group.make_context(line, [argument for argument in arguments if argument != "|"])


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_set_up_commands_are_those_that_are_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install '.[all]' && .venv/bin/planner up --starter" in text
    assert "sh tools/check.sh" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "```sh\nsh tools/check.sh\n```" in text
