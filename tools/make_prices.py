"""Write catalog/prices/ from a dated table of rental prices.

    python tools/make_prices.py --table prices.csv

The table has the columns provider, tier, interruptible, instance, gpu, gpu_raw, gpu_count, gpu_mem_gb, vcpu, ram_gb,
price_total_usd_hr, price_per_gpu_usd_hr, price_per_gpu_median_usd_hr, n_offers, region, as_of, source, flags: a row
per offer, USD per hour, memory per GPU. It holds single facts of

* tardellirs/gpu-pricing, src/data/offerings.json (rows of 2026-05-24, read by hand from the pages named),
* sooddvs/gpu-pricing, gpu_pricing_raw.csv (rows of 2026-06-15, price lists), and
* cherielilili/gpu-pricing-tracker, commit 04891eb3 (rows of 2026-07-20, the providers' own interfaces).

The short name in the column gpu is not taken: names are recognised anew when prices are shown.
"""

import argparse
import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from planner.catalog.location import data_dir
from planner.catalog.prices import SnapshotFile, snapshot_mistakes
from planner.core.costs.offers import Quote, Tier

SOURCES = {
    "2026-05-24": "pages read by hand, collected in tardellirs/gpu-pricing, src/data/offerings.json (MIT); rows it "
    "marks as estimated are left out",
    "2026-06-15": "price lists of AWS, Azure, GCP and Vultr, collected in sooddvs/gpu-pricing, gpu_pricing_raw.csv "
    "(single facts)",
    "2026-07-20": "interfaces and pages of the providers, collected in cherielilili/gpu-pricing-tracker, commit "
    "04891eb3 (single facts)",
}
NOTE = (
    "Dated prices for when nobody can be asked: on marketplaces they may be wrong by a factor of 2, and RunPod's "
    "H100 SXM was about 25 % below that of November 2026."
)
TIERS: dict[str, Tier] = {
    "on-demand": "on-demand", "secure": "on-demand", "production": "on-demand", "prototyping": "on-demand",
    "community": "community", "spot": "spot", "marketplace": "marketplace",
}  # fmt: skip
FLAGS = {
    "max64rows": "incomplete",
    "cpu_ram_extra": "gpu_only",
    "gpu_only_no_cpu_ram": "gpu_only",
    "vram_unverified": "vram_unverified",
    "page_manual": "read_by_hand",
}
"""What is carried over; the rest says how a row was collected, which `sources` does."""
ASSUMED_INTERRUPTIBLE = {"marketplace", "prototyping"}


def quote(row: dict[str, str]) -> Quote:
    """One row of the table."""
    flags = [FLAGS[flag] for flag in row["flags"].split(";") if flag in FLAGS]
    interruptible = row["interruptible"] == "true"
    if interruptible and row["tier"] in ASSUMED_INTERRUPTIBLE:
        flags.append("interruptible_assumed")
    return Quote(
        provider=row["provider"],
        tier=TIERS[row["tier"]],
        plan=row["tier"] if row["tier"] != TIERS[row["tier"]] else None,
        interruptible=interruptible,
        gpu_raw=row["gpu_raw"],
        gpu_count=int(row["gpu_count"]),
        vram_each_gib=float(row["gpu_mem_gb"]) if row["gpu_mem_gb"] else None,
        price_hour_usd=Decimal(row["price_total_usd_hr"]),
        observed_at=row["as_of"],
        source=row["source"],
        instance=row["instance"] or None,
        region=row["region"] or None,
        flags=tuple(dict.fromkeys(flags)),
    )


def main() -> None:
    """Read the table, write the file, refuse what cannot be right."""
    parser = argparse.ArgumentParser(description="Write catalog/prices/ from a table of prices.")
    parser.add_argument("--table", type=Path, required=True)
    arguments = parser.parse_args()
    with arguments.table.open(encoding="utf-8", newline="") as file:
        quotes = list(dict.fromkeys(quote(row) for row in csv.DictReader(file)))
    as_of = max(item.observed_at for item in quotes)
    quotes.sort(
        key=lambda item: (item.provider, item.gpu_raw.casefold(), item.gpu_count, item.tier, item.price_hour_usd)
    )
    snapshot = SnapshotFile(schema=1, as_of=as_of, note=NOTE, sources=SOURCES, offers=tuple(quotes))
    if problems := list(snapshot_mistakes(snapshot)):
        raise SystemExit("\n".join(problems))
    path = data_dir() / "prices" / f"snapshot_{as_of}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(snapshot))
    print(f"{path}: {len(quotes)} offers")


def encoded(snapshot: SnapshotFile) -> bytes:
    """The file's content: an offer a line, so that a change reads as one."""
    encoder = msgspec.json.Encoder(decimal_format="number")
    tree: dict[str, Any] = {name: getattr(snapshot, name) for name in ("schema", "as_of", "note", "sources")}
    head = msgspec.json.format(encoder.encode(tree), indent=2).decode().removesuffix("\n}")
    lines = ",\n".join("    " + encoder.encode(item).decode() for item in snapshot.offers)
    return f'{head},\n  "offers": [\n{lines}\n  ]\n}}\n'.encode()


if __name__ == "__main__":
    main()
