"""The quick way to read a file must say what the careful one says: same values, same refusals."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planner.catalog.reading import FileError, convert, decode, parse


class Thing(msgspec.Struct, forbid_unknown_fields=True):
    """A file with a value of each kind that catalog files hold."""

    whole: int | None = None
    share: float | None = None
    text: str = ""
    sources: dict[str, str] = {}
    inner: tuple["Thing", ...] = ()


_TEXTS = st.one_of(st.text(max_size=6), st.sampled_from([":", '":', '"', "\\u003a", "a: b", "é", "\\", "text"]))


@st.composite
def _written(draw: st.DrawFn, depth: int = 2) -> str:
    """An object as somebody might type it: keys twice, spaces anywhere, letters as escapes."""
    space = draw(st.sampled_from(["", " ", "\n"]))
    ascii_only = draw(st.booleans())
    fields: list[tuple[str, str]] = []
    for name in draw(st.lists(st.sampled_from(["whole", "share", "text", "sources", "inner"]), max_size=5)):
        match name:
            case "whole":
                value = draw(st.sampled_from(["1", "null", "1.0", "9" * 30, "true", "-0"]))
            case "share":
                value = draw(st.sampled_from(["1", "0.5", "1e400", "NaN", "9" * 400, "-0.0", "null"]))
            case "text":
                value = json.dumps(draw(_TEXTS), ensure_ascii=ascii_only)
            case "sources":
                pairs = draw(st.lists(st.tuples(_TEXTS, _TEXTS), max_size=3))
                value = "{" + ",".join(f"{json.dumps(a)}{space}:{json.dumps(b)}" for a, b in pairs) + "}"
            case _:
                value = "[" + ",".join(draw(st.lists(_written(depth - 1), max_size=2)) if depth else []) + "]"
        fields.append((f'"{name}"', value))
    return "{" + f",{space}".join(f"{name}{space}:{space}{value}" for name, value in fields) + "}"


def _said(read: Any) -> tuple[str, object]:
    try:
        return "read", read()
    except FileError as error:
        return "refused", (error.message, error.field)


@given(_written())
@example('{"text": "a", "text": "\\u003a"}')
@example('{"text": "a", "text": "\\u003A"}')
@example('{"sources": {":": "a", ":": "b"}}')
@example('{"sources": {":": "a", "\\u003a": "b"}}')
@example('{"sources": {"a": ":", "a": "::"}}')
@example('{"text": "\\ud800"}')
@example('{"text": "a", "te\\u0078t": "b"}')
def test_quick_and_careful_reading_agree(text: str) -> None:
    raw = text.encode()
    quick = _said(lambda: decode(raw, Thing, name="x.json"))
    careful = _said(lambda: convert(parse(raw, name="x.json"), Thing, name="x.json"))
    assert quick == careful


@pytest.mark.parametrize("text", ['{"text": "a", "text": "b"}', '{"inner": [{"whole": 1,\n"whole": 1}]}'])
def test_a_repeated_key_is_refused_wherever_it_stands(text: str) -> None:
    with pytest.raises(FileError, match="stands twice in one object"):
        decode(text.encode(), Thing, name="x.json")


def test_a_colon_written_as_an_escape_does_not_hide_a_repeated_key() -> None:
    with pytest.raises(FileError, match="stands twice in one object"):
        decode(b'{"sources": {"a": "1", "a": "2", "b": "\\u003a"}}', Thing, name="x.json")
