"""Estimated beside measured speed: in sample, leaving devices out, leaving architectures out, and the intervals.

Run: python benchmarks/throughput_accuracy.py            (about three minutes)

Every row goes the way of every command: model and file size → weights by layer → placement → estimate. Constants are
those of `fit_speed.py`, fitted to all rows or to those that are left; the interval of a row whose device is left out
comes from the errors of other devices. “a / b”: median and 90th percentile of |estimated ÷ measured - 1|.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.fit_speed import CrossValidation, Scored, cross_validated, fitted, with_spreads
from benchmarks.throughput_rows import Row, core_rows, groups, rows
from planner.catalog.loader import load
from planner.core.speed.calibration import Calibration
from planner.core.speed.local import LocalPoint, with_local

_ROOFLINE_SHARE = 0.55
"""One efficiency for everything, as a plain roofline has it."""


@dataclass(frozen=True)
class Answer:
    """A row, its estimate and whether the measured rate is inside the interval."""

    row: Row
    low: float
    mid: float
    high: float

    @property
    def error(self) -> float:
        """|estimated ÷ measured - 1|."""
        return abs(self.mid / self.row.rate - 1)

    @property
    def inside(self) -> bool:
        """Within the 80 % interval."""
        return self.low <= self.row.rate <= self.high


def answers(chosen: Sequence[Row], calibration: Callable[[Row], Calibration]) -> list[Answer]:
    """Estimates by the calibration that each row is to be judged with."""
    return [Answer(row, *row.predict(calibration(row))) for row in chosen]


def without_group(fits: dict[str, Calibration], scored: Sequence[Scored], key: Callable[[Row], str]) -> list[Answer]:
    """Estimates by fits without the row's group, intervals by the errors of the other groups."""
    known = {}
    for name, calibration in fits.items():
        others = [one for one in scored if key(one.row) != name]
        known[name] = with_spreads(calibration, others, others)
    return answers([one.row for one in scored], lambda row: known[key(row)])


def percentiles(errors: Iterable[float]) -> str:
    """Median and 90th percentile."""
    ordered = sorted(errors)
    if not ordered:
        return "-"
    rank = min(len(ordered) - 1, math.ceil(0.9 * len(ordered)) - 1)
    return f"{statistics.median(ordered):.1%} / {ordered[rank]:.1%}"


def by_device(found: Sequence[Answer]) -> float:
    """Median over devices of each device's median."""
    positions = groups([answer.row for answer in found], lambda row: row.name).values()
    return statistics.median(statistics.median(found[index].error for index in group) for group in positions)


def coverage(found: Sequence[Answer]) -> str:
    """Share inside the interval: of rows, and of devices each counting the same."""
    positions = groups([answer.row for answer in found], lambda row: row.name).values()
    devices = statistics.mean(statistics.mean(found[index].inside for index in group) for group in positions)
    return f"{statistics.mean(answer.inside for answer in found):.0%} / {devices:.0%}"


def _roofline(row: Row) -> float:
    device, work = row.device, row.run.work
    assert device is not None, "core rows ran on a GPU"
    read = sum(work.active_bytes) + work.output_bytes
    return abs(_ROOFLINE_SHARE * (device.memory_bandwidth_gbps or 0) * 1e9 / read / row.rate - 1)


def table(title: str, ways: dict[str, list[Answer]], key: Callable[[Row], str]) -> None:
    """Errors by group, one column for each way of leaving out."""
    print(
        f"\n{title:28}{'rows':>5}{'devices':>8}"
        + "".join(f"{name:>20}" for name in ways)
        + f"{'inside rows/devices':>22}"
    )
    first = next(iter(ways.values()))
    for name, positions in groups([answer.row for answer in first], key).items():
        devices = len({first[index].row.name for index in positions})
        cells = "".join(f"{percentiles(found[i].error for i in positions):>20}" for found in ways.values())
        judged = [ways["device left out"][index] for index in positions]
        print(f"{name:28}{len(positions):5}{devices:8}{cells}{coverage(judged):>22}")


def judge(found: CrossValidation, shipped: Calibration) -> dict[str, list[Answer]]:
    """The three ways of one quantity."""
    return {
        "in sample": answers([one.row for one in found.scored], lambda _: shipped),
        "device left out": without_group(found.without_device, found.scored, lambda row: row.name),
        "architecture left out": without_group(found.without_family, found.scored, lambda row: row.family),
    }


def local_gain(found: CrossValidation) -> str:
    """Errors of a device's other rows with the device left out: before, and after one measured point of it.

    Up to six rows of a device are the point in turn; rows of the point's model and quant are not judged, they would
    be measured.
    """
    before, after = [], []
    chosen = [one.row for one in found.scored]
    for positions in groups(chosen, lambda row: f"{row.name} {row.backend}").values():
        calibration = with_spreads(found.without_device[chosen[positions[0]].name], found.scored, found.scored)
        for at in positions[:: -(-len(positions) // 6)]:
            point = _point(chosen[at], calibration)
            local = with_local(calibration, [point])
            for index in positions:
                row = chosen[index]
                if (row.arch, row.variant.quant) != (point.arch, point.quant):
                    before.append(abs(row.predict(calibration)[1] / row.rate - 1))
                    after.append(abs(row.predict(local)[1] / row.rate - 1))
    return (
        f"{percentiles(before)} before, {percentiles(after)} after ({len(before)} pairs of a point and another row)"
    )


def _point(row: Row, calibration: Calibration) -> LocalPoint:
    assert row.device is not None, "core rows ran on a GPU"
    assert row.metric != "embed", "the table's embedding rows are not scored"
    return LocalPoint(
        device=f"{row.device.slug}/{row.device.backend.value}",
        quantity=row.metric,
        arch=row.arch,
        quant=row.variant.quant,
        settings=row.settings,
        measured_tokens_per_s=row.rate,
        predicted_tokens_per_s=row.predict(calibration)[1],
    )


def _other_rows(shipped: Calibration) -> None:
    """What is not scored: CPUs, embeddings, layers split over several GPUs."""
    print("\nnot fitted (estimated ÷ measured)")
    rest = [row for row in rows() if not row.core and (row.device is None or len(row.hardware.devices) > 1)]
    rest += [row for row in rows() if row.metric == "embed" and row.device is not None]
    kinds = groups(rest, lambda row: f"{row.metric} {_place(row)}")
    for name, positions in kinds.items():
        found = answers([rest[index] for index in positions], lambda _: shipped)
        ratios = sorted(answer.mid / answer.row.rate for answer in found)
        inside = statistics.mean(answer.inside for answer in found)
        print(
            f"{name:46}{len(found):4} rows   {ratios[0]:5.2f}  {statistics.median(ratios):5.2f}  {ratios[-1]:5.2f}"
            f"   inside {inside:.0%}"
        )


def _place(row: Row) -> str:
    if row.device is None:
        return f"CPU {row.name}, {row.source.partition(' ')[0]}"
    count = len(row.hardware.devices)
    return f"{count} GPUs" if count > 1 else f"{row.name}, {row.source}"


def main() -> None:
    """Print the tables."""
    shipped = load().speed
    refit = fitted([*core_rows("tg"), *core_rows("pp")])
    same = all(
        math.isclose(row.predict(shipped)[1], row.predict(refit)[1], rel_tol=0.02) for row in core_rows("tg")[::10]
    )
    print(
        f"catalog/speed.json is {'that of' if same else 'NOT what'} benchmarks/fit_speed.py {'' if same else 'gives'}"
    )
    for title, chosen in (("generation", core_rows("tg")), ("prompt processing", core_rows("pp"))):
        validated = cross_validated(chosen)
        ways = judge(validated, shipped)
        print(f"\n== {title}: median / 90th percentile; 80 % interval with the device left out")
        table("all", ways, lambda _: "all")
        for name, found in ways.items():
            print(f"    {name}: median over devices {by_device(found):.1%}, inside {coverage(found)}")
        table("by class", ways, lambda row: row.kind)
        table("by backend", ways, lambda row: f"{row.backend} {row.kind}")
        if title == "generation":
            plain = percentiles(map(_roofline, chosen))
            print(f"\none-constant roofline ({_ROOFLINE_SHARE} · bandwidth ÷ bytes): {plain}")
        print(f"\none local point: {local_gain(validated)}")
    _other_rows(shipped)


if __name__ == "__main__":
    main()
