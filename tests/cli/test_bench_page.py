"""The tables of `planner bench`."""

from planner.cli.bench_page import bar, sweep_lines
from planner.serve.proof.bench_sweep import Point

POINTS = (
    Point(kind="generation-clients", tokens_per_s=80, clients=1, first_s=0.1),
    Point(kind="generation-clients", tokens_per_s=100, clients=2, first_s=0.25),
    Point(kind="embedding-clients", tokens_per_s=900, clients=1, first_s=0.5),
    Point(kind="embedding", tokens_per_s=500, length=31, batch=1),
    Point(kind="embedding", tokens_per_s=1000, length=30, batch=8),
    Point(kind="embedding", tokens_per_s=900, length=127, batch=1),
    Point(kind="prompt", tokens_per_s=300, depth=250),
    Point(kind="generation", tokens_per_s=80, depth=250),
    Point(kind="generation", tokens_per_s=40, depth=1001),
)


def test_each_part_has_its_table_and_bars_in_proportion() -> None:
    text = "\n".join(sweep_lines(POINTS, whole=True))
    rows = [line.split() for line in text.splitlines()]
    shallow = next(row for row in rows if row[:1] == ["250"])
    deep = next(row for row in rows if row[:1] == ["1001"])
    assert shallow[1:3] == ["300", "80"]
    assert deep[1:3] == ["-", "40"]
    assert len(shallow[3]) == 2 * len(deep[3])
    assert next(row for row in rows if row[:1] == ["31"])[1:3] == ["500", "1000"]
    assert next(row for row in rows if row[:1] == ["127"])[1:3] == ["900", "-"]
    assert "0.25 s" in text
    assert "time was over" not in text


def test_what_was_not_measured_is_left_out_and_said() -> None:
    lines = sweep_lines(POINTS[:2], whole=False)
    assert not [line for line in lines if "embedding, tok/s" in line or "tokens before" in line]
    assert "--minutes" in lines[-1]


def test_a_bar_is_never_longer_than_its_width_nor_empty() -> None:
    assert [len(bar(share, width=10)) for share in (-1, 0, 0.5, 1, 7)] == [1, 1, 5, 10, 10]
