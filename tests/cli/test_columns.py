from collections.abc import Sequence

import pytest

from planner.cli.columns import Cell, Column, cells, lay_out, shorten, terminal_width, wrapped

COLUMNS = [
    Column("MODEL", minimum=6),
    Column("PARAMETERS", right=True, leaves=1, short_title="PARAMS"),
    Column("NOTES", minimum=5, leaves=2),
]
ROWS: list[Sequence[Cell]] = [
    (("owner/model-one", "model-one"), ("8.03B (3B active)", "8.03B/3B"), "something long to say"),
    ("b", "1", "-"),
]


def test_without_a_width_everything_is_there() -> None:
    assert lay_out(COLUMNS, ROWS, None) == [
        "MODEL                   PARAMETERS  NOTES",
        "owner/model-one  8.03B (3B active)  something long to say",
        "b                                1  -",
    ]


@pytest.mark.parametrize("width", range(1, 70))
def test_no_line_is_ever_longer_than_the_width(width: int) -> None:
    lines = lay_out(COLUMNS, ROWS, width)
    assert len(lines) == 3
    if width >= 2:
        assert all(cells(line) <= max(width, 2) for line in lines)


def test_texts_are_shortened_before_columns_leave_and_cut_last() -> None:
    assert lay_out(COLUMNS, ROWS, 48)[1] == "owner/model-one  8.03B/3B  something long to say"
    assert lay_out(COLUMNS, ROWS, 42)[1] == "model-one  8.03B/3B  something long to say"
    assert lay_out(COLUMNS, ROWS, 30)[1] == "model-one  8.03B/3B  somethin…"
    assert lay_out(COLUMNS, ROWS, 20)[1] == "model-one  8.03B/3B"
    assert lay_out(COLUMNS, ROWS, 12)[1] == "model-one"


def test_wide_characters_take_two_cells() -> None:
    lines = lay_out([Column("A"), Column("B")], [("模型", "x"), ("ab", "y")], None)
    assert [cells(line) for line in lines] == [7, 7, 7]


def test_a_short_last_word_survives_a_cut() -> None:
    assert shorten("CC-BY-NC-4.0 no", 13) == "CC-BY-NC-… no"
    assert shorten("snowflake-arctic", 10) == "snowflake…"
    assert shorten("abc", 0) == ""


def test_control_characters_and_line_breaks_do_not_reach_a_table() -> None:
    (_, line) = lay_out([Column("A")], [("a\x1b[2J\nb",)], None)
    assert line == "a[2J b"


def test_columns_says_how_wide_a_terminal_is_and_a_pipe_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal_width() == 72
    monkeypatch.setenv("COLUMNS", "wide")
    assert terminal_width() is None


def test_running_text_keeps_its_words_whole() -> None:
    lines = wrapped("a word-with-hyphens and more", 14, first="- ", indent="  ")
    assert lines == ["- a", "  word-with-hyphens", "  and more"]
