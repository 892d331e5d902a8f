"""Devices by name: every spelling finds its own row, nothing finds a neighbour's."""

import contextlib
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.machines.devices import (
    device_from_spec,
    match_driver_name,
    nearest_names,
    resolve_device,
    unified_budget,
)
from planner.core.machines.hardware import Backend, DeviceKind, DeviceSpec, Vendor
from planner.core.machines.typical_device import anonymous_device, fastest, slowest
from planner.errors import UsageError
from planner.units import GIB

DEVICES_JSON = Path(__file__).parents[3] / "catalog" / "devices.json"
FILE = json.loads(DEVICES_JSON.read_bytes())
SPECS = msgspec.convert(FILE["devices"], tuple[DeviceSpec, ...])
BY_SLUG = {spec.slug: spec for spec in SPECS}
FIGURES = {
    "memory_bandwidth_gbps": "memory_bandwidth_range_gbps",
    "fp16_tflops": "fp16_range_tflops",
    "fp32_tflops": "fp32_range_tflops",
    "tdp_w": "tdp_range_w",
}
"""A figure of a card known by its size → the spread of it."""


# The names other tools do not know or take for another card (bandwidth in GB/s, memory in GiB).
OFTEN_WRONG = [
    ("NVIDIA B200", 8000, 180),
    ("NVIDIA GeForce GTX 1060", 192.2, 6),
    ("NVIDIA GeForce GTX 1060 3GB", 192.2, 3),
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 1790, 96),
    ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 1790, 96),
    ("NVIDIA RTX 6000 Ada Generation", 960, 48),
    ("NVIDIA A40", 696, 48),
    ("Tesla P40", 347, 24),
    ("Tesla P100-PCIE-16GB", 732, 16),
    ("Tesla P100-SXM2-16GB", 732, 16),
    ("NVIDIA GeForce RTX 3050", 224, 8),
    ("NVIDIA GeForce RTX 3050 Laptop GPU", 192, 4),
    ("NVIDIA GeForce RTX 3050 Ti Laptop GPU", 192, 4),
    ("NVIDIA GeForce RTX 3060 Laptop GPU", 336, 6),
    ("NVIDIA GeForce RTX 3070 Laptop GPU", 448, 8),
    ("NVIDIA GeForce RTX 3070 Ti Laptop GPU", 448, 8),
    ("NVIDIA GeForce RTX 3080 Laptop GPU", 448, 8),
    ("NVIDIA GeForce RTX 3080 Ti Laptop GPU", 512, 16),
    ("NVIDIA GeForce RTX 4050 Laptop GPU", 192, 6),
    ("NVIDIA GeForce RTX 4060 Laptop GPU", 256, 8),
    ("NVIDIA GeForce RTX 4070 Laptop GPU", 256, 8),
    ("NVIDIA GeForce RTX 4080 Laptop GPU", 432, 12),
    ("NVIDIA GeForce RTX 4090 Laptop GPU", 576, 16),
    ("NVIDIA GeForce RTX 5060 Laptop GPU", 384, 8),
    ("NVIDIA GeForce RTX 5080 Laptop GPU", 896, 16),
    ("NVIDIA GeForce RTX 5090 Laptop GPU", 896, 24),
    ("NVIDIA RTX 5000 Ada Generation Laptop GPU", 576, 16),
    ("NVIDIA TITAN RTX", 672, 24),
    ("NVIDIA GeForce GTX 1050 Ti", 112, 4),
    ("NVIDIA GeForce GTX 1070", 256, 8),
    ("NVIDIA GeForce GTX 1080", 320, 8),
    ("NVIDIA GeForce GTX 1080 Ti", 484, 11),
    ("NVIDIA RTX A2000", 288, 6),
    ("NVIDIA RTX A2000 12GB", 288, 12),
    ("NVIDIA RTX A1000", 192, 8),
    ("NVIDIA GB10", 273, 128),
    ("NVIDIA H100 80GB HBM3", 3350, 80),
    ("NVIDIA H100 NVL", 3940, 94),
    ("NVIDIA H100 PCIe", 2039, 80),
    ("NVIDIA A100-SXM4-80GB", 2039, 80),
    ("NVIDIA GeForce RTX 5060", 448, 8),
    ("Tesla M40", 288, 12),
    ("Tesla M10", 83, 8),
    ("AMD Radeon RX 9070", 640, 16),
]


@pytest.mark.parametrize(("name", "bandwidth_gbps", "memory_gib"), OFTEN_WRONG)
def test_names_others_get_wrong_have_their_own_figures(name: str, bandwidth_gbps: float, memory_gib: float) -> None:
    spec = resolve_device(name, SPECS)
    assert spec.memory_bandwidth_gbps == pytest.approx(bandwidth_gbps, rel=0.01)
    assert spec.memory_gib == memory_gib
    # Drivers show a little less than the label, and still mean this card.
    assert match_driver_name(name, SPECS, int(memory_gib * 0.94 * GIB)) == spec


@pytest.mark.parametrize(
    ("typed", "slug"),
    [
        ("4090", "geforce-rtx-4090"),
        ("RTX4090", "geforce-rtx-4090"),
        ("rtx_4090", "geforce-rtx-4090"),
        ("GeForce RTX 4090 24GB", "geforce-rtx-4090"),
        ("4090 laptop", "geforce-rtx-4090-mobile"),
        ("rtx 3060", "geforce-rtx-3060-12gb"),
        ("rtx 3060 12gb", "geforce-rtx-3060-12gb"),
        ("3060 8", "geforce-rtx-3060-8gb"),
        ("RTX 3060 8 GiB", "geforce-rtx-3060-8gb"),
        ("4070ti super", "geforce-rtx-4070-ti-super"),
        ("RTX 4070 Ti", "geforce-rtx-4070-ti"),
        ("4060 ti 16", "geforce-rtx-4060-ti-16gb"),
        ("a100 80", "a100-sxm4-80gb"),
        ("A100 PCIe 40GB", "a100-pcie-40gb"),
        ("A100_SXM_80GB", "a100-sxm4-80gb"),
        ("h100", "h100-sxm5-80gb"),
        ("h100 94", "h100-nvl-94gb"),
        ("h100-pcie", "h100-pcie-80gb"),
        ("m2 ultra 76", "apple-m2-ultra-76c"),
        ("Apple M2 Ultra (76c GPU)", "apple-m2-ultra-76c"),
        ("M2 Ultra 76-core", "apple-m2-ultra-76c"),
        ("m2 ultra", "apple-m2-ultra-60c"),
        ("m4 10", "apple-m4-10c"),
        ("m40", "tesla-m40"),
        ("7900 XTX", "radeon-rx-7900-xtx"),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "radeon-rx-7900-xtx"),
        ("AMD Radeon(TM) 8060S Graphics", "radeon-8060s"),
        ("Ryzen AI Max+ 395 (Radeon 8060S)", "radeon-8060s"),
        ("AMD Instinct MI300X", "radeon-instinct-mi300x"),
        ("Radeon Instinct MI50 32GB", "radeon-instinct-mi50-32gb"),
        ("Intel(R) Arc(TM) A770 Graphics", "arc-a770"),
        ("b580", "arc-b580"),
        ("w7900", "radeon-pro-w7900"),
        ("rtx 6000 48", "rtx-6000-ada-generation"),
        ("Quadro RTX 6000", "quadro-rtx-6000"),
        ("DGX Spark", "gb10"),
        ("L4", "l4"),
        ("L40S", "l40s"),
        ("t4", "tesla-t4"),
        ("v100", "tesla-v100-sxm2-16gb"),
    ],
)
def test_what_people_type(typed: str, slug: str) -> None:
    assert resolve_device(typed, SPECS).slug == slug


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.slug)
def test_every_spelling_of_a_row_finds_that_row(spec: DeviceSpec) -> None:
    for name in (spec.name, spec.slug, *spec.aliases):
        assert resolve_device(name, SPECS) == spec, name
        assert resolve_device(f"  {name.upper()} ", SPECS) == spec, name


@pytest.mark.parametrize("typed", ["a100", "rtx 6000", "RTX 4000", "A100 PCIe"])
def test_ambiguous_names_list_what_they_could_mean(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_device(typed, SPECS)
    assert caught.value.reference == "ambiguous-gpu"
    for candidate in ("A100 PCIe 40 GB", "A100 PCIe 80 GB") if "100" in typed else ("Quadro", "Ada"):
        assert candidate in caught.value.message


def test_memory_known_from_elsewhere_decides_between_editions() -> None:
    assert resolve_device("rtx 3060", SPECS, memory_gib=8).slug == "geforce-rtx-3060-8gb"
    assert resolve_device("a100", SPECS, memory_gib=40).slug == "a100-sxm4-40gb"
    # A modified card is still that card.
    assert resolve_device("4090", SPECS, memory_gib=48).slug == "geforce-rtx-4090"


@pytest.mark.parametrize(
    ("typed", "near"), [("RTX 4900", "GeForce RTX 4090"), ("Geforce 4080 Ti", "GeForce RTX 4080"), ("mi300", "MI300")]
)
def test_an_unknown_name_offers_the_nearest(typed: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_device(typed, SPECS)
    assert caught.value.reference == "unknown-gpu"
    assert near in caught.value.message
    assert any(near in name for name in nearest_names(typed, SPECS))
    assert caught.value.hint


def test_a_size_the_card_was_never_sold_with_is_refused_and_the_way_out_named() -> None:
    with pytest.raises(UsageError, match="24 GiB") as caught:
        resolve_device("RTX 4090 48GB", SPECS)
    assert "--vram" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["", "NVIDIA", "GPU", "NVIDIA Graphics Device", "Fake A100 Pro", "M", "RTX", "A1000X"]
)
def test_a_driver_name_that_is_not_a_row_is_unknown_not_guessed(name: str) -> None:
    assert match_driver_name(name, SPECS, 24 * GIB) is None


def test_driver_names_of_several_editions_need_the_memory() -> None:
    assert match_driver_name("NVIDIA GeForce RTX 3060", SPECS, 12 * GIB) == BY_SLUG["geforce-rtx-3060-12gb"]
    assert match_driver_name("NVIDIA GeForce RTX 3060", SPECS, 8 * GIB) == BY_SLUG["geforce-rtx-3060-8gb"]
    assert match_driver_name("NVIDIA GeForce RTX 3060", SPECS, None) is None
    assert match_driver_name("NVIDIA RTX 6000", SPECS, 24 * GIB) == BY_SLUG["quadro-rtx-6000"]
    # The Apple chips of one name differ in bandwidth: without the core count there is no telling.
    assert match_driver_name("Apple M3 Max", SPECS) is None
    assert match_driver_name("Apple M3 Max", SPECS, gpu_cores=40) == BY_SLUG["apple-m3-max-40c"]


def test_compute_capability_contradicts_a_name() -> None:
    assert match_driver_name("Tesla T4", SPECS, 15 * GIB, "7.5") == BY_SLUG["tesla-t4"]
    assert match_driver_name("Tesla T4", SPECS, 15 * GIB, "9.0") is None


@given(st.text(max_size=60))
def test_any_text_is_a_device_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert resolve_device(text, SPECS) in SPECS
    assert match_driver_name(text, SPECS, 8 * GIB) in (None, *SPECS)


@given(
    st.lists(st.sampled_from(["rtx", "4090", "12gb", "gb", "(", "laptop", "76c", "m2", "a100", "-", "80", "\u0661"]))
)
def test_words_of_names_in_any_order_never_break_the_reading(words: list[str]) -> None:
    with contextlib.suppress(UsageError):
        assert resolve_device(" ".join(words), SPECS) in SPECS


# --- devices of a size alone ---------------------------------------------------------------------------------------


def test_a_card_known_by_its_memory_is_like_the_cards_of_that_size() -> None:
    device = anonymous_device(8 * GIB, SPECS, 0)
    assert device.memory_total_bytes == device.memory_budget_bytes == 8 * GIB
    assert (device.vendor, device.backend) == (Vendor.NVIDIA, Backend.CUDA)
    assert device.memory_bandwidth_range_gbps is not None
    low, high = device.memory_bandwidth_range_gbps
    assert device.memory_bandwidth_gbps is not None
    assert 200 <= low < device.memory_bandwidth_gbps < high <= 700
    assert "--gpu" in device.source["memory_bandwidth_gbps"]
    assert "assumed" in device.source["vendor"]


@given(st.floats(0.5, 600), st.floats(0.5, 600))
def test_more_memory_is_never_slower(one: float, other: float) -> None:
    small, large = (anonymous_device(int(g * GIB), SPECS, 0) for g in sorted((one, other)))
    for field, spread in FIGURES.items():
        assert getattr(small, field) <= getattr(large, field)
        for end in (0, 1):
            assert getattr(small, spread)[end] <= getattr(large, spread)[end]
    for device in (small, large):
        for field, spread in FIGURES.items():
            low, high = getattr(device, spread)
            assert 0 < low <= getattr(device, field) <= high


@given(st.floats(0.5, 600))
def test_the_slowest_and_the_fastest_of_a_size_are_the_ends_of_all_its_figures(gib: float) -> None:
    device = anonymous_device(int(gib * GIB), SPECS, 0)
    for field, spread in FIGURES.items():
        assert (getattr(slowest(device), field), getattr(fastest(device), field)) == getattr(device, spread)


def test_a_device_with_a_name_has_no_ends() -> None:
    device = device_from_spec(resolve_device("RTX 4090", SPECS), index=0, host_memory_bytes=16 * GIB)
    assert slowest(device) == fastest(device) == device


def test_where_a_file_tells_how_bandwidths_differ_alone_peaks_differ_as_much() -> None:
    older = msgspec.structs.replace(
        anonymous_device(8 * GIB, SPECS, 0),
        memory_bandwidth_gbps=400.0,
        memory_bandwidth_range_gbps=(200.0, 600.0),
        fp16_tflops=50.0,
        fp16_range_tflops=None,
    )
    assert (slowest(older).fp16_tflops, fastest(older).fp16_tflops) == (25.0, 75.0)


def test_without_any_known_card_only_the_memory_is_known() -> None:
    device = anonymous_device(8 * GIB, (), 0)
    assert device.memory_total_bytes == 8 * GIB
    assert device.memory_bandwidth_gbps is None
    assert device.memory_bandwidth_range_gbps is None
    assert not device.known_by_size


# --- devices of a data sheet ---------------------------------------------------------------------------------------


def test_a_discrete_card_is_free_and_whole() -> None:
    device = device_from_spec(BY_SLUG["tesla-t4"], index=1, host_memory_bytes=64 * GIB)
    assert device.id == "cuda:1"
    assert device.memory_total_bytes == device.memory_free_bytes == device.memory_budget_bytes == 16 * GIB


@pytest.mark.parametrize(("ram_gib", "share"), [(8, 2 / 3), (36, 2 / 3), (64, 3 / 4), (192, 3 / 4)])
def test_an_apple_gpu_takes_a_share_of_the_hosts_memory(ram_gib: int, share: float) -> None:
    device = device_from_spec(BY_SLUG["apple-m2-ultra-76c"], index=0, host_memory_bytes=ram_gib * GIB)
    assert device.kind is DeviceKind.UNIFIED
    assert device.memory_total_bytes == ram_gib * GIB
    assert device.memory_budget_bytes == pytest.approx(share * ram_gib * GIB, abs=1)
    assert device.source["memory_budget_bytes"].startswith("estimated")


@pytest.mark.parametrize("vendor", list(Vendor))
@given(total=st.integers(1, 2**42))
def test_a_share_is_never_more_than_there_is(vendor: Vendor, total: int) -> None:
    budget, rule = unified_budget(vendor, total)
    assert 0 <= budget <= total
    assert rule


# --- the data file -------------------------------------------------------------------------------------------------


def test_there_are_many_devices_of_every_kind() -> None:
    assert len(SPECS) >= 350
    for part, least in {
        "geforce-gtx-10": 10, "geforce-rtx-20": 10, "geforce-rtx-30": 15, "geforce-rtx-40": 15, "geforce-rtx-50": 12,
        "jetson": 10, "radeon-rx-5": 10, "radeon-rx-6": 20, "radeon-rx-7": 10, "radeon-rx-9": 6,
        "radeon-instinct": 12, "radeon-pro": 15, "arc-": 25, "apple-m": 36,
    }.items():  # fmt: skip
        assert sum(spec.slug.startswith(part) for spec in SPECS) >= least, part


def test_rows_are_unique_and_in_range() -> None:
    assert len(BY_SLUG) == len(SPECS)
    owners: dict[str, str] = {}
    for spec in SPECS:
        assert spec.slug == spec.slug.lower().strip("-")
        assert set(spec.slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        for name in (spec.name, *spec.aliases):
            assert owners.setdefault(" ".join(name.lower().split()), spec.slug) == spec.slug, name
        if spec.kind is DeviceKind.DISCRETE:
            assert spec.memory_gib is not None, spec.slug
            assert spec.memory_bandwidth_gbps is not None, spec.slug
        if spec.memory_gib is not None:
            assert 2 <= spec.memory_gib <= 300, spec.slug
        if spec.memory_bandwidth_gbps is not None:
            assert 10 <= spec.memory_bandwidth_gbps <= 9000, spec.slug
        for peak in (spec.fp32_tflops, spec.fp16_tflops):
            assert peak is not None, spec.slug
            assert 0.1 < peak < 3000, spec.slug
        assert spec.tdp_w is None or 5 <= spec.tdp_w <= 1500, spec.slug


def test_every_value_has_a_source() -> None:
    for spec in SPECS:
        assert spec.source["*"], spec.slug
        for field, where in spec.source.items():
            assert field == "*" or getattr(spec, field) not in (None, ()), (spec.slug, field)
            # A key of the file's list, or words.
            assert where in FILE["sources"] or len(where) > 8, (spec.slug, field, where)


def test_what_each_vendors_software_asks_for_is_there() -> None:
    for spec in SPECS:
        if spec.vendor is Vendor.NVIDIA:
            assert spec.compute_capability is not None, spec.slug
        if spec.vendor is Vendor.AMD:
            assert spec.gfx_target is not None, spec.slug
            assert spec.gfx_target.startswith("gfx"), spec.slug
        if spec.vendor is Vendor.APPLE:
            assert f"-{spec.gpu_cores}c" in spec.slug


def test_pci_ids_are_well_formed_and_of_the_right_vendor() -> None:
    vendors = {Vendor.NVIDIA: "10de", Vendor.AMD: "1002", Vendor.INTEL: "8086"}
    for spec in SPECS:
        for identity in spec.pci_ids:
            assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}(:[0-9a-f]{2})?", identity), identity
            assert identity.startswith(vendors[spec.vendor]), (spec.slug, identity)
    assert sum(len(spec.pci_ids) for spec in SPECS) > 1000


def test_bigger_siblings_are_not_slower() -> None:
    for ladder in (
        ["geforce-rtx-3060-12gb", "geforce-rtx-3070-ti", "geforce-rtx-3080", "geforce-rtx-3090"],
        ["geforce-rtx-4060", "geforce-rtx-4070", "geforce-rtx-4080", "geforce-rtx-4090"],
        ["geforce-rtx-5060", "geforce-rtx-5070", "geforce-rtx-5070-ti", "geforce-rtx-5080", "geforce-rtx-5090"],
        ["radeon-rx-7600", "radeon-rx-7700-xt", "radeon-rx-7800-xt", "radeon-rx-7900-xt", "radeon-rx-7900-xtx"],
        ["a100-pcie-40gb", "h100-pcie-80gb", "h100-sxm5-80gb", "h200-sxm-141gb", "b200"],
        ["apple-m4-8c", "apple-m4-10c", "apple-m4-pro-16c", "apple-m4-max-32c", "apple-m4-max-40c"],
        ["arc-a380", "arc-a580", "arc-a750", "arc-a770"],
    ):
        for field in ("memory_bandwidth_gbps", "fp16_tflops", "fp32_tflops"):
            values = [getattr(BY_SLUG[slug], field) for slug in ladder]
            assert values == sorted(values), (field, ladder)


def test_a_laptop_part_is_not_faster_than_its_desktop_namesake() -> None:
    laptops = [s for s in SPECS if s.slug.startswith("geforce-rtx") and s.slug.endswith("-mobile")]
    known = [
        (laptop, BY_SLUG[name]) for laptop in laptops if (name := laptop.slug.removesuffix("-mobile")) in BY_SLUG
    ]
    assert len(known) > 20
    for laptop, desktop in known:
        # The RTX 5050 has GDDR7 on laptops and GDDR6 on desktops.
        if laptop.slug != "geforce-rtx-5050-mobile":
            assert (laptop.memory_bandwidth_gbps or 0) <= (desktop.memory_bandwidth_gbps or 0), laptop.slug


@pytest.mark.parametrize(
    ("slug", "memory_gib", "bandwidth_gbps"),
    [
        ("geforce-rtx-3090", 24, 936),
        ("geforce-rtx-4090", 24, 1008),
        ("geforce-rtx-5090", 32, 1792),
        ("h100-sxm5-80gb", 80, 3350),
        ("h200-sxm-141gb", 141, 4800),
        ("b200", 180, 8000),
        ("tesla-v100-sxm2-16gb", 16, 900),
        ("radeon-instinct-mi300x", 192, 5300),
        ("radeon-rx-7900-xtx", 24, 960),
        ("arc-b580", 12, 456),
        ("apple-m3-ultra-80c", None, 819),
        ("apple-m4-max-40c", None, 546),
    ],
)
def test_flagships_are_as_their_makers_say(slug: str, memory_gib: float | None, bandwidth_gbps: float) -> None:
    spec = BY_SLUG[slug]
    assert spec.memory_gib == memory_gib
    assert spec.memory_bandwidth_gbps == pytest.approx(bandwidth_gbps, rel=0.005)
