"""Models side by side as text: a fact a row, what differs stands out, the better value has a sign."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from planner.core.pages.comparison_words import sentences
from planner.core.pages.side_by_side import Fact, SideBySide
from planner.tui.columns import GAP, MUTED, hanging, lines
from planner.tui.data.details import Compared
from planner.tui.marks import Marks
from planner.units import printable

_MOST = 44
"""Cells of a model's column at most: longer lines are hard to compare."""
_LEAST = 11
"""At least so many; models that have no room then are shown when they are chosen."""
_UNKNOWN = "-"
"""What a comparison says of what is not known."""
_SIGN = 2
"""Cells before each value: for the better one, and for the model that keys act on."""


def differs(fact: Fact) -> bool:
    """Whether the models are not all alike in it."""
    return len(set(fact.texts)) > 1


def comparison(found: SideBySide, width: int, marks: Marks, *, chosen: int, all_facts: bool) -> Content:
    """The table. `chosen` is the column that keys act on; without `all_facts` only what differs is shown."""
    known = [fact for fact in found.facts if any(text != _UNKNOWN for text in fact.texts)]
    facts = [fact for fact in known if all_facts or differs(fact)]
    label = max(cell_len(fact.label) for fact in found.facts)
    count = len(found.sides)
    room = max(1, (width - label) // (_LEAST + GAP + _SIGN))
    first = max(0, min(chosen, count - room))
    columns = range(first, min(count, first + room))
    sizes = label, max(1, min(_MOST, (width - label) // len(columns) - GAP - _SIGN))
    rows = _row(
        "",
        [found.sides[i].model.name for i in columns],
        [marks.pointer if i == chosen else " " for i in columns],
        ["bold $primary" if i == chosen else "bold" for i in columns],
        sizes,
    )
    for fact in facts:
        best = [i in fact.best for i in columns]
        styles = [MUTED if not differs(fact) else "bold $text-success" if one else "" for one in best]
        signs = [marks.done if one else " " for one in best]
        rows += _row(fact.label, [fact.texts[i] for i in columns], signs, styles, sizes)
    hidden = len(known) - len(facts)
    if hidden:
        rows.append(hanging(marks.note, f"{hidden} more in which all are alike: d shows them.", width, MUTED))
    if len(columns) < count:
        others = f"{len(columns)} of {count} models have room here: ← → show the others."
        rows.append(hanging(marks.note, others, width, MUTED))
    return lines(rows)


def _row(
    label: str, texts: Sequence[str], signs: Sequence[str], styles: Sequence[str], sizes: tuple[int, int]
) -> list[Content]:
    """As many lines as the longest text takes. `sizes`: cells of the label and of each text."""
    label_size, size = sizes
    parts = [textwrap.wrap(" ".join(printable(text).split()), size) or [""] for text in texts]
    found: list[Content] = []
    for line in range(max(map(len, parts))):
        content = [Content.styled((label if line == 0 else "").ljust(label_size), MUTED)]
        for part, sign, style in zip(parts, signs, styles, strict=True):
            text = part[line] if line < len(part) else ""
            pad = " " * max(0, size - cell_len(text))
            content.append(Content(" " * GAP))
            content.append(Content.styled(f"{sign if line == 0 else ' '} ", style))
            content.append(Content.styled(text + pad, style) if style else Content(text + pad))
        found.append(Content("").join(content))
    return found


def words(compared: Compared, width: int, marks: Marks) -> Content:
    """What the differences come to, and what limits the comparison."""
    found = compared.found
    rows = [hanging(marks.note, text, width) for text in sentences(found)]
    rows += [hanging(marks.note, text, width, MUTED) for text in (*found.notes, *compared.notes)]
    return lines(rows)
