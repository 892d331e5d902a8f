"""The report for people: a heading per section, a line per value, problems last."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from planner.cli.hardware_page import WIDTH, page
from planner.cli.output import encode_json
from planner.core.hardware_file import hardware_from_json
from planner.errors import BadDataError
from planner.units import format_gb, format_gib, printable

_LABEL = 22
_NOTHING = {"packages": "not installed", "settings": "none", "limits": "none"}
"""What a missing value means, by section; elsewhere it is unknown."""


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
    for label, value in facts.items():
        shown = label.removesuffix("_bytes").removesuffix("_s").replace("_", " ") if label.islower() else label
        items = [value]
        if isinstance(value, Sequence) and not isinstance(value, str):
            items = list(value) or ["none"]
        for item in items:
            yield from _row(shown, _words(section, label, item))
            shown = ""


def _words(section: str, label: str, value: object) -> str:
    """A value in words: sizes, seconds, yes and no."""
    text = str(value)
    if value is None:
        text = _NOTHING.get(section, "unknown")
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int) and label.endswith("bytes"):
        text = format_gib(value) if section == "limits" else format_gb(value)
    elif isinstance(value, int | float) and label.endswith("_s"):
        text = f"{value:g} s"
    elif isinstance(value, Mapping) and set(value) == {"value", "source"}:
        text = f"{_words(section, '', value['value'])} ({value['source']})"
    elif isinstance(value, Mapping):
        unit = "_s" if label.endswith("_s") else ""
        pairs = ((key.removesuffix("_bytes"), _words(section, key + unit, item)) for key, item in value.items())
        text = ", ".join(f"{key.replace('_', ' ')} {words}" for key, words in pairs)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(map(str, value)) or "none"
    return text


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
