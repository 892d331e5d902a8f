"""Fit the constants of the speed formulas to the rows of `data/throughput.csv` and write `catalog/speed.json`.

Run: python benchmarks/fit_speed.py            (about a minute; the same rows give the same file)

Least squares on log(predicted ÷ measured) with a soft-L1 loss, every device weighing 1/√(its rows), so that neither
a device with many rows nor a wrong row rules. The formulas are the product's own (`core.speed`): each constant's
effect is measured by changing it. Every constant is pulled towards what is assumed without rows (the defaults of
`core.speed.calibration`), the more the fewer rows there are; constants of a vendor or backend towards the common one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks.speed_problem import Form, Problem, Term
from benchmarks.throughput_rows import Row, core_rows, groups, weights
from planner.catalog.location import data_dir
from planner.catalog.speed import SpeedFile
from planner.core.machines.hardware import Vendor
from planner.core.machines.tensor_cores import capability, has_tensor_cores
from planner.core.models.quants import canonical
from planner.core.speed.calibration import (
    FAST_GBPS,
    GENERIC,
    Calibration,
    Deviation,
    Known,
    Spreads,
    Tiers,
    device_class,
    device_key,
    family_key,
    prompt_class,
)
from planner.core.speed.generation import generation_seconds
from planner.core.speed.interval import Interval
from planner.core.speed.prompt import prompt_time


def _generation_form(rows: Sequence[Row]) -> Form:
    start = GENERIC.generation
    classes = sorted({device_class(device) for row in rows if (device := row.device)})
    vendors = sorted({device.vendor.value for row in rows if (device := row.device)})
    terms = {
        "bandwidth": Term(math.log(start.bandwidth_share), 1.0),
        "layer": Term(math.log(start.layer_us_default), 0.01),
        "arithmetic": Term(math.log(start.arithmetic_share_default), 0.01),
        "before_volta": Term(math.log(start.before_volta), 0.1),
        "moe": Term(math.log(start.moe_layers), 0.3),
        **{f"layer {name}": Term(0.0, 0.3) for name in classes},
        **{f"arithmetic {name}": Term(0.0, 0.2) for name in vendors},
    }

    def make(x: Mapping[str, float], base: Calibration) -> Calibration:
        fitted = msgspec.structs.replace(
            base.generation,
            bandwidth_share=math.exp(x["bandwidth"]),
            layer_us_default=math.exp(x["layer"]),
            layer_us={name: math.exp(x["layer"] + x[f"layer {name}"]) for name in classes},
            arithmetic_share_default=math.exp(x["arithmetic"]),
            arithmetic_share={name: math.exp(x["arithmetic"] + x[f"arithmetic {name}"]) for name in vendors},
            before_volta=math.exp(x["before_volta"]),
            moe_layers=math.exp(x["moe"]),
        )
        return msgspec.structs.replace(base, generation=fitted)

    def uses(row: Row) -> tuple[str, ...]:
        device = row.device
        assert device is not None, "core rows ran on a GPU"
        version = capability(device)
        old = device.vendor is Vendor.NVIDIA and version is not None and version < 7
        return (
            "bandwidth",
            "layer",
            f"layer {device_class(device)}",
            "arithmetic",
            f"arithmetic {device.vendor.value}",
            *(("before_volta",) if old else ()),
            *(("moe",) if row.arch.is_moe else ()),
        )

    def seconds(row: Row, calibration: Calibration) -> float:
        return generation_seconds(msgspec.structs.replace(row.run, calibration=calibration))

    return Form(terms, make, uses, seconds)


def _prompt_form(rows: Sequence[Row]) -> Form:
    start = GENERIC.prompt
    classes = sorted({prompt_class(device)[0] for row in rows if (device := row.device)})
    terms = {
        "share": Term(math.log(start.share_default), 0.01),
        "k": Term(math.log(start.k_share), 0.3),
        "float": Term(math.log(start.float_share), 0.3),
        "power": Term(start.power_exponent, 0.1),
        "flash": Term(math.log(start.attention_flash), 0.3),
        "plain": Term(math.log(start.attention_plain), 0.3),
        "expert": Term(math.log(start.expert_batch), 0.2),
        **{f"share {name}": Term(0.0, 0.1) for name in classes},
    }

    def make(x: Mapping[str, float], base: Calibration) -> Calibration:
        fitted = msgspec.structs.replace(
            base.prompt,
            share_default=math.exp(x["share"]),
            share={name: math.exp(x["share"] + x[f"share {name}"]) for name in classes} | _BY_HAND_SHARES,
            k_share=math.exp(x["k"]),
            float_share=math.exp(x["float"]),
            power_exponent=x["power"],
            attention_flash=math.exp(x["flash"]),
            attention_plain=math.exp(x["plain"]),
            expert_batch=math.exp(x["expert"]),
        )
        return msgspec.structs.replace(base, prompt=fitted)

    def uses(row: Row) -> tuple[str, ...]:
        device = row.device
        assert device is not None, "core rows ran on a GPU"
        base = canonical(row.variant.quant)
        floating, blocks = base in {"F16", "BF16"}, "_K" in base or base.startswith("IQ")
        return (
            "share",
            f"share {prompt_class(device)[0]}",
            "flash" if row.settings.flash_attention else "plain",
            *(("power",) if has_tensor_cores(device) else ()),
            *(("float",) if floating else ("k",) if blocks else ()),
            *(("expert",) if row.arch.is_moe else ()),
        )

    def seconds(row: Row, calibration: Calibration) -> float:
        found = prompt_time(msgspec.structs.replace(row.run, calibration=calibration))
        assert found is not None, f"{row.id} has no peak"
        return found.seconds

    return Form(terms, make, uses, seconds)


_BY_HAND_SHARES = {"amd-matrix/gfx942": 0.2, "amd-matrix/gfx950": 0.1}
"""Instinct MI300 and MI350, of which no row is known: what the fit gives for the vector units, of the matrix peak."""


def fitted(rows: Sequence[Row]) -> Calibration:
    """Constants and known devices from these rows, generation and prompts; intervals and deviations not yet."""
    generation = [row for row in rows if row.metric == "tg"]
    prompts = [row for row in rows if row.metric == "pp"]
    calibration = replace_known(GENERIC, generation, prompts)
    host = msgspec.structs.replace(calibration.host, core_gflops={"avx512": 100.0, "avx2": 30.0, "neon": 30.0})
    calibration = msgspec.structs.replace(calibration, host=host)
    for made, chosen in ((_generation_form, generation), (_prompt_form, prompts)):
        if chosen:
            form = made(chosen)
            calibration = form.make(Problem(form, chosen, calibration).solution(), calibration)
    return calibration


def replace_known(base: Calibration, generation: Sequence[Row], prompts: Sequence[Row]) -> Calibration:
    """The calibration with the devices and families that the rows stand for."""

    def known(rows: Sequence[Row]) -> Known:
        devices = [device for row in rows if (device := row.device)]
        return Known(frozenset(map(device_key, devices)), frozenset(map(family_key, devices)))

    return msgspec.structs.replace(base, known_generation=known(generation), known_prompt=known(prompts))


@dataclass(frozen=True)
class Scored:
    """A row with log(measured ÷ predicted): inside the fit, with its device left out, with its architecture left out.

    `alone` says that no other device of its architecture has rows.
    """

    row: Row
    inside: float
    without_device: float
    without_family: float
    alone: bool = False


@dataclass(frozen=True)
class CrossValidation:
    """Rows of one quantity, their errors, and the fits without each device and without each architecture."""

    scored: list[Scored]
    without_device: dict[str, Calibration]
    without_family: dict[str, Calibration]


def cross_validated(rows: Sequence[Row]) -> CrossValidation:
    """Every row predicted by fits to all rows, to those of other devices, to those of other architectures."""
    seconds = _seconds_of(rows[0])

    def error(row: Row, calibration: Calibration) -> float:
        return math.log(seconds(row, calibration) * row.rate)

    everything = fitted(rows)
    without_device = left_out(rows, lambda row: row.name)
    without_family = left_out(rows, lambda row: row.family)
    members: dict[str, set[str]] = {}
    for row in rows:
        members.setdefault(row.family, set()).add(row.name)
    scored = [
        Scored(
            row,
            inside=error(row, everything),
            without_device=error(row, without_device[row.name]),
            without_family=error(row, without_family[row.family]),
            alone=len(members[row.family]) == 1,
        )
        for row in rows
    ]
    return CrossValidation(scored, without_device, without_family)


def left_out(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, Calibration]:
    """For every group of rows a fit to the rows of all others."""
    found = {}
    for name, positions in groups(rows, key).items():
        out = set(positions)
        found[name] = fitted([row for index, row in enumerate(rows) if index not in out])
    return found


def _seconds_of(row: Row) -> Callable[[Row, Calibration], float]:
    return (_generation_form if row.metric == "tg" else _prompt_form)([row]).seconds


def interval_of(errors: Sequence[float], each: Sequence[float]) -> Interval:
    """The 10th to 90th percentile of measured over predicted, weighted; it always holds the middle."""
    if not errors:
        return Interval(0.5, 2.0)
    ordered = sorted(zip(errors, each, strict=True))
    total, low, high, seen = sum(each), ordered[0][0], ordered[-1][0], 0.0
    for error, weight in ordered:
        if seen < 0.1 * total <= seen + weight:
            low = error
        if seen < 0.9 * total <= seen + weight:
            high = error
        seen += weight
    return Interval(low=_rounded(min(1.0, math.exp(low))), high=_rounded(max(1.0, math.exp(high))))


def tiers_of(scored: Sequence[Scored]) -> Tiers:
    """Intervals by how near the fitted rows come to a device; the farther, the wider.

    Devices count the same. Models with experts have rows on few devices, most of them on one: rows count the same in
    a second interval there, and the hull of both is taken.
    """
    related = [one for one in scored if not one.alone]

    def of(chosen: Sequence[Scored], errors: Sequence[float]) -> Interval:
        by_device = interval_of(errors, weights([one.row for one in chosen]))
        if not any(one.row.arch.is_moe for one in chosen):
            return by_device
        return by_device.hull(interval_of(errors, [1.0] * len(chosen)))

    device = of(scored, [one.inside for one in scored])
    family = device.hull(of(related, [one.without_device for one in related]))
    other = family.hull(of(scored, [one.without_family for one in scored]))
    quick = [one for one in scored if _is_fast(one.row)]
    return Tiers(device, family, other, other.hull(of(quick, [one.without_family for one in quick])))


def _is_fast(row: Row) -> bool:
    return row.device is not None and (row.device.memory_bandwidth_gbps or 0.0) >= FAST_GBPS


def deviation_of(scored: Sequence[Scored]) -> Deviation:
    """How far devices, and rows around their device, lie from what is predicted without the device."""
    means, around = [], []
    for positions in groups([one.row for one in scored], lambda row: row.name).values():
        errors = [scored[index].without_device for index in positions]
        mean = sum(errors) / len(errors)
        means.append(mean)
        if len(errors) > 1:
            around.append(sum((error - mean) ** 2 for error in errors) / (len(errors) - 1))
    between = sum(mean**2 for mean in means) / len(means)
    return Deviation(between=_rounded(math.sqrt(between)), within=_rounded(math.sqrt(sum(around) / len(around))))


def with_spreads(calibration: Calibration, generation: Sequence[Scored], prompts: Sequence[Scored]) -> Calibration:
    """The calibration with intervals and deviations of cross-validated rows."""
    # One device so far: its own rows, as it is not to be had from others.
    shared = [one.inside for one in prompts if "shared" in one.row.backend]

    def split(scored: Sequence[Scored]) -> tuple[Tiers, Tiers]:
        dense = [one for one in scored if not one.row.arch.is_moe]
        return tiers_of(dense), tiers_of([one for one in scored if one.row.arch.is_moe])

    (tg, tg_moe), (pp, pp_moe) = split(generation), split(prompts)
    base = Spreads()
    return msgspec.structs.replace(
        calibration,
        spreads=msgspec.structs.replace(
            base,
            generation=tg,
            generation_moe=tg_moe,
            prompt=pp,
            prompt_moe=pp_moe,
            prompt_shared=interval_of(shared, [1.0] * len(shared)),
        ),
        generation_deviation=deviation_of(generation),
        prompt_deviation=deviation_of(prompts),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def rounded(value: object) -> object:
    """A JSON value with three significant digits and sorted lists: the same rows give the same bytes."""
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, Mapping):
        return {key: rounded(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return sorted(value)
    return value


def main() -> None:
    """Fit, cross-validate, write."""
    generation, prompts = core_rows("tg"), core_rows("pp")
    calibration = with_spreads(
        fitted([*generation, *prompts]), cross_validated(generation).scored, cross_validated(prompts).scored
    )
    content = SpeedFile(
        schema=1,
        as_of=max(row.build[:7] for row in generation if row.build[:2] == "20"),
        command="python benchmarks/fit_speed.py",
        rows={"generation": len(generation), "prompt": len(prompts)},
        sources={
            "generation": "fitted to the core rows of benchmarks/data/throughput.csv",
            "prompt": "fitted to the same table; embed_batch_us, encoder_share and split_gain by hand",
            "host": "set by hand beside the table's CPU rows",
            "spreads": "cross-validated; from embed on (in the order of the schema) by hand",
        },
        calibration=calibration,
    )
    path = data_dir() / "speed.json"
    raw = msgspec.json.encode(rounded(msgspec.to_builtins(content, builtin_types=(frozenset,))))
    path.write_bytes(msgspec.json.format(raw, indent=2) + b"\n")
    print(path)


if __name__ == "__main__":
    main()
