"""Machines described by options: only what is said and a stated reference host, and files that come back whole."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.machines.hardware import Backend, DeviceKind, DeviceSpec, Hardware
from planner.core.machines.overrides import Overrides, hardware_from_json, virtual_hardware
from planner.core.pages.views import hardware_view
from planner.errors import BadDataError, UsageError
from planner.units import GIB

DEVICES_JSON = Path(__file__).parents[3] / "catalog" / "devices.json"
SPECS = msgspec.json.decode(json.dumps(json.loads(DEVICES_JSON.read_bytes())["devices"]), type=tuple[DeviceSpec, ...])


def describe(**said: Any) -> Hardware:
    return virtual_hardware(Overrides(**said), SPECS)


@pytest.mark.parametrize(
    ("said", "devices"),
    [
        ({"vram": (8 * GIB,)}, [("cuda:0", "8 GiB GPU", 8)]),
        ({"vram": (24 * GIB, 24 * GIB)}, [("cuda:0", "24 GiB GPU", 24), ("cuda:1", "24 GiB GPU", 24)]),
        ({"gpu": "2x RTX 3090"}, [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)]),
        ({"gpu": "2x3090"}, [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)]),
        ({"gpu": "RTX 3090 \u00d7 2"}, [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)]),
        ({"gpu": "RTX 3090 x2"}, [("cuda:0", "GeForce RTX 3090", 24), ("cuda:1", "GeForce RTX 3090", 24)]),
        ({"gpu": "2xA100 80"}, [("cuda:0", "A100 SXM4 80 GB", 80), ("cuda:1", "A100 SXM4 80 GB", 80)]),
        ({"gpu": "4090, 2x L4"}, [("cuda:0", "GeForce RTX 4090", 24), ("cuda:1", "L4", 24), ("cuda:2", "L4", 24)]),
        ({"gpu": "4090", "vram": (48 * GIB,)}, [("cuda:0", "GeForce RTX 4090", 48)]),
        ({"gpu": "rtx 3060", "vram": (8 * GIB,)}, [("cuda:0", "GeForce RTX 3060 8 GB", 8)]),
        (
            {"gpu": "2x 3090", "vram": (20 * GIB,)},
            [("cuda:0", "GeForce RTX 3090", 20), ("cuda:1", "GeForce RTX 3090", 20)],
        ),
        (
            {"gpu": "3090,3090", "vram": (20 * GIB, 24 * GIB)},
            [("cuda:0", "GeForce RTX 3090", 20), ("cuda:1", "GeForce RTX 3090", 24)],
        ),
        ({"gpu": "7900 xtx"}, [("rocm:0", "Radeon RX 7900 XTX", 24)]),
        ({"ram_bytes": 32 * GIB}, []),
        ({"cpu_cores": 4}, []),
    ],
)
def test_options_and_the_devices_they_make(said: dict[str, Any], devices: list[tuple[str, str, float]]) -> None:
    found = describe(**said).devices
    assert [(d.id, d.name, (d.memory_budget_bytes or 0) / GIB) for d in found] == devices
    assert all(d.memory_total_bytes == d.memory_free_bytes == d.memory_budget_bytes for d in found)


def test_what_is_not_said_is_the_reference_host_and_marked_as_assumed() -> None:
    machine = describe(vram=(8 * GIB,))
    host = machine.host
    assert (host.os, host.cpu.name, host.cpu.cores_usable) == ("linux", "unspecified", 8)
    assert host.memory_total_bytes == host.memory_available_bytes == 16 * GIB
    assert host.memory_bandwidth_gbps == 50
    for field in ("memory_total_bytes", "memory_bandwidth_gbps", "cpu.cores_usable"):
        assert host.source[field].startswith("assumed")
    assert any("--ram" in note for note in machine.notes)


def test_the_same_words_make_the_same_machine_byte_for_byte() -> None:
    said = {"gpu": "2x RTX 3090", "ram_bytes": 64 * GIB}
    first, second = (msgspec.json.encode(hardware_view(describe(**said))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("gpu", "ram_gib", "expected_ram_gib", "budget_gib"),
    [
        ("Apple M2 Ultra (76c GPU)", 192, 192, 144),
        ("Apple M2 Ultra (76c GPU)", None, 64, 48),
        ("m1", None, 8, 8 * 2 / 3),
        ("m1 max 64gb", None, 64, 48),
        ("m3 pro", None, 18, 12),
    ],
)
def test_apple_memory_goes_with_the_host(
    gpu: str, ram_gib: int | None, expected_ram_gib: int, budget_gib: float
) -> None:
    machine = describe(gpu=gpu, ram_bytes=None if ram_gib is None else ram_gib * GIB)
    (device,) = machine.devices
    assert machine.host.os == "macos"
    assert machine.host.memory_total_bytes == device.memory_total_bytes == expected_ram_gib * GIB
    assert device.memory_budget_bytes == pytest.approx(budget_gib * GIB, abs=1)
    assert machine.host.memory_bandwidth_gbps == device.memory_bandwidth_gbps


def test_vram_on_a_chip_that_shares_memory_is_its_budget_never_more_than_there_is() -> None:
    machine = describe(gpu="m2 ultra", ram_bytes=64 * GIB, vram=(60 * GIB,))
    assert machine.devices[0].memory_budget_bytes == 60 * GIB
    machine = describe(gpu="m2 ultra", ram_bytes=64 * GIB, vram=(100 * GIB,))
    assert machine.devices[0].memory_budget_bytes == 64 * GIB


def test_parts_with_fixed_memory_bring_their_host() -> None:
    machine = describe(gpu="GB10")
    assert machine.host.memory_total_bytes == 128 * GIB
    assert machine.devices[0].kind is DeviceKind.UNIFIED
    assert 100 * GIB < (machine.devices[0].memory_budget_bytes or 0) < 128 * GIB


def test_bandwidth_is_the_cards_or_without_a_card_the_hosts() -> None:
    machine = describe(vram=(8 * GIB,), bandwidth_gbps=500)
    assert machine.devices[0].memory_bandwidth_gbps == 500
    assert machine.devices[0].memory_bandwidth_range_gbps is None
    assert machine.devices[0].fp16_range_tflops is not None, "the bandwidth does not tell how fast its cores are"
    assert describe(ram_bytes=8 * GIB, bandwidth_gbps=90).host.memory_bandwidth_gbps == 90


def test_a_name_that_left_the_edition_open_says_which_was_taken() -> None:
    assert any("RTX 3060 8 GB" in note for note in describe(gpu="rtx 3060").notes)
    assert not any("taken as" in note for note in describe(gpu="rtx 3060 12gb").notes)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"gpu": "RTX 9090"}, "No device"),
        ({"gpu": ""}, "empty name"),
        ({"gpu": "4090,,4090"}, "empty name"),
        ({"gpu": "0x 4090"}, "0 devices"),
        ({"gpu": "65x 4090"}, "65 devices"),
        ({"gpu": "40x 4090, 40x 4090"}, "40 devices"),
        ({"gpu": "2x 4090", "vram": (GIB, GIB, GIB)}, "3 sizes"),
        ({"gpu": "4090", "vram": (GIB, GIB)}, "2 sizes"),
        ({"gpu": "m2 ultra, 4090"}, "Apple"),
        ({"vram": (0,)}, "positive"),
        ({"vram": (-GIB,)}, "positive"),
        ({"vram": (GIB,) * 65}, "64"),
        ({"ram_bytes": 0}, "positive"),
        ({"bandwidth_gbps": float("nan")}, "GB/s"),
        ({"bandwidth_gbps": -1.0}, "GB/s"),
        ({"cpu_cores": 0}, "cores"),
    ],
)
def test_options_that_cannot_be_right(said: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        describe(**said)
    assert caught.value.hint


def test_any_tells_whether_something_is_said() -> None:
    assert not Overrides().any
    examples: dict[str, Any] = {"vram": (GIB,), "gpu": "4090", "bandwidth_gbps": 1.0, "ram_bytes": 1, "cpu_cores": 1}
    assert set(examples) == {field.name for field in fields(Overrides)}
    for name, value in examples.items():
        assert Overrides(**{name: value}).any


@given(st.text(max_size=40))
def test_any_gpu_text_is_a_machine_or_a_usage_error(text: str) -> None:
    try:
        machine = describe(gpu=text)
    except UsageError:
        return
    assert machine.devices


# --- a machine from a file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [{"vram": (8 * GIB,)}, {"gpu": "2x RTX 3090", "ram_bytes": 64 * GIB}, {"gpu": "m2 ultra 76"}]
)
def test_what_hardware_prints_comes_back_whole(said: dict[str, Any]) -> None:
    machine = describe(**said)
    assert hardware_from_json(msgspec.json.encode(hardware_view(machine))) == machine


def test_fields_of_a_later_minor_version_are_let_through() -> None:
    document = json.loads(msgspec.json.encode(hardware_view(describe(vram=(8 * GIB,)))))
    document["new"] = document["host"]["new"] = document["devices"][0]["new"] = 1
    assert hardware_from_json(json.dumps(document).encode()).devices[0].name == "8 GiB GPU"


def test_a_hand_written_file_may_leave_out_what_follows_from_the_rest() -> None:
    raw = b"""{"host": {"os": "linux", "cpu": {"name": "x", "cores_physical": 8, "cores_usable": 4},
        "memory_total_bytes": 34359738368}, "devices": [
        {"name": "Some Card", "vendor": "nvidia", "memory_total_bytes": 8589934592},
        {"name": "M9", "vendor": "apple", "kind": "unified", "memory_total_bytes": 34359738368}]}"""
    machine = hardware_from_json(raw)
    card, chip = machine.devices
    assert (card.id, card.slug, card.backend) == ("cuda:0", "some-card", Backend.CUDA)
    assert card.memory_free_bytes == card.memory_budget_bytes == 8 * GIB
    assert 16 * GIB < (chip.memory_budget_bytes or 0) < 32 * GIB
    assert machine.host.memory_available_bytes == 32 * GIB


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.host.memory_total_bytes", 0),
        ("$.host.memory_total_bytes", -1),
        ("$.host.memory_total_bytes", "16"),
        ("$.host.memory_total_bytes", 1.5),
        ("$.host.memory_total_bytes", 2**63),
        ("$.host.memory_bandwidth_gbps", -3.0),
        ("$.host.cpu.cores_usable", 0),
        ("$.host.cpu.cores_physical", True),
        ("$.host.cpu.name", 7),
        ("$.devices[0].memory_total_bytes", 0),
        ("$.devices[0].memory_free_bytes", -1),
        ("$.devices[0].memory_budget_bytes", "all"),
        ("$.devices[0].memory_bandwidth_gbps", 0),
        ("$.devices[0].memory_bandwidth_range_gbps", [1]),
        ("$.devices[0].memory_bandwidth_range_gbps", [-1, 1]),
        ("$.devices[0].fp32_range_tflops", [0, 1]),
        ("$.devices[0].tdp_range_w", [100, -1]),
        ("$.devices[0].fp16_tflops", -0.1),
        ("$.devices[0].kind", "virtual"),
        ("$.devices[0].vendor", "3dfx"),
        ("$.devices", {}),
        ("$.schema", 2),
    ],
)
def test_a_wrong_field_is_named_with_its_path(path: str, value: object) -> None:
    document = json.loads(msgspec.json.encode(hardware_view(describe(vram=(8 * GIB,)))))
    target: Any = document
    keys = path.removeprefix("$.").replace("[0]", ".0").split(".")
    for key in keys[:-1]:
        target = target[int(key) if key.isdigit() else key]
    target[keys[-1]] = value
    with pytest.raises(BadDataError) as caught:
        hardware_from_json(json.dumps(document).encode())
    assert caught.value.reference == "hardware-invalid"
    assert path in caught.value.message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"host":' * 50_000,
        b'{"host": NaN}',
        b'{"host": {"os": "l", "cpu": {"name": "x", "cores_physical": 1, "cores_usable": 1}, '
        b'"memory_total_bytes": 1, "memory_bandwidth_gbps": 1e999}}',
    ],
)
def test_what_is_no_machine_is_refused(raw: bytes) -> None:
    with pytest.raises(BadDataError) as caught:
        hardware_from_json(raw)
    assert caught.value.reference == "hardware-invalid"
    assert "--save" in caught.value.hint


@pytest.mark.parametrize(
    ("free", "budget", "available", "at"),
    [
        (25 * GIB, 8 * GIB, GIB, "$.devices[0].memory_free_bytes"),
        (8 * GIB, 25 * GIB, GIB, "$.devices[0].memory_budget_bytes"),
        (8 * GIB, 8 * GIB, 65 * GIB, "$.host.memory_available_bytes"),
    ],
)
def test_a_part_larger_than_the_whole_is_refused(free: int, budget: int, available: int, at: str) -> None:
    document: Any = json.loads(msgspec.json.encode(hardware_view(describe(vram=(8 * GIB,), ram_bytes=64 * GIB))))
    document["devices"][0] |= {"memory_free_bytes": free, "memory_budget_bytes": budget}
    document["host"]["memory_available_bytes"] = available
    with pytest.raises(BadDataError) as caught:
        hardware_from_json(json.dumps(document).encode())
    assert f"at `{at}`" in caught.value.message


def test_a_byte_order_mark_does_no_harm() -> None:
    machine = describe(vram=(8 * GIB,))
    assert hardware_from_json(b"\xef\xbb\xbf" + msgspec.json.encode(hardware_view(machine))) == machine


@given(st.binary(max_size=200))
def test_any_bytes_are_a_machine_or_bad_data(raw: bytes) -> None:
    with pytest.raises(BadDataError):
        hardware_from_json(raw)


def test_options_change_a_machine_from_a_file_and_keep_the_rest() -> None:
    base = describe(gpu="2x RTX 3090", ram_bytes=64 * GIB, cpu_cores=24)
    more = virtual_hardware(Overrides(ram_bytes=128 * GIB), SPECS, base=base)
    assert more.devices == base.devices
    assert (more.host.memory_total_bytes, more.host.cpu.cores_usable) == (128 * GIB, 24)
    other = virtual_hardware(Overrides(gpu="4090"), SPECS, base=base)
    assert [d.name for d in other.devices] == ["GeForce RTX 4090"]
    assert other.host.memory_total_bytes == 64 * GIB


def test_more_memory_for_a_chip_from_a_file_is_more_budget() -> None:
    base = describe(gpu="m2 ultra", ram_bytes=64 * GIB)
    more = virtual_hardware(Overrides(ram_bytes=128 * GIB), SPECS, base=base)
    assert more.devices[0].memory_budget_bytes == 96 * GIB


@pytest.mark.parametrize(
    ("said", "slug"),
    [
        ({"gpu": "Apple M4 Max", "ram_bytes": 64 * GIB}, "apple-m4-max-40c"),
        ({"gpu": "Apple M4 Max", "ram_bytes": 36 * GIB}, "apple-m4-max-32c"),
        ({"gpu": "m3 max 48gb"}, "apple-m3-max-40c"),
        ({"gpu": "m3 max", "ram_bytes": 96 * GIB}, "apple-m3-max-30c"),
        ({"gpu": "Apple M3 Ultra", "ram_bytes": 512 * GIB}, "apple-m3-ultra-80c"),
        ({"gpu": "Apple M3 Ultra", "ram_bytes": 256 * GIB}, "apple-m3-ultra-60c"),
        # Cores that are named, and sizes that decide nothing.
        ({"gpu": "m4 max 32", "ram_bytes": 64 * GIB}, "apple-m4-max-32c"),
        ({"gpu": "m2 ultra", "ram_bytes": 192 * GIB}, "apple-m2-ultra-60c"),
        ({"gpu": "M4 Max"}, "apple-m4-max-32c"),
    ],
)
def test_the_memory_tells_which_variant_of_an_apple_chip_it_is(said: dict[str, Any], slug: str) -> None:
    assert describe(**said).devices[0].slug == slug
