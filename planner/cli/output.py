"""The only writer of stdout: data, either lines for people or one JSON document for scripts."""

import sys
from collections.abc import Iterable

import msgspec

from planner.core.values import encode_value
from planner.units import printable


def write_json(value: object) -> None:
    """Print one JSON document, indented, with a final newline. NaN and infinities become null."""
    body = msgspec.json.encode(value, enc_hook=encode_value)
    sys.stdout.write(msgspec.json.format(body, indent=2).decode() + "\n")
    sys.stdout.flush()


def write_json_line(value: object) -> None:
    """Print one JSON document on one line (JSON Lines)."""
    sys.stdout.write(msgspec.json.encode(value, enc_hook=encode_value).decode() + "\n")
    sys.stdout.flush()


def write_lines(lines: Iterable[str]) -> None:
    """Print lines for people, stripped of control characters."""
    for line in lines:
        sys.stdout.write(printable(line).rstrip() + "\n")
    sys.stdout.flush()


def table(
    headings: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, right: frozenset[int] = frozenset()
) -> list[str]:
    """Lines of an aligned table; columns in `right` are flush right. No colours: it pipes well."""
    cells = [headings, *rows]
    widths = [max(len(printable(row[i])) for row in cells) for i in range(len(headings))]
    return [
        "  ".join(
            printable(cell).rjust(width) if i in right else printable(cell).ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
