"""The dated prices as a file: what is wrong with one is a finding, and the shipped one is clean."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.check import check
from planner.catalog.location import data_dir
from planner.catalog.prices import load_snapshot, snapshot_files
from planner.errors import CatalogError

ROW: dict[str, Any] = {
    "provider": "acme",
    "tier": "spot",
    "interruptible": True,
    "gpu_raw": "RTX 4090",
    "gpu_count": 1,
    "vram_each_gib": 24.0,
    "price_hour_usd": 0.3,
    "observed_at": "2026-07-20",
    "source": "https://example.org/pricing",
}


def write(path: Path, *rows: dict[str, Any], **changes: Any) -> Path:
    tree = {"schema": 1, "as_of": "2026-07-20", "note": "n", "sources": {"2026-07-20": "s"}, "offers": list(rows)}
    path.write_text(json.dumps({**tree, **changes}))
    return path


def messages(path: Path) -> list[str]:
    return [finding.message for finding in check([path], shipped=False).findings]


def test_the_shipped_snapshot_is_checked_with_the_rest(tmp_path: Path) -> None:
    copy = tmp_path / "data"
    (copy / "models").mkdir(parents=True)
    for path in [*data_dir().glob("*.json"), *snapshot_files()]:
        (copy / path.relative_to(data_dir())).parent.mkdir(exist_ok=True)
        shutil.copy(path, copy / path.relative_to(data_dir()))
    assert check(folder=copy).findings == ()
    write(snapshot_files(copy)[-1], {**ROW, "price_hour_usd": -1})
    (finding,) = check(folder=copy).findings
    assert "no offer has such a price" in finding.message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"price_hour_usd": 0}, "no offer has such a price"),
        ({"gpu_count": 0}, "no offer has such a price or no GPU"),
        ({"gpu_raw": " "}, "no GPU"),
        ({"observed_at": "2026-07-21"}, "no day up to 2026-07-20"),
        ({"observed_at": "July"}, "no day"),
        ({"observed_at": "2026-01-01"}, "sources says nothing about 2026-01-01"),
        ({"tier": "cheap"}, "cheap"),
        ({"price": 1}, "unknown field “price”"),
        ({"source": None}, "source"),
    ],
    ids=str,
)
def test_a_row_that_cannot_be_is_found(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    (message,) = messages(write(tmp_path / "any.json", {**ROW, **row}))
    assert words in message


def test_a_file_without_offers_a_row_twice_and_a_wrong_day_are_found(tmp_path: Path) -> None:
    assert messages(write(tmp_path / "a.json")) == ["it holds no offer"]
    assert messages(write(tmp_path / "b.json", ROW, ROW)) == ["an offer is there twice"]
    assert any("is not a date" in text for text in messages(write(tmp_path / "c.json", ROW, as_of="x")))
    assert messages(write(tmp_path / "d.json", ROW)) == []


def test_the_newest_snapshot_counts_and_none_is_no_error(tmp_path: Path) -> None:
    assert load_snapshot(tmp_path) is None
    (tmp_path / "prices").mkdir()
    write(tmp_path / "prices/snapshot_2026-07-20.json", ROW)
    write(tmp_path / "prices/snapshot_2026-08-20.json", {**ROW, "provider": "newer"})
    found = load_snapshot(tmp_path)
    assert found is not None
    assert [quote.provider for quote in found.offers] == ["newer"]
    (tmp_path / "prices/snapshot_2026-09-20.json").write_text("{")
    with pytest.raises(CatalogError):
        load_snapshot(tmp_path)
