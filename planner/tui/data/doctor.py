"""What `planner doctor` found, as sections with rows; private things were taken out before it came here. Pure."""

import json
import textwrap
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.units import format_gib, printable

if TYPE_CHECKING:
    from planner.core.machines.hardware import Device, Host

COMMAND = ("doctor", "--json")
"""A child's: whatever hangs or crashes there does not do so here."""
_OURS = frozenset({"PLANNER_PROGRESS", "PYTHONIOENCODING"})
_WIDTH = 100
_LABEL = 24


@dataclass(frozen=True)
class Trouble:
    """Something that is not as it should be, and what to do."""

    section: str
    message: str
    hint: str = ""


@dataclass(frozen=True)
class Section:
    """Rows of label and words; a row without a label goes on with the one above it."""

    name: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """In the order of `planner doctor`."""

    sections: tuple[Section, ...]
    troubles: tuple[Trouble, ...]

    def troubles_of(self, section: str) -> tuple[Trouble, ...]:
        """Those of one section."""
        return tuple(trouble for trouble in self.troubles if trouble.section == section)


def report_of(answer: Mapping[str, Any], terminal: Mapping[str, str], environ: Container[str] = ()) -> Report:
    """The report in an answer of `planner doctor --json`.

    The child has no terminal, so what it says of its own gives way to `terminal`, which is this app's. Of what the
    app sets for its children it leaves out what is not in `environ`, the names in its own environment.
    """
    sections = answer.get("sections")
    found = []
    for name, facts in (sections if isinstance(sections, Mapping) else {}).items():
        rows: tuple[tuple[str, str], ...]
        if not isinstance(facts, Mapping):
            rows = (("", str(facts)),)
        elif name == "terminal":
            rows = (("term", str(facts.get("term") or "unknown")), *terminal.items())
        elif name == "environment":
            kept = {label: value for label, value in facts.items() if label not in _OURS or label in environ}
            rows = tuple(_rows(name, kept))
        else:
            rows = tuple(_hardware_rows(facts) if name == "hardware" else _rows(name, facts))
        found.append(Section(str(name), rows))
    return Report(tuple(found), tuple(_troubles(answer.get("problems"))))


def report_text(report: Report) -> str:
    """The whole of it for a bug report, 100 columns wide."""
    lines = ["planner doctor, from the app. Keys, addresses and the names of user and machine are replaced."]
    for section in report.sections:
        lines += ["", section.name]
        for label, words in section.rows or (("", "none"),):
            lines += _wrapped(f"  {label:{_LABEL}}", words, _LABEL + 2)
    lines += ["", f"{len(report.troubles)} problems" if report.troubles else "No problems found."]
    for trouble in report.troubles:
        lines += _wrapped("  ", f"{trouble.section}: {trouble.message}", 4)
        if trouble.hint:
            lines += _wrapped("    -> ", trouble.hint, 7)
    return "\n".join(lines) + "\n"


def _wrapped(start: str, text: str, indent: int) -> list[str]:
    return textwrap.wrap(
        printable(text), _WIDTH, initial_indent=start, subsequent_indent=" " * indent, break_on_hyphens=False
    ) or [start.rstrip()]


def _rows(name: str, facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    from planner.core.pages.doctor_words import fact_rows

    return fact_rows(name, facts)


def _troubles(found: object) -> Iterator[Trouble]:
    for item in found if isinstance(found, Sequence) else ():
        if isinstance(item, Mapping) and isinstance(item.get("message"), str):
            yield Trouble(str(item.get("section", "")), item["message"], str(item.get("hint") or ""))


def _hardware_rows(facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The machine in a row a device, how each value was obtained, how long every source took."""
    from planner.core.machines.hardware_file import hardware_from_json
    from planner.errors import PlannerError

    try:
        machine = hardware_from_json(json.dumps({k: v for k, v in facts.items() if k != "timings_s"}).encode())
    except (PlannerError, TypeError, ValueError):
        yield from _rows("hardware", facts)
        return
    yield from _host_rows(machine.host)
    for device in machine.devices:
        yield from _device_rows(device)
    if not machine.devices:
        yield "devices", "no GPU: models run on the processor"
    if machine.drivers:
        yield "drivers", ", ".join(f"{name} {version}" for name, version in machine.drivers.items())
    for name, source in (("host", machine.host.source), *((one.id, one.source) for one in machine.devices)):
        yield from _source_rows(name, source)
    yield from _under("notes", machine.notes)
    timings = facts.get("timings_s")
    if isinstance(timings, Mapping):
        yield "time taken", ", ".join(f"{name} {seconds:g} s" for name, seconds in timings.items())


def _host_rows(host: "Host") -> Iterator[tuple[str, str]]:
    yield "host", f"{host.os}, {host.cpu.name}, {host.cpu.cores_usable} of {host.cpu.cores_physical} cores usable"
    memory = [_size(host.memory_total_bytes)]
    if host.memory_available_bytes is not None:
        memory.append(f"{format_gib(host.memory_available_bytes)} available")
    if host.memory_bandwidth_gbps is not None:
        basis = f" {host.memory_bandwidth_basis}" if host.memory_bandwidth_basis else ""
        memory.append(f"{host.memory_bandwidth_gbps:g} GB/s{basis}")
    yield "memory", ", ".join(memory)
    if host.cpu.isa:
        yield "instructions", " ".join(host.cpu.isa)


def _device_rows(device: "Device") -> Iterator[tuple[str, str]]:
    parts = [device.name, str(device.backend), _size(device.memory_total_bytes)]
    if device.memory_free_bytes is not None:
        parts.append(f"{format_gib(device.memory_free_bytes)} free")
    if device.memory_bandwidth_gbps is not None:
        parts.append(f"{device.memory_bandwidth_gbps:g} GB/s")
    yield device.id, ", ".join(parts)
    if not device.usable:
        yield "", f"not used: {device.note or 'no reason known'}"


def _source_rows(name: str, source: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """How values were obtained, those of one source together."""
    by_source: dict[str, list[str]] = {}
    for field, how in source.items():
        by_source.setdefault(how, []).append(field.removesuffix("_bytes").replace("_", " "))
    yield from _under(f"source, {name}", [f"{', '.join(fields)}: {how}" for how, fields in by_source.items()])


def _under(label: str, texts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Texts under one label."""
    for number, text in enumerate(texts):
        yield "" if number else label, text


def _size(size_bytes: int | None) -> str:
    return "memory unknown" if size_bytes is None else format_gib(size_bytes)
