"""Conditions on models: what an entry does not say does not meet one. Languages by code or name."""

from typing import Any

import pytest

from planner.core.models.languages import language_names, parse_language
from planner.core.models.model import Commercial, Licence, Model, Role, Variant
from planner.core.models.wishes import Wishes
from planner.errors import UsageError


def model(**changes: Any) -> Model:
    base: dict[str, Any] = {
        "id": "me/it",
        "family": "mine",
        "role": Role.EMBEDDING,
        "parameters": 100,
        "context_length": 512,
        "licence": Licence("MIT", Commercial.YES),
        "languages": ("en", "de"),
        "variants": (
            Variant(quant="F16", artifacts=(), file_bytes=200),
            Variant(quant="Q8_0", artifacts=(), file_bytes=110),
        ),
    }
    return Model(**{**base, **changes})


def test_no_wish_admits_everything() -> None:
    assert not Wishes().any
    assert Wishes().admit(model(deployable=False, parameters=None, languages=(), variants=()))


@pytest.mark.parametrize(
    ("wishes", "meets", "fails"),
    [
        (Wishes(commercial=True), {}, {"licence": Licence("x", Commercial.CONDITIONAL)}),
        (Wishes(commercial=True), {}, {"licence": Licence("x", Commercial.UNKNOWN)}),
        (Wishes(language="de"), {}, {"languages": ("en",)}),
        (Wishes(language="fi"), {"languages": ("multilingual",)}, {"languages": ()}),
        (Wishes(max_parameters=100), {}, {"parameters": 101}),
        (Wishes(max_parameters=100), {"parameters": 1}, {"parameters": None}),
        (Wishes(max_file_bytes=110), {}, {"variants": (Variant(quant="F16", artifacts=(), file_bytes=111),)}),
        (Wishes(max_file_bytes=110), {}, {"variants": (Variant(quant="F16", artifacts=()),)}),
        (Wishes(max_file_bytes=110), {}, {"variants": ()}),
        (Wishes(deployable=True), {}, {"deployable": False}),
    ],
    ids=str,
)
def test_each_wish_has_models_that_meet_it_and_others(
    wishes: Wishes, meets: dict[str, Any], fails: dict[str, Any]
) -> None:
    assert wishes.any
    assert wishes.admit(model(**meets))
    assert not wishes.admit(model(**fails))


@pytest.mark.parametrize(
    ("text", "code"),
    [("de", "de"), (" DE ", "de"), ("German", "de"), ("chinese", "zh"), ("Multilingual", "multilingual")],
)
def test_a_language_is_a_code_or_an_english_name(text: str, code: str) -> None:
    assert parse_language(text) == code


def test_the_table_holds_every_code_once() -> None:
    names = language_names()
    assert len(names) == 183
    assert all(len(code) == 2 and code.islower() and name[0].isupper() for code, name in names.items())
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize(
    ("text", "near"), [("germn", "de (German)"), ("xx", "xh (Xhosa)"), ("", "ISO 639-1"), ("q" * 10_000, "ISO 639-1")]
)
def test_an_unknown_language_suggests_the_nearest(text: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_language(text)
    assert caught.value.reference == "unknown-language"
    assert near in caught.value.hint
    assert len(caught.value.message) < 100
