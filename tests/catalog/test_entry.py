"""From a header to an entry: what its words say of role, languages and licence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.entry import Answers, Read, make_entry, needs_pooling, suggested_role
from planner.catalog.licences import licence_of, tagged_licence
from planner.catalog.rules import doubts
from planner.core.models.model import Commercial, Pooling, Role, Variant
from planner.gguf.facts import facts
from planner.gguf.files import read_path
from tests.cli.test_inspect import gguf_bytes


def read(tmp_path: Path, arch: str = "llama", said: Mapping[str, object] | None = None, **keys: Any) -> Read:
    """A header with these keys, and `said` beside them."""
    path = tmp_path / "tiny-Q8_0.gguf"
    path.write_bytes(gguf_bytes(arch, **keys))
    header = read_path(path).header
    assert header is not None
    return Read(facts(header), {**header.metadata, **(said or {})}, "tiny-Q8_0.gguf")


@pytest.mark.parametrize(
    ("keys", "tags", "role"),
    [
        ({}, (), Role.GENERATION),
        ({"llama__pooling_type": 3}, (), Role.EMBEDDING),
        ({"llama__pooling_type": 0}, (), Role.GENERATION),
        ({"llama__pooling_type": 4}, (), Role.RERANKER),
        ({}, ("sentence-similarity", "mistral"), Role.EMBEDDING),
        ({}, ("feature-extraction", "text-generation"), Role.GENERATION),
        ({"general__name": "bge-something"}, (), Role.GENERATION),
    ],
    ids=str,
)
def test_the_role_comes_from_what_the_header_says_not_from_its_name(
    tmp_path: Path, keys: dict[str, Any], tags: tuple[str, ...], role: Role
) -> None:
    assert suggested_role(read(tmp_path, said={"general.tags": tags}, **keys))[0] is role


def test_an_encoder_is_an_embedder_that_needs_its_pooling(tmp_path: Path) -> None:
    encoder = read(tmp_path, "bert")
    assert suggested_role(encoder)[0] is Role.EMBEDDING
    assert needs_pooling(encoder, Answers())
    assert not needs_pooling(encoder, Answers(pooling=Pooling.CLS))
    assert not needs_pooling(encoder, Answers(role=Role.GENERATION))
    assert not needs_pooling(read(tmp_path, "bert", bert__pooling_type=1), Answers())


@pytest.mark.parametrize(
    ("said", "languages"),
    [
        (("en", "DE "), ("en", "de")),
        (("multilingual", "en"), ("multilingual",)),
        (tuple(f"{a}{b}" for a in "abcdefghij" for b in "abcdefghij"), ("multilingual",)),
        (tuple(f"{a}{b}" for a in "abcde" for b in "abcde"), tuple(f"{a}{b}" for a in "abcde" for b in "abcde")),
        (("english", "x\x1b", 7), ()),
        (7, ()),
    ],
    ids=lambda value: str(value)[:20],
)
def test_languages_are_codes_or_left_out(tmp_path: Path, said: object, languages: tuple[str, ...]) -> None:
    model = make_entry(
        read(tmp_path, said={"general.languages": said}),
        Answers(),
        identity="me/tiny",
        variants=(Variant(quant="Q8_0", artifacts=()),),
    )
    assert model.languages == languages
    assert ("languages" in model.sources) is bool(languages)


def test_tensors_that_the_numbers_do_not_describe_are_noted_and_no_doubt(tmp_path: Path) -> None:
    model = make_entry(read(tmp_path), Answers(), identity="me/tiny", variants=(Variant(quant="Q8_0", artifacts=()),))
    assert "6,144 weights" in model.notes[0]
    assert list(doubts(model, None)) == []


@pytest.mark.parametrize(
    ("word", "spdx", "commercial"),
    [
        ("apache-2.0", "Apache-2.0", Commercial.YES),
        ("MIT", "MIT", Commercial.YES),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", Commercial.NO),
        ("llama3.1", "LicenseRef-Llama-3.1-Community", Commercial.CONDITIONAL),
        ("gemma", "LicenseRef-Gemma-Terms", Commercial.CONDITIONAL),
        ("gpl-3.0", "GPL-3.0-only", Commercial.CONDITIONAL),
        ("other", "LicenseRef-unknown", Commercial.UNKNOWN),
        ("", "LicenseRef-unknown", Commercial.UNKNOWN),
        (None, "LicenseRef-unknown", Commercial.UNKNOWN),
        ("Acme terms; see\x1b[2J page", "LicenseRef-Acme-terms-see-2J-page", Commercial.UNKNOWN),
        ("licenseref-gemma-terms", "LicenseRef-Gemma-Terms", Commercial.CONDITIONAL),
    ],
)
def test_a_licence_is_allowed_only_where_it_is_known_to_be(
    word: str | None, spdx: str, commercial: Commercial
) -> None:
    licence = licence_of(word)
    assert (licence.spdx, licence.commercial) == (spdx, commercial)


def test_the_pages_licence_is_one_of_its_tags() -> None:
    assert tagged_licence(("gguf", "license:mit")) == "mit"
    assert tagged_licence(("gguf",)) is None
