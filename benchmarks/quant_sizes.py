"""File sizes predicted from the architecture, beside every size known.

Run: python benchmarks/quant_sizes.py

`data/gguf_bytes.csv` has exact bytes of published files, `data/gguf_sizes_rounded.csv` sizes as printed by tools and
tables. `own_output`: a tied model's file with an output matrix of its own. `imatrix`: made with an importance matrix.
`other_rules`: the note says why today's rules cannot give it; such rows are shown and not counted.
"""

import csv
import functools
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.catalog.loader import load
from planner.core.models.file_size import file_size
from planner.core.models.model import Architecture
from planner.core.models.parameters import count_parameters
from planner.core.models.quants import bits_per_weight
from planner.core.models.tensors import ENCODERS
from planner.units import GIB, MIB

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Row:
    """A known size in bytes, known to ± `tolerance_bytes`, and what we predict; `flat_bytes` by bits per weight."""

    model: str
    quant: str
    arch: Architecture
    known_bytes: float
    tolerance_bytes: float
    predicted_bytes: int
    flat_bytes: float
    other_rules: bool
    note: str

    @property
    def error(self) -> float:
        """Predicted over known, less 1."""
        return self.predicted_bytes / self.known_bytes - 1

    @property
    def within_rounding(self) -> bool:
        """Whether the prediction rounds to what was printed."""
        return abs(self.predicted_bytes - self.known_bytes) <= self.tolerance_bytes * 1.0001

    @property
    def kind(self) -> str:
        """The class of architecture."""
        if self.arch.name in ENCODERS:
            return "encoder"
        if self.arch.is_moe:
            return "mixture of experts"
        return "dense, tied output" if self.arch.tied_embeddings else "dense, own output"


@functools.cache
def _shapes() -> dict[str, Architecture]:
    found = {model.id: model.architecture for model in load().models if model.architecture is not None}
    for entry in json.loads((_DATA / "shapes.json").read_text(encoding="utf-8")):
        name = entry.pop("id")
        found[name] = msgspec.convert(entry, Architecture)
    return found


def _read(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _row(line: dict[str, str], known_bytes: float, tolerance_bytes: float) -> Row:
    arch = _shapes()[line["model"]]
    if line.get("own_output"):
        arch = msgspec.structs.replace(arch, tied_embeddings=False)
    size = file_size(arch, line["quant"], imatrix=bool(line.get("imatrix")))
    bits = bits_per_weight(line["quant"])
    assert size is not None, line["quant"]
    assert bits is not None, line["quant"]
    return Row(
        model=line["model"],
        quant=line["quant"],
        arch=arch,
        known_bytes=known_bytes,
        tolerance_bytes=tolerance_bytes,
        predicted_bytes=size.tensor_bytes if line.get("size_is") == "tensors" else size.file_bytes,
        flat_bytes=count_parameters(arch) * bits / 8,
        other_rules=bool(line["other_rules"]),
        note=line["note"],
    )


def exact_rows() -> list[Row]:
    """Files whose bytes are known."""
    return [_row(line, int(line["bytes"]), 0) for line in _read("gguf_bytes.csv")]


def rounded_rows() -> list[Row]:
    """Sizes that were printed with a few digits."""
    rows = []
    for line in _read("gguf_sizes_rounded.csv"):
        number, _, unit = line["gib"].partition(" ")
        digits = len(number.partition(".")[2])
        # A table of GiB that drops a last zero still rounds to two digits.
        tolerance = 0.5 * 10.0 ** -(digits if unit else max(digits, 2))
        scale = MIB if unit == "MiB" else GIB
        rows.append(_row(line, float(number) * scale, tolerance * scale))
    return rows


def _table(title: str, rows: Iterable[Row], key: Callable[[Row], str]) -> None:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    print(f"\n{title:24}{'files':>6}{'median':>10}{'worst':>10}{'flat: median':>14}{'worst':>9}")
    for name, group in sorted(groups.items()):
        errors = [abs(row.error) for row in group]
        flat = [abs(row.flat_bytes / row.known_bytes - 1) for row in group]
        print(
            f"{name:24}{len(group):6}{statistics.median(errors):10.3%}{max(errors):10.3%}"
            f"{statistics.median(flat):14.2%}{max(flat):9.1%}"
        )


def main() -> None:
    """Print errors by quant type and class of architecture, then every row that needs a word."""
    exact, rounded = exact_rows(), rounded_rows()
    counted = [row for row in exact if not row.other_rules]
    _table("exact bytes", counted, lambda _: "all")
    _table("by quant type", counted, lambda row: row.quant)
    _table("by architecture", counted, lambda row: row.kind)
    told = [row for row in rounded if not row.other_rules]
    inside = sum(row.within_rounding for row in told)
    print(f"\nprinted sizes: {inside} of {len(told)} predicted to the last printed digit")
    print("\nrows that need a word")
    for row in (*exact, *rounded):
        odd = not row.within_rounding if row.tolerance_bytes else abs(row.error) > 0.001
        if row.other_rules or odd:
            counts = "not counted" if row.other_rules else ""
            print(f"  {row.model} {row.quant}: {row.error:+.2%} {counts}\n      {row.note}")


if __name__ == "__main__":
    main()
