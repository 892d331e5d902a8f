"""The report for people: a heading per section, a line per value, problems last."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from planner.cli.hardware_page import WIDTH, page
from planner.cli.output import encode_json
from planner.core.machines.hardware_file import hardware_from_json
from planner.core.pages.doctor_words import fact_rows
from planner.errors import BadDataError
from planner.units import printable

_LABEL = 22


def report_lines(report: Mapping[str, object]) -> Iterator[str]:
    """The lines of a scrubbed report; 100 columns wide."""
    yield "planner doctor: for a bug report. Keys, addresses and the names of user and machine are replaced."
    sections = report["sections"]
    assert isinstance(sections, Mapping)
    for name, facts in sections.items():
        yield ""
        yield name
        if not facts:
            yield "  none"
        elif name == "hardware":
            yield from _hardware(facts)
        else:
            yield from _facts(name, facts)
    yield ""
    yield from _problems(report["problems"])


def _hardware(facts: Mapping[str, object]) -> Iterator[str]:
    """The page of `planner hardware`, and how long it took."""
    try:
        machine = hardware_from_json(encode_json({key: value for key, value in facts.items() if key != "timings_s"}))
    except BadDataError:
        yield from _facts("hardware", facts)
        return
    yield from page(machine)
    yield ""
    yield from _facts("hardware", {"timings_s": facts.get("timings_s")})


def _facts(section: str, facts: Mapping[str, object]) -> Iterator[str]:
    """A line per value; lists of several one item a line."""
    for label, words in fact_rows(section, facts):
        yield from _row(label, words)


def _problems(problems: object) -> Iterator[str]:
    """Each problem, and what to do."""
    assert isinstance(problems, Sequence)
    if not problems:
        yield "No problems found."
        return
    yield "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    for problem in problems:
        yield from _row("", f"{problem['section']}: {problem['message']}", width=0)
        if problem["hint"]:
            yield from _row("", f"→ {problem['hint']}", width=2)


def _row(label: str, text: str, *, width: int = _LABEL) -> list[str]:
    """Lines within the page, further ones under the value."""
    start = f"  {label:{width}}" + ("  " if label and len(label) >= width else "")
    return textwrap.wrap(
        printable(text), WIDTH, initial_indent=start, subsequent_indent=" " * (width + 4), break_on_hyphens=False
    ) or [start.rstrip()]
