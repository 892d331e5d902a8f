"""A what-if question as somebody writes it: a text per field, each checked, and the command that asks the same."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

from planner.core.machines.overrides import Overrides
from planner.core.memory.workload import Workload
from planner.errors import UsageError
from planner.units import parse_memory, parse_memory_list

AS_IT_IS = ""
"""The text of a field that leaves its value to this machine, or to the planner."""
MACHINE_FILE = "machine.json"


@dataclass(frozen=True)
class Field:
    """A line of the form. `steps` are what the arrow keys go through; `free`: other values may be typed.

    `usual` says what holds while nothing is set, `option` names the flag of the command line.
    """

    name: str
    title: str
    option: str
    usual: str
    steps: tuple[str, ...]
    free: bool
    hint: str


FIELDS: tuple[Field, ...] = (
    Field("gpu", "GPU", "--gpu", "this machine's", (), True, "a name, as RTX 4090, 2x RTX 3090 or Apple M4 Max"),
    Field(
        "vram", "VRAM", "--vram", "this machine's",
        ("4", "6", "8", "10", "12", "16", "20", "24", "32", "48", "80", "24x2", "24x4"), True,
        "GiB of a card: 8, 24; several cards: 24x2",
    ),
    Field(
        "ram", "RAM", "--ram", "this machine's", ("8", "16", "24", "32", "48", "64", "96", "128", "192", "256"), True,
        "GiB of the host",
    ),
    Field(
        "cpu_cores", "CPU cores", "--cpu-cores", "this machine's", ("2", "4", "6", "8", "12", "16", "24", "32", "64"),
        True, "physical cores that may be used",
    ),
    Field(
        "context", "context", "--context", "the planner's choice",
        ("2048", "4096", "8192", "16384", "32768", "65536", "131072"), True, "tokens for each answer, from 256 on",
    ),
    Field("parallel", "slots", "--parallel", "1", ("2", "4", "8", "16"), True, "answers at the same time, 1 to 64"),
    Field(
        "kv_type", "KV cache", "--kv-type", "f16",
        ("bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "f32"), False, "type of its values",
    ),
    Field("prefer", "prefer", "--prefer", "balanced", ("quality", "speed"), False, "what counts more"),
    Field("licence", "licence", "--licence", "any", ("commercial",), False, "what it must allow"),
    Field(
        "min_speed", "min. speed", "--min-speed", "none", ("5", "10", "20", "40", "80"), True,
        "generated tokens per second",
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Field] = {field.name: field for field in FIELDS}
MACHINE_FIELDS = ("gpu", "vram", "ram", "cpu_cores")


@dataclass(frozen=True)
class Question:
    """What is in the fields; `AS_IT_IS` where nothing is."""

    gpu: str = AS_IT_IS
    vram: str = AS_IT_IS
    ram: str = AS_IT_IS
    cpu_cores: str = AS_IT_IS
    context: str = AS_IT_IS
    parallel: str = AS_IT_IS
    kv_type: str = AS_IT_IS
    prefer: str = AS_IT_IS
    licence: str = AS_IT_IS
    min_speed: str = AS_IT_IS

    def get(self, name: str) -> str:
        """The text of a field."""
        text: str = getattr(self, name)
        return text

    def having(self, name: str, text: str) -> "Question":
        """The question with another text in a field."""
        return replace(self, **{name: " ".join(text.split())})

    @property
    def described(self) -> bool:
        """Whether the machine is another one."""
        return any(self.get(name) for name in MACHINE_FIELDS)

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields that say something."""
        return tuple(field.name for field in fields(self) if self.get(field.name))


class FieldError(UsageError):
    """What one field says cannot be. Its reference names the field."""

    PREFIX = "what-if-"

    def __init__(self, field: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint, reference=f"{self.PREFIX}{field}")
        self.field = field


def problems(question: Question) -> dict[str, str]:
    """By field what cannot be as it stands; whether a GPU is known is not looked into."""
    found = {}
    for name in question.changed:
        try:
            _CHECKS[name](question.get(name))
        except UsageError as error:
            found[name] = f"{error.message} {error.hint}".strip()
    return found


def read(question: Question) -> tuple[Overrides, Workload]:
    """The question as the command line would have read it. Raises FieldError."""
    values: dict[str, object] = {}
    for name in question.changed:
        try:
            values[name] = _CHECKS[name](question.get(name))
        except UsageError as error:
            raise FieldError(name, error.message, hint=error.hint) from error
    machine = {"ram_bytes" if name == "ram" else name: values.pop(name) for name in MACHINE_FIELDS if name in values}
    return Overrides(**machine), Workload(**values)  # type: ignore[arg-type]  # each check returns its field's type


def step(question: Question, name: str, by: int) -> Question:
    """The question with the next (or previous) value of a field's steps; beyond the first nothing is set.

    A typed value lies between two steps; where that cannot be told it counts as before the first.
    """
    field = BY_NAME[name]
    values = (AS_IT_IS, *field.steps)
    text = question.get(name)
    if text in values:
        place = values.index(text) + by
    else:
        size = _size(text)
        below = sum(1 for value in field.steps if size is not None and (_size(value) or size + 1) < size)
        place = below + (1 if by > 0 else 0)
    return question.having(name, values[max(0, min(place, len(values) - 1))])


def _size(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def options(question: Question) -> tuple[str, ...]:
    """The question as options of `planner recommend`."""
    return tuple(word for name in question.changed for word in (BY_NAME[name].option, question.get(name)))


def commands(question: Question, *, whole_machine: bool) -> tuple[str, ...]:
    """Commands that answer the same. `whole_machine`: what is described needs nothing of this machine."""
    given = shlex.join(options(question))
    if not question.described:
        return (f"planner recommend --total {given}".rstrip(),)
    if whole_machine:
        return (f"planner recommend {given}",)
    return (
        f"planner hardware --save {MACHINE_FILE}",
        f"planner recommend --hardware {MACHINE_FILE} {given}",
    )


def _whole(low: int, high: int, what: str) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 12) or not low <= int(text) <= high:
            raise UsageError(f"“{text[:20]}” is not {what}.", hint=f"Give {low} to {high}.")
        return int(text)

    return check


def _one_of(name: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        known = (BY_NAME[name].usual, *BY_NAME[name].steps)
        if text not in known:
            raise UsageError(f"“{text[:20]}” is not known.", hint=f"Known: {', '.join(known)}.")
        return text

    return check


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < 1e6:
        raise UsageError(f"“{text[:20]}” is not a speed.", hint="Give tokens per second: 5, 12.5.")
    return speed


def _name(text: str) -> str:
    if len(text) > 200:
        raise UsageError("A GPU's name is not that long.", hint="Pick one from the list.")
    return text


_CHECKS: Mapping[str, Callable[[str], object]] = {
    "gpu": _name,
    "vram": parse_memory_list,
    "ram": parse_memory,
    "cpu_cores": _whole(1, 4096, "a number of cores"),
    "context": _whole(256, 2**24, "a number of tokens that can be planned for"),
    "parallel": _whole(1, 64, "a number of slots that can be planned for"),
    "kv_type": _one_of("kv_type"),
    "prefer": _one_of("prefer"),
    "licence": _one_of("licence"),
    "min_speed": _speed,
}
