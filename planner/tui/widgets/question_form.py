"""The fields of a what-if question: arrow keys choose and change one, enter asks for a value that is typed."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.reactive import reactive

from planner.core.machines.hardware import Hardware
from planner.tui.columns import MUTED, hanging, lines, shorten
from planner.tui.data.question import AS_IT_IS, FIELDS, MACHINE_FIELDS, Field, Question, step
from planner.tui.marks import Marks
from planner.tui.widgets.fitted import Fitted
from planner.units import format_gib, printable

_TITLE = max(len(field.title) for field in FIELDS) + 1
_GAP = 3
_UNITS = {"vram": "GiB", "ram": "GiB", "context": "tokens", "min_speed": "tok/s"}


class QuestionForm(Fitted, can_focus=True):
    """Shows a question over the machine it is about. `errors` are drawn with their fields."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Field up", show=False),
        Binding("down", "move(1)", "Field down", show=False),
        Binding("left", "step(-1)", "Less", show=False),
        Binding("right", "step(1)", "More", show=False),
        Binding("enter", "edit", "Type a value", show=False),
        Binding("backspace,delete", "clear", "As it is", show=False),
    ]

    selected: reactive[int] = reactive(0)

    class Changed(Message):
        """Another question."""

        def __init__(self, question: Question) -> None:
            super().__init__()
            self.question = question

    class Edit(Message):
        """A value of the field shall be typed."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    def __init__(self, *, id: str | None = None, marks: Marks) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, marks=marks)
        self.question = Question()
        self.errors: Mapping[str, str] = {}
        self.hardware: Hardware | None = None
        self.columns = 2
        self.editing = False
        self._hits: list[tuple[int, int, int, int, Literal["select", "less", "more"]]] = []

    @property
    def field(self) -> Field:
        """The selected one."""
        return FIELDS[self.selected]

    def show(self, question: Question, errors: Mapping[str, str], hardware: Hardware | None) -> None:
        """New values; `hardware` is the machine that the question is about, None while that is not known."""
        self.question, self.errors, self.hardware = question, errors, hardware
        self.redraw()

    def draw(self, width: int) -> Content:
        """In one column errors stand under their field, in two under both."""
        self._hits = []
        return self._columns(width, 1 if width < 2 * (_TITLE + 14) else self.columns)

    def _columns(self, width: int, count: int) -> Content:
        height = -(-len(FIELDS) // count)
        cells = (width - _GAP * (count - 1)) // count
        drawn: list[Content] = []
        for row in range(height):
            parts: list[Content] = []
            for column in range(count):
                index = column * height + row
                if column:
                    parts.append(Content(" " * _GAP))
                parts.append(self._field(index, cells, len(drawn), column * (cells + _GAP)))
            drawn.append(Content("").join(parts))
            if count == 1 and (error := self.errors.get(FIELDS[row].name)):
                drawn.append(hanging("   !", error, width, "$text-error"))
        if count > 1:
            drawn += [
                hanging(self.marks.failed, f"{field.title}: {error}", width, "$text-error")
                for field in FIELDS
                if (error := self.errors.get(field.name))
            ]
        drawn.append(self._help(width))
        return lines(drawn)

    def _field(self, index: int, width: int, y: int, x: int) -> Content:
        field = FIELDS[index]
        here = index == self.selected
        text = self.question.get(field.name)
        wrong = field.name in self.errors
        less, more = ("< ", " >") if here and field.steps else ("  ", "  ")
        room = width - 2 - _TITLE - len(less) - len(more)
        value = shorten(self._shown(field, text), room, self.marks.ellipsis)
        at = x + 2 + _TITLE
        self._hits.append((y, x, x + width, index, "select"))
        if here and field.steps:
            self._hits.append((y, at, at + 2, index, "less"))
            self._hits.append((y, at + 2 + len(value), at + 4 + len(value), index, "more"))
        style = "$text-error" if wrong else "bold" if text else MUTED
        mark = self.marks.failed if wrong and not here else self.marks.pointer if here else " "
        pad = " " * (room - len(value))
        return Content.assemble(
            (f"{mark} ", "$text-error" if wrong else "$primary"),
            (field.title.ljust(_TITLE), "bold $primary" if here and self.has_focus else "bold" if here else ""),
            (less, "$primary"),
            (value, style),
            (more, "$primary"),
            pad,
        )

    def _shown(self, field: Field, text: str) -> str:
        if text != AS_IT_IS:
            unit = _UNITS.get(field.name, "") if text.replace(".", "", 1).isdigit() else ""
            return f"{printable(text)} {unit}".rstrip()
        if field.name in MACHINE_FIELDS and self.hardware is not None:
            return _of_machine(field.name, self.hardware) or field.usual
        return field.usual

    def _help(self, width: int) -> Content:
        if self.editing:
            return hanging(" ", "enter takes what is typed, escape leaves it as it was", width, MUTED)
        field = self.field
        ways = ["left and right change"] if field.steps else []
        ways += ["enter opens a list"] if field.name == "gpu" else ["enter types"] if field.free else []
        ways += ["backspace resets"] if self.question.get(field.name) else []
        way = f"({', '.join(ways)})"
        whole = f"{field.hint} {way}"
        return hanging(" ", whole if len(whole) < width - 2 else field.hint, width, MUTED)

    def watch_selected(self) -> None:
        """Another field."""
        self.redraw()

    def on_focus(self) -> None:
        """The selected field stands out."""
        self.redraw()

    def on_blur(self) -> None:
        """It does no more."""
        self.redraw()

    def action_move(self, by: int) -> None:
        """To another field."""
        self.selected = (self.selected + by) % len(FIELDS)

    def action_step(self, by: int) -> None:
        """The next value of the field."""
        if self.field.steps:
            self._change(step(self.question, self.field.name, by))

    def action_clear(self) -> None:
        """Leave it as it is."""
        self._change(self.question.having(self.field.name, AS_IT_IS))

    def action_edit(self) -> None:
        """Ask for a value; a field without free values takes its next one, and begins again at the end."""
        if self.field.free:
            self.post_message(self.Edit(self.field))
            return
        last = self.question.get(self.field.name) == self.field.steps[-1]
        following = self.question.having(self.field.name, AS_IT_IS) if last else None
        self._change(following or step(self.question, self.field.name, 1))

    def _change(self, question: Question) -> None:
        if question != self.question:
            self.post_message(self.Changed(question))

    def on_click(self, event: Click) -> None:
        """Choose a field; its signs step, a second click on it is enter."""
        x, y = event.x - self.gutter.left, event.y - self.gutter.top
        found = [hit for hit in self._hits if hit[0] == y and hit[1] <= x < hit[2]]
        if not found:
            return
        event.stop()
        *_, index, what = found[-1]
        again, self.selected = index == self.selected, index
        if what == "select":
            if again:
                self.action_edit()
        else:
            self.action_step(1 if what == "more" else -1)


def _of_machine(name: str, hardware: Hardware) -> str:
    devices = [device for device in hardware.devices if device.usable]
    match name:
        case "gpu":
            names: dict[str, int] = {}
            for device in devices:
                names[device.name] = names.get(device.name, 0) + 1
            return ", ".join(f"{count}x {each}" if count > 1 else each for each, count in names.items()) or "none"
        case "vram":
            sizes = [device.memory_total_bytes for device in devices if device.memory_total_bytes]
            return ", ".join(format_gib(size) for size in sizes) or "none"
        case "ram":
            total = hardware.host.memory_total_bytes
            return "" if total is None else format_gib(total)
        case _:
            return str(hardware.host.cpu.cores_usable)
