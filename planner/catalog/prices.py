"""`catalog/prices/`: dated rental prices for when nobody can be asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from planner.catalog.location import data_dir
from planner.catalog.reading import read_shipped
from planner.core.costs.offers import Quote, is_usable

Text = Annotated[str, msgspec.Meta(min_length=1)]


class SnapshotFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Offers as pages and interfaces had them on the day each row names.

    `as_of` is the newest of these days, `note` how far to trust them, `sources` who collected the rows of a day and
    under which licence. The `source` of a row is the page or the interface that it was read from.
    """

    schema: Literal[1]
    as_of: str
    note: Text
    sources: dict[str, Text]
    offers: tuple[Quote, ...]


def snapshot_files(folder: Path | None = None) -> list[Path]:
    """The shipped snapshots, oldest first. Raises CatalogError without a data folder."""
    return sorted(((folder or data_dir()) / "prices").glob("snapshot_*.json"))


def load_snapshot(folder: Path | None = None) -> SnapshotFile | None:
    """The newest snapshot; None where none is shipped. Raises CatalogError when it is broken."""
    files = snapshot_files(folder)
    return read_shipped(files[-1], SnapshotFile) if files else None


def snapshot_mistakes(file: SnapshotFile) -> Iterator[str]:
    """What cannot be right in it, one sentence each."""
    from planner.catalog.rules import is_date  # noqa: PLC0415  # 10 ms that reading the prices need not pay

    if not file.offers:
        yield "it holds no offer"
    if not is_date(file.as_of):
        yield f"as_of: “{file.as_of}” is not a date of the form YYYY-MM-DD"
    for index, quote in enumerate(file.offers):
        where = f"offers[{index}] ({quote.provider}, {quote.gpu_raw})"
        if not is_usable(quote):
            yield f"{where}: price_hour_usd: no offer has such a price or no GPU"
        if not is_date(quote.observed_at) or quote.observed_at > file.as_of:
            yield f"{where}: observed_at: “{quote.observed_at}” is no day up to {file.as_of}"
        elif quote.observed_at not in file.sources:
            yield f"{where}: sources says nothing about {quote.observed_at}"
    if len(set(file.offers)) < len(file.offers):
        yield "an offer is there twice"
