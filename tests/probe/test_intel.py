"""Intel cards and integrated graphics from trees in the formats of sysfs."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, PcieLink
from planner.probe.host import probe
from planner.probe.intel import probe_intel
from planner.probe.surroundings import Finding, Surroundings
from planner.probe.system.cpu import Counters
from planner.units import GIB, MIB
from tests.probe import sysfs_trees as trees
from tests.probe.sysfs_trees import arc, gpu

Tree = Callable[[Mapping[str, str]], Surroundings]
Specs = tuple[DeviceSpec, ...]

with_and_without_names = pytest.mark.parametrize("names", [{}, trees.DATABASE], ids=["bare", "with pci.ids"])
COUNTERS = Counters(
    memory=lambda: (32 * GIB, 20 * GIB), physical_cores=lambda: 8, logical_cores=lambda: 16, affinity=lambda: 16
)
RESERVED = 16 * GIB - 300 * MIB


def intel(specs: Specs, here: Surroundings, host_memory_bytes: int | None = 32 * GIB) -> Finding:
    return probe_intel(here, specs, host_memory_bytes=host_memory_bytes)


def only(finding: Finding) -> Device:
    (device,) = finding.devices
    return device


@with_and_without_names
@pytest.mark.parametrize(
    ("card", "told_by"),
    [
        (arc(0x56A0, driver="i915"), "devices.json (arc-a770)"),
        (arc(0x56A0, driver="xe", files={"tile0/physical_vram_size_bytes": 16 * GIB}), "xe (sysfs)"),
        (arc(0x56A0, driver="xe", files={"tile0/memory/physical_vram_size_bytes": 16 * GIB}), "xe (sysfs)"),
        (arc(0x56A0, driver="i915", files={"drm/card0/lmem_total_bytes": 16 * GIB}), "i915 (sysfs)"),
    ],
    ids=["i915", "xe", "xe of old", "i915 of Intel"],
)
def test_an_arc_card_is_known_with_every_driver(
    specs: Specs, tree: Tree, names: trees.Tree, card: trees.Tree, told_by: str
) -> None:
    device = only(intel(specs, tree(card | names)))
    assert (device.name, device.slug, device.kind) == ("Arc A770", "arc-a770", DeviceKind.DISCRETE)
    assert (device.backend, device.usable) == (Backend.VULKAN, True)
    assert device.memory_total_bytes == device.memory_budget_bytes == 16 * GIB
    assert device.source["memory_total_bytes"] == told_by
    assert (device.memory_bandwidth_gbps, device.power_limit_w) == (512, 190)
    assert device.pcie_link == PcieLink(generation=4, lanes=16, max_generation=4, max_lanes=16)


def test_what_is_free_is_the_budget_where_the_driver_tells(specs: Specs, tree: Tree) -> None:
    files: trees.Files = {"drm/card0/lmem_total_bytes": RESERVED, "drm/card0/lmem_avail_bytes": RESERVED - 3 * GIB}
    device = only(intel(specs, tree(arc(0x56A0, driver="i915", files=files))))
    assert (device.memory_total_bytes, device.memory_used_bytes) == (RESERVED, 3 * GIB)
    assert device.memory_free_bytes == device.memory_budget_bytes == RESERVED - 3 * GIB


@pytest.mark.parametrize(
    ("window", "slug", "gib"), [(16 * GIB, "arc-a770", 16), (8 * GIB, "arc-a770-8gb", 8)], ids=["16", "8"]
)
def test_the_memory_window_tells_the_sizes_of_a_card_apart(
    specs: Specs, tree: Tree, window: int, slug: str, gib: int
) -> None:
    device = only(intel(specs, tree(arc(0x56A0, driver="i915", resource=window))))
    assert (device.slug, device.memory_total_bytes) == (slug, gib * GIB)


def test_without_a_window_the_smaller_size_is_planned_for_and_said(specs: Specs, tree: Tree) -> None:
    device = only(intel(specs, tree(arc(0x56A0, driver="i915", resource=256 * MIB))))
    assert (device.name, device.usable) == ("Arc A770 8 GB or Arc A770", True)
    assert device.memory_total_bytes == 8 * GIB
    assert device.memory_bandwidth_gbps == 512
    assert "8.0 GiB is planned for" in device.note
    assert "--vram" in device.note


@pytest.mark.parametrize(
    ("device_id", "slug", "gib"),
    [
        (0xE20B, "arc-b580", 12),
        (0xE20C, "arc-b570", 10),
        (0x56A5, "arc-a380", 6),
        (0xE211, "arc-pro-b60", 24),
        (0x56C0, "data-center-gpu-flex-170", 16),
    ],
)
def test_a_window_is_no_memory_size(specs: Specs, tree: Tree, device_id: int, slug: str, gib: int) -> None:
    rounded_up = 1 << (gib * GIB - 1).bit_length()
    device = only(intel(specs, tree(arc(device_id, driver="xe", resource=rounded_up))))
    assert (device.slug, device.memory_total_bytes) == (slug, gib * GIB)


def test_the_tiles_of_a_data_centre_card_are_added(specs: Specs, tree: Tree) -> None:
    files: trees.Files = {f"tile{n}/physical_vram_size_bytes": 64 * GIB for n in range(2)}
    device = only(intel(specs, tree(arc(0x0BD5, driver="xe", files=files))))
    assert (device.slug, device.memory_total_bytes) == ("data-center-gpu-max-1550", 128 * GIB)


@pytest.mark.parametrize("text", ["", "x", "-1", "0"])
def test_a_size_without_sense_is_unknown(specs: Specs, tree: Tree, text: str) -> None:
    files: trees.Files = {"tile0/physical_vram_size_bytes": text, "drm/card0/lmem_total_bytes": text}
    device = only(intel(specs, tree(arc(0xE20B, driver="xe", files=files))))
    assert device.source["memory_total_bytes"] == "devices.json (arc-b580)"


def test_an_unlisted_card_of_unknown_memory_is_not_used(specs: Specs, tree: Tree) -> None:
    finding = intel(specs, tree(arc(0x7FFF, driver="xe")))
    device = only(finding)
    assert (device.name, device.kind, device.usable) == ("Intel graphics 7fff", DeviceKind.DISCRETE, False)
    assert any("--vram" in note for note in finding.notes)


def test_an_unlisted_card_that_tells_its_memory_is_used(specs: Specs, tree: Tree) -> None:
    finding = intel(specs, tree(arc(0x7FFF, driver="xe", files={"tile0/physical_vram_size_bytes": 16 * GIB})))
    device = only(finding)
    assert (device.usable, device.memory_budget_bytes) == (True, 16 * GIB)
    assert any("--bandwidth" in note for note in finding.notes)


@with_and_without_names
def test_virtual_functions_are_parts_of_their_card(specs: Specs, tree: Tree, names: trees.Tree) -> None:
    card = gpu(0x8086, 0x56C0, driver="i915", files={"resource": trees.window(16 * GIB)})
    part = gpu(0x8086, 0x56C0, driver="i915", address="0000:03:00.1", number=1)
    part["/sys/devices/pci0000:00/0000:03:00.1/physfn"] = "-> ../0000:03:00.0"
    assert only(intel(specs, tree(card | part | names))).pci_id == "0000:03:00.0"


# --- integrated graphics -------------------------------------------------------------------------------------------


@with_and_without_names
def test_integrated_graphics_worth_using_take_a_share_of_the_hosts_memory(
    specs: Specs, tree: Tree, names: trees.Tree
) -> None:
    device = only(intel(specs, tree(trees.LUNAR_LAKE | names)))
    assert (device.kind, device.usable) == (DeviceKind.UNIFIED, True)
    assert device.name == "Arc 130V Mobile or Arc 140V Mobile"
    assert device.memory_bandwidth_gbps == 136.5
    assert device.memory_total_bytes == 32 * GIB
    assert device.memory_budget_bytes == 24 * GIB
    assert device.source["memory_budget_bytes"].startswith("estimated")
    assert device.pcie_link is None


def test_known_integrated_graphics_of_unknown_bandwidth_are_usable(specs: Specs, tree: Tree) -> None:
    device = only(intel(specs, tree(gpu(0x8086, 0x9A49, driver="i915", address="0000:00:02.0"))))
    assert (device.kind, device.usable) == (DeviceKind.UNIFIED, True)
    assert device.memory_budget_bytes == 24 * GIB


@with_and_without_names
def test_integrated_graphics_no_faster_than_the_processor_are_listed_and_not_used(
    specs: Specs, tree: Tree, names: trees.Tree
) -> None:
    here = tree(trees.UHD_770 | names)
    finding = intel(specs, here)
    device = only(finding)
    assert (device.name, device.kind) == ("UHD Graphics 770", DeviceKind.UNIFIED)
    assert finding.notes == ()
    (settled,) = probe(specs, here=here, counters=COUNTERS, sources={"Intel": lambda question: finding}).devices
    assert (settled.usable, settled.memory_budget_bytes) == (False, None)
    assert "the processor does the work" in settled.note


def test_unknown_integrated_graphics_are_listed_and_not_used(specs: Specs, tree: Tree) -> None:
    files = gpu(0x8086, 0x3E92, driver="i915", address="0000:00:02.0") | trees.DATABASE
    device = only(intel(specs, tree(files)))
    assert (device.name, device.usable) == ("UHD Graphics 630", False)
    assert device.memory_budget_bytes is None
    assert "without known figures" in device.note


# --- access --------------------------------------------------------------------------------------------------------


def test_a_card_whose_node_is_missing_or_closed_is_not_used(specs: Specs, tree: Tree) -> None:
    here = tree(arc(0xE20B, driver="xe") | trees.LIVE_DEV)
    assert only(intel(specs, here)).usable
    finding = intel(specs, replace(here, can_open=lambda path: False))
    assert not only(finding).usable
    assert any("no permission to open /dev/dri/renderD128" in note for note in finding.notes)


def test_a_card_handed_to_a_virtual_machine_is_not_used(specs: Specs, tree: Tree) -> None:
    device = only(intel(specs, tree(arc(0xE20B, driver="vfio-pci"))))
    assert (device.usable, device.memory_budget_bytes) == (False, None)
    assert "handed to a virtual machine" in device.note
