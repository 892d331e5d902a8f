"""The signs the app draws with, and what stands for them where a terminal has no Unicode.

Every sign differs from the others in form, so that nothing is said by colour alone.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter


@dataclass(frozen=True)
class Marks:
    """One cell each. The first five fill memory bars."""

    weights: str = "█"
    kv_cache: str = "▓"
    compute: str = "▒"
    overhead: str = "░"
    free: str = "·"
    pointer: str = "▸"
    running: str = "●"
    starting: str = "◐"
    degraded: str = "▲"
    failed: str = "✗"
    stopped: str = "○"
    done: str = "✓"
    reason: str = "+"
    warning: str = "!"
    note: str = "·"
    arrow: str = "→"
    rule: str = "─"
    ellipsis: str = "…"
    none: str = "\N{EN DASH}"


UNICODE = Marks()
ASCII = Marks(
    weights="#",
    kv_cache="=",
    compute="+",
    overhead="-",
    free=".",
    pointer=">",
    running="*",
    starting="~",
    degraded="^",
    failed="x",
    stopped="o",
    done="*",
    note="-",
    arrow=">",
    rule="-",
    ellipsis="~",
    none="-",
)


def speaks_unicode(environ: Mapping[str, str], encoding: str | None) -> bool:
    """Whether a terminal can be trusted with Unicode: stdout is UTF-8 and the locale does not say otherwise.

    An explicit `LC_ALL=C` counts although Python itself would then write UTF-8; no locale at all does not (most
    containers), because terminals are UTF-8 today.
    """
    if (encoding or "").lower().replace("_", "-") not in {"utf-8", "utf8"}:
        return False
    locale = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    return not locale or "utf-8" in locale.lower() or "utf8" in locale.lower()


class AsciiFilter(LineFilter):
    """The last word on what reaches the terminal: everything beyond ASCII is replaced, cell for cell.

    Covers what the toolkit draws itself: borders, scrollbars, the command palette.
    """

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Segments of a line, in ASCII."""
        del background
        return [
            Segment(to_ascii(text), style, control) if not text.isascii() else Segment(text, style, control)
            for text, style, control in segments
        ]


def to_ascii(text: str) -> str:
    """The text in ASCII at the same width in cells."""
    return "".join(char if char.isascii() else _ascii(char) for char in text)


_SAME_FORM = str.maketrans(
    {getattr(UNICODE, name): getattr(ASCII, name) for name in Marks.__dataclass_fields__}
    | {
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{LEFTWARDS ARROW}": "<",
        "\N{UPWARDS ARROW}": "^",
        "\N{DOWNWARDS ARROW}": "v",
        "\N{RETURN SYMBOL}": "<",
        "\N{BULLET}": "*",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{LESS-THAN OR EQUAL TO}": "<",
        "\N{GREATER-THAN OR EQUAL TO}": ">",
        "\N{NO-BREAK SPACE}": " ",
    }
)


def _ascii(char: str) -> str:
    width = cell_len(char)
    same = char.translate(_SAME_FORM)
    if same.isascii():
        return same
    if "─" <= char <= "╿":
        return "|" if char in "│┃║╎╏┆┇┊┋" else "-" if char in "─━═╌╍┄┅┈┉" else "+"
    if "▀" <= char <= "▟":
        return "#"
    plain = "".join(c for c in unicodedata.normalize("NFKD", char) if c.isascii() and c.isprintable())
    return plain if plain and len(plain) == width else "?" * width
