"""Jetson boards: the firmware's name, the machine's memory, and what little the driver says."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from planner.core.machines.hardware import DeviceKind, DeviceSpec
from planner.probe.nvidia.gpus import probe_nvidia
from planner.probe.nvidia.jetson import board_name, board_spec
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB
from tests.probe.conftest import FakeDriver, write_tree

Specs = tuple[DeviceSpec, ...]
Tree = Callable[[Mapping[str, str]], Surroundings]

ORIN_NANO = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit"


@pytest.mark.parametrize(
    ("name", "memory_gib", "slug"),
    [
        # What systems report is below the label.
        ("NVIDIA Jetson AGX Orin Developer Kit", 61.4, "jetson-agx-orin-64gb"),
        ("NVIDIA Jetson AGX Orin Developer Kit", 29.8, "jetson-agx-orin-32gb"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", 15.3, "jetson-orin-nx-16gb"),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit Super", 7.4, "jetson-orin-nx-8gb"),
        (ORIN_NANO, 7.4, "jetson-orin-nano-8gb"),
        (ORIN_NANO + " Super", 7.4, "jetson-orin-nano-super"),
        (ORIN_NANO + " Super", 3.3, "jetson-orin-nano-4gb"),
        ("NVIDIA Orin Nano Developer Kit", 7.2, "jetson-orin-nano-8gb"),
        ("NVIDIA Jetson AGX Thor Developer Kit", 122.8, "jetson-t5000"),
        ("NVIDIA Jetson Xavier NX Developer Kit", 7.6, "jetson-xavier-nx-8gb"),
        ("Jetson-AGX", 31.2, "jetson-agx-xavier-32gb"),
        ("NVIDIA Jetson Nano Developer Kit", 3.9, "jetson-nano"),
        ("quill", 7.7, "jetson-tx2"),
        # No row is guessed for a board or a size that is not known.
        ("NVIDIA Jetson Nano 2GB Developer Kit", 1.9, None),
        ("NVIDIA Jetson AGX Orin Developer Kit", 250.0, None),
        ("NVIDIA Jetson AGX Next Developer Kit", 61.4, None),
    ],
)
def test_the_board_and_the_machines_memory_name_the_row(
    specs: Specs, tree: Tree, name: str, memory_gib: float, slug: str | None
) -> None:
    here = tree({"/proc/device-tree/model": name + "\0"})
    assert board_name(here) == name
    spec = board_spec(here, specs, name, round(memory_gib * GIB))
    assert (spec.slug if spec is not None else None) == slug


def test_the_machines_memory_decides_not_what_a_container_may_use(specs: Specs, tree: Tree) -> None:
    here = tree({"/proc/meminfo": f"MemTotal:       {round(61.4 * 2**20)} kB\nMemFree: 1 kB\n"})
    spec = board_spec(here, specs, "NVIDIA Jetson AGX Orin Developer Kit", 8 * GIB)
    assert spec is not None
    assert spec.slug == "jetson-agx-orin-64gb"


@pytest.mark.parametrize("model", ["Raspberry Pi 5 Model B Rev 1.0", "", "NVIDIA DGX Spark", "Not a jetsons thing"])
def test_other_boards_are_no_jetson(tree: Tree, model: str) -> None:
    assert board_name(tree({"/sys/firmware/devicetree/base/model": model})) is None


def test_a_jetson_without_driver_library_is_a_device_that_shares_the_hosts_memory(specs: Specs, tree: Tree) -> None:
    here = tree({"/sys/firmware/devicetree/base/model": "NVIDIA Jetson AGX Orin Developer Kit\0"})
    finding = probe_nvidia(here, specs, host_memory_bytes=round(61.4 * GIB))
    (device,) = finding.devices
    assert (device.id, device.slug, device.kind) == ("cuda:0", "jetson-agx-orin-64gb", DeviceKind.UNIFIED)
    assert device.usable
    assert device.memory_total_bytes == round(61.4 * GIB)
    assert 0 < (device.memory_budget_bytes or 0) < round(61.4 * GIB)
    assert device.memory_bandwidth_gbps == pytest.approx(204.8)
    assert device.compute_capability == "8.7"
    assert finding.notes == ()


def test_cuda_visible_devices_hides_a_jetson_too(specs: Specs, tree: Tree) -> None:
    here = replace(
        tree({"/proc/device-tree/model": "NVIDIA Jetson Nano Developer Kit"}), environ={"CUDA_VISIBLE_DEVICES": "-1"}
    )
    (device,) = probe_nvidia(here, specs, host_memory_bytes=4 * GIB).devices
    assert (device.slug, device.usable) == ("jetson-nano", False)


def test_an_unknown_jetson_keeps_its_memory_and_no_guessed_bandwidth(specs: Specs, tree: Tree) -> None:
    finding = probe_nvidia(
        tree({"/proc/device-tree/model": "NVIDIA Jetson AGX Next Developer Kit"}), specs, host_memory_bytes=64 * GIB
    )
    (device,) = finding.devices
    assert (device.memory_total_bytes, device.memory_bandwidth_gbps) == (64 * GIB, None)
    assert any("--bandwidth" in note for note in finding.notes)


def test_a_jetson_of_unknown_memory_is_listed_and_not_used(specs: Specs, tree: Tree) -> None:
    finding = probe_nvidia(
        tree({"/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit"}), specs, host_memory_bytes=None
    )
    assert not finding.devices[0].usable
    assert any("--ram" in note for note in finding.notes)


@pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")
@pytest.mark.parametrize(
    ("variables", "name"),
    [({"cards": "orin"}, "Orin (nvgpu)"), ({"mode": "none"}, "NVIDIA Jetson Orin Nano Developer Kit")],
)
def test_a_driver_that_says_little_leaves_the_board_to_say_it(
    specs: Specs, fake_nvml: Path, tmp_path: Path, variables: Mapping[str, str], name: str
) -> None:
    root = write_tree(tmp_path, {"/proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"})
    here = Surroundings(root=root, environ={}, run=FakeDriver(fake_nvml, **variables), platform="linux")
    finding: Finding = probe_nvidia(here, specs, host_memory_bytes=round(7.4 * GIB), timeout_s=20)
    (device,) = finding.devices
    assert (device.name, device.slug) == (name, "jetson-orin-nano-8gb")
    assert (device.kind, device.usable) == (DeviceKind.UNIFIED, True)
    assert device.memory_total_bytes == round(7.4 * GIB)
    assert finding.drivers["nvidia"] == "999.10.01"
