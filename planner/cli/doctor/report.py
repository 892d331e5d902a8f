"""The report: one section after the other, each with a deadline, none able to spoil another."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from planner.config import Config
from planner.errors import PlannerError
from planner.probe.surroundings import Surroundings

SECTION_DEADLINE_S = 10.0


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be, and what to do about it."""

    message: str
    hint: str = ""


@dataclass(frozen=True)
class Found:
    """What a section found: JSON values by name."""

    facts: Mapping[str, object]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Context:
    """Where the sections look. `config` is the default one where `config_error` says that it cannot be read."""

    config: Config
    environ: Mapping[str, str]
    config_error: PlannerError | None = None
    flags: frozenset[str] = frozenset()
    """Settings given on the command line."""
    here: Surroundings = field(default_factory=Surroundings)
    which: Callable[[str], str | None] = lambda _: None
    """Finds a program on PATH."""
    embedded: Callable[[], str | None] = lambda: None
    """The version of the installed engine wheel."""


Section = Callable[[Context], Found]


def gather(
    context: Context, sections: Mapping[str, Section], *, deadline_s: float = SECTION_DEADLINE_S
) -> dict[str, object]:
    """`doctor` of the JSON contract, not scrubbed yet. Never raises; a section that fails says so itself."""
    found: dict[str, object] = {}
    problems: list[dict[str, str]] = []
    for name, section in sections.items():
        answer = _ask(section, context, deadline_s)
        found[name] = dict(answer.facts)
        problems += [{"section": name, "message": p.message, "hint": p.hint} for p in answer.problems]
    return {"schema": 1, "sections": found, "problems": problems}


def _ask(section: Section, context: Context, deadline_s: float) -> Found:
    """A section's answer, or why there is none. A folder on a dead server hangs: its thread is left behind."""
    answers: list[Found] = []

    def run() -> None:
        try:
            answers.append(section(context))
        except PlannerError as error:
            answers.append(_failed(error.message, error.hint))
        except Exception as error:  # noqa: BLE001  # a section that fails is part of the report
            answers.append(_failed(f"This section failed: {type(error).__name__}: {error}", "Please report it."))

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(deadline_s)
    if not answers:
        return _failed(f"No answer within {deadline_s:g} s.", "Is a disk or a network folder stuck?")
    return answers[0]


def _failed(message: str, hint: str) -> Found:
    return Found({"error": message}, (Problem(message, hint),))
