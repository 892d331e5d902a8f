"""Bars and columns: nothing is lost, nothing overflows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from planner.tui.columns import GAP, Column, Table, shorten
from planner.tui.figures import cells_of, device_bars
from planner.tui.marks import AsciiFilter, speaks_unicode, to_ascii
from tests.tui.world import PLANS


@given(
    parts=st.lists(st.integers(0, 2**40), min_size=1, max_size=5),
    spare=st.integers(0, 2**42),
    width=st.integers(0, 300),
)
def test_a_bar_never_overflows_and_shows_every_part_there_is_room_for(
    parts: list[int], spare: int, width: int
) -> None:
    cells = cells_of(parts, sum(parts) + spare, width)
    assert sum(cells) <= width
    assert all(count == 0 for part, count in zip(parts, cells, strict=True) if part == 0)
    if width >= 2 * len(parts):
        assert all(count > 0 for part, count in zip(parts, cells, strict=True) if part)
    if spare == 0 and any(parts) and width:
        assert sum(cells) == width


def test_a_bar_over_budget_is_full_not_longer() -> None:
    assert sum(cells_of((8, 4), 10, 20)) == 20


def test_the_bars_of_a_plan_add_up_to_its_memory() -> None:
    for plan in PLANS:
        bars = device_bars(plan)
        assert sum(bar.total_bytes for bar in bars) == plan.memory.total_bytes
        assert [bar.free_bytes for bar in bars] == [
            (use.budget_bytes or 0) - use.total_bytes for use in plan.memory.devices
        ]


@pytest.mark.parametrize("width", [34, 40, 56, 80, 200])
def test_columns_line_up_and_fit(width: int) -> None:
    columns = (Column("model", minimum=8), Column("size", right=True), Column("note", leaves=1))
    rows = [("a-very-long-model-name Q4_K_M", "1.2 GiB", "rather long a note"), ("模型模型 F16", "900 MiB", "")]
    table = Table(columns, rows, width)
    assert len({cell_len(line.plain) for line in (table.header, *table.lines)}) == 1
    assert cell_len(table.header.plain) <= width
    assert ("note" in table.header.plain) == (width >= 8 + GAP + 7 + GAP + 18)


def test_shortening_keeps_both_ends_of_a_name() -> None:
    assert shorten("DeepSeek-R1-Distill-Llama-8B Q4_K_M", 20) == "DeepSeek-R1-… Q4_K_M"
    assert shorten("short", 20) == "short"
    assert cell_len(shorten("模型" * 20, 9)) <= 9
    assert shorten("anything", 2) == "an"


@given(st.text(max_size=50))
def test_ascii_keeps_the_width(text: str) -> None:
    plain = to_ascii(text)
    assert plain.isascii()
    assert cell_len(plain) == cell_len(text)


def test_what_the_toolkit_draws_becomes_ascii_too() -> None:
    from rich.segment import Segment
    from textual.color import Color

    line = AsciiFilter().apply([Segment("╭─┐│▁ “é” …")], Color(0, 0, 0))
    assert line[0].text == '+-+|# "e" ~'


@pytest.mark.parametrize(
    ("environ", "encoding", "unicode"),
    [
        ({}, "utf-8", True),
        ({"LANG": "de_DE.UTF-8"}, "UTF-8", True),
        ({"LANG": "en_US.utf8"}, "utf-8", True),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, "utf-8", False),
        ({"LANG": "C"}, "utf-8", False),
        ({"LANG": "en_US.UTF-8"}, "ascii", False),
        ({"LANG": "en_US.UTF-8"}, None, False),
        ({"LC_ALL": "", "LC_CTYPE": "C.UTF-8", "LANG": "C"}, "utf-8", True),
    ],
)
def test_unicode_only_where_the_terminal_says_so(
    environ: dict[str, str], encoding: str | None, unicode: bool
) -> None:
    assert speaks_unicode(environ, encoding) is unicode
