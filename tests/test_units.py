import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UsageError
from planner.units import (
    GB,
    GIB,
    MIB,
    format_count,
    format_gb,
    format_gib,
    parse_count,
    parse_disk,
    parse_memory,
    parse_memory_list,
    printable,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8", 8 * GIB),
        ("8G", 8 * GIB),
        ("24GiB", 24 * GIB),
        ("24gb", 24 * GIB),
        ("512M", 512 * MIB),
        (" 1.5 ", 3 * GIB // 2),
    ],
)
def test_memory_is_binary_whatever_the_label(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "eight", "-8", "0", "8X", "1e3", "nan", "inf", "8 8", "99999999999T", "٨"])
def test_what_is_no_memory_size(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory(text)


@pytest.mark.parametrize(
    ("text", "gib"),
    [
        ("8", [8]),
        ("24x2", [24, 24]),
        ("2x24", [24, 24]),
        ("24,12", [24, 12]),
        ("24GiBx2", [24, 24]),
        ("24*2,8", [24, 24, 8]),
    ],
)
def test_several_cards(text: str, gib: list[int]) -> None:
    assert parse_memory_list(text) == tuple(size * GIB for size in gib)


@pytest.mark.parametrize("text", ["", "24x", "x2", "24x0", "100x100", "8,,8", "2x2x2"])
def test_what_is_no_list_of_cards(text: str) -> None:
    with pytest.raises(UsageError):
        parse_memory_list(text)


@given(st.text(max_size=20))
def test_any_text_is_a_size_or_a_usage_error(text: str) -> None:
    for parse in (parse_memory, parse_memory_list, parse_disk):
        try:
            parse(text)
        except UsageError as error:
            assert error.hint  # noqa: PT017  # both outcomes are right


def test_disk_is_decimal_unless_it_says_binary() -> None:
    assert parse_disk("20") == parse_disk("20GB") == 20 * GB
    assert parse_disk("20GiB") == 20 * GIB


def test_sizes_for_people_write_their_unit_out() -> None:
    assert format_gib(8 * GIB) == "8.0 GiB"
    assert format_gib(300 * MIB) == "300 MiB"
    assert format_gb(4_920_739_232) == "4.92 GB"
    assert format_count(8030261248) == "8.03B"
    assert format_count(135_000_000) == "135M"


def test_escape_sequences_do_not_reach_a_terminal() -> None:
    assert printable("a\x1b[31mb\x9b2Jc\x07\r") == "a[31mb2Jc"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("8B", 8 * 10**9),
        ("8", 8 * 10**9),
        ("0.6b", 6 * 10**8),
        (" 335 M ", 335 * 10**6),
        ("1T", 10**12),
        ("33360000", 33_360_000),
    ],
)
def test_parameters_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "-1", "8GB", "many", "1e9", "nan", "9" * 400])
def test_what_is_no_number_of_parameters_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_count(text)
