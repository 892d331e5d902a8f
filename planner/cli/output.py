"""The only writer of stdout: data, either lines for people or one JSON document for scripts."""

import codecs
import os
import sys
from collections.abc import Iterable

import msgspec

from planner.core.values import encode_value
from planner.errors import PlannerError
from planner.units import printable


class ReaderGoneError(Exception):
    """Whoever read stdout has left (`planner models | head`): nothing is wrong, and nothing more can be said."""


_PLAIN = {"…": "...", "“": '"', "”": '"', "±": "+-", "\u00d7": "x", "\u2013": "-", "→": "->"}
"""What stands for a character that a terminal's encoding lacks, in text for people."""


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(char, "?") for char in error.object[error.start : error.end]), error.end


def _in_json(error: UnicodeError) -> tuple[str, int]:
    """As the same document may have it: a pair of surrogates beyond the basic plane."""
    assert isinstance(error, UnicodeEncodeError)
    raw = error.object[error.start : error.end].encode("utf-16-be")
    return "".join(f"\\u{raw[i]:02x}{raw[i + 1]:02x}" for i in range(0, len(raw), 2)), error.end


codecs.register_error("planner-ascii", _in_ascii)
codecs.register_error("planner-json", _in_json)


def _write(text: str, errors: str = "planner-ascii") -> None:
    """All writing to stdout; `errors` says what becomes of characters that its encoding lacks.

    Raises ReaderGoneError, or PlannerError when stdout is closed or its disk is full.
    """
    if sys.stdout is None:
        raise PlannerError("Standard output is closed: there is nowhere to put the answer.", reference="no-output")
    try:
        try:
            sys.stdout.write(text)
        except UnicodeEncodeError as error:
            sys.stdout.write(text.encode(error.encoding, errors).decode(error.encoding))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise PlannerError(
            f"The answer could not be written to standard output: {error.strerror}.", reference="no-output"
        ) from error


def encode_json(value: object) -> bytes:
    """One JSON document, indented, with a final newline. NaN and infinities become null."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=encode_value), indent=2) + b"\n"


def write_json(value: object) -> None:
    """Print one JSON document, as `encode_json` writes it."""
    _write(encode_json(value).decode(), "planner-json")


def write_json_line(value: object) -> None:
    """Print one JSON document on one line (JSON Lines)."""
    _write(msgspec.json.encode(value, enc_hook=encode_value).decode() + "\n", "planner-json")


def write_lines(lines: Iterable[str]) -> None:
    """Print lines for people, stripped of control characters."""
    for line in lines:
        _write(printable(line).rstrip() + "\n")


def is_terminal() -> bool:
    """Whether somebody looks at stdout, on a terminal that can be redrawn."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def redraw_lines(lines: Iterable[str]) -> None:
    """Put these lines in place of all that the terminal shows."""
    body = "".join(f"{printable(line).rstrip()}\x1b[K\n" for line in lines)
    _write(f"\x1b[H{body}\x1b[J")


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
