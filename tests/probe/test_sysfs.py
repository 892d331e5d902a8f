"""AMD and Intel devices from recorded sysfs trees."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from planner.core.hardware import Backend, DeviceKind, DeviceSpec
from planner.probe.amd import probe_amd
from planner.probe.intel import probe_intel
from planner.probe.pci import pci_address
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB, MIB

Tree = Callable[[Mapping[str, str]], Surroundings]
Specs = tuple[DeviceSpec, ...]

PCI_IDS = """# comment
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t1586  Strix Halo [Radeon Graphics / Radeon 8050S Graphics / Radeon 8060S Graphics]
\t15bf  Phoenix1
\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]
\t\t1002 0e3b  RX 7900 GRE [Hellhound]
\t74a1  Aqua Vanjaram [Instinct MI300X]
1003  ULSI Systems
8086  Intel Corporation
\t56a0  DG2 [Arc A770]
\te20b  Battlemage G21 [Arc B580]
\t64a0  Lunar Lake [Intel Arc Graphics 130V / 140V]
\t9a49  TigerLake-LP GT2 [Iris Xe Graphics]
\t3e92  CoffeeLake-S GT2 [UHD Graphics 630]
"""


def card(
    vendor: str, device: str, *, number: int = 0, address: str = "0000:03:00.0", **files: str | int
) -> dict[str, str]:
    folder = f"/sys/devices/pci0000:00/{address}"
    tree = {
        f"/sys/class/drm/card{number}/device": f"-> ../../../devices/pci0000:00/{address}",
        f"{folder}/vendor": f"{vendor}\n",
        f"{folder}/device": f"{device}\n",
        f"{folder}/class": "0x030000\n",
        f"{folder}/uevent": f"DRIVER=some\nPCI_SLOT_NAME={address}\n",
        "/usr/share/misc/pci.ids": PCI_IDS,
    }
    return tree | {f"{folder}/{name}": f"{value}\n" for name, value in files.items()}


def amd(specs: Specs, here: Surroundings, **environ: str) -> Finding:
    return probe_amd(replace(here, environ=environ), specs)


@pytest.mark.parametrize(
    ("vram_gib", "slug", "bandwidth_gbps"),
    [(24, "radeon-rx-7900-xtx", 960), (20, "radeon-rx-7900-xt", 800)],
)
def test_products_that_share_an_id_are_told_apart_by_their_memory(
    specs: Specs, tree: Tree, vram_gib: int, slug: str, bandwidth_gbps: float
) -> None:
    files = card(
        "0x1002", "0x744c", mem_info_vram_total=vram_gib * GIB - 16 * MIB, mem_info_vram_used=2 * GIB,
        mem_info_gtt_total=16 * GIB, mem_info_gtt_used=0,
    )  # fmt: skip
    (device,) = amd(specs, tree(files)).devices
    assert (device.slug, device.kind, device.backend) == (slug, DeviceKind.DISCRETE, Backend.ROCM)
    assert device.memory_bandwidth_gbps == bandwidth_gbps
    assert device.memory_total_bytes == vram_gib * GIB - 16 * MIB
    assert device.memory_free_bytes == device.memory_budget_bytes == (vram_gib - 2) * GIB - 16 * MIB
    assert device.pci_id == "0000:03:00.0"


def test_the_drivers_own_product_name_and_the_revision_table_come_first(specs: Specs, tree: Tree) -> None:
    files = card("0x1002", "0x744c", revision="0xcc", mem_info_vram_total=20 * GIB) | {
        "/usr/share/libdrm/amdgpu.ids": (
            "1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tAMD Radeon RX 7900 XT\n"
        )
    }
    (device,) = amd(specs, tree(files)).devices
    assert (device.name, device.slug) == ("AMD Radeon RX 7900 XT", "radeon-rx-7900-xt")


def test_tiny_vram_and_a_large_gtt_is_one_shared_memory(specs: Specs, tree: Tree) -> None:
    files = card(
        "0x1002", "0x15bf", mem_info_vram_total=512 * MIB, mem_info_vram_used=100 * MIB,
        mem_info_gtt_total=16 * GIB, mem_info_gtt_used=GIB,
    )  # fmt: skip
    finding = amd(specs, tree(files))
    (device,) = finding.devices
    assert device.kind is DeviceKind.UNIFIED
    assert device.memory_total_bytes == device.memory_budget_bytes == 16 * GIB + 512 * MIB
    assert device.memory_free_bytes == 15 * GIB + 412 * MIB
    # "Phoenix1" is no product: its bandwidth stays unknown.
    assert device.memory_bandwidth_gbps is None
    assert any("--bandwidth" in note for note in finding.notes)


def test_an_apu_with_a_large_share_set_aside_is_still_shared_memory(specs: Specs, tree: Tree) -> None:
    files = card(
        "0x1002", "0x1586", product_name="AMD Radeon 8060S Graphics",
        mem_info_vram_total=96 * GIB, mem_info_vram_used=0, mem_info_gtt_total=16 * GIB, mem_info_gtt_used=0,
    )  # fmt: skip
    (device,) = amd(specs, tree(files)).devices
    assert (device.slug, device.kind) == ("radeon-8060s", DeviceKind.UNIFIED)
    assert device.memory_total_bytes == 112 * GIB
    assert device.memory_bandwidth_gbps == 256


def test_a_small_card_beside_much_host_memory_is_no_apu(specs: Specs, tree: Tree) -> None:
    files = card(
        "0x1002", "0x743f", product_name="AMD Radeon RX 6400",
        mem_info_vram_total=4 * GIB, mem_info_vram_used=0, mem_info_gtt_total=32 * GIB, mem_info_gtt_used=0,
    )  # fmt: skip
    (device,) = amd(specs, tree(files)).devices
    assert (device.kind, device.memory_total_bytes) == (DeviceKind.DISCRETE, 4 * GIB)


def test_a_card_without_memory_files_is_listed_without_memory(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(card("0x1002", "0x74a1")))
    (device,) = finding.devices
    assert device.slug == "radeon-instinct-mi300x"
    assert device.memory_total_bytes is None
    assert not device.usable
    assert any("--vram" in note for note in finding.notes)


@pytest.mark.parametrize("text", ["", "x", "0x10", "-5"])
def test_files_with_nonsense_are_unknown(specs: Specs, tree: Tree, text: str) -> None:
    (device,) = amd(specs, tree(card("0x1002", "0x744c", mem_info_vram_used=text))).devices
    assert not device.usable


def test_visible_devices_are_honoured_and_said(specs: Specs, tree: Tree) -> None:
    files = card("0x1002", "0x744c", mem_info_vram_total=24 * GIB) | card(
        "0x1002", "0x74a1", number=1, address="0000:04:00.0", mem_info_vram_total=192 * GIB
    )
    finding = amd(specs, tree(files), HIP_VISIBLE_DEVICES="1")
    assert [(d.id, d.slug, d.usable) for d in finding.devices] == [
        ("rocm:0", "radeon-instinct-mi300x", True),
        ("rocm:1", "radeon-rx-7900-xtx", False),
    ]
    assert any("HIP_VISIBLE_DEVICES=1" in note for note in finding.notes)


def test_the_pci_list_serves_where_there_is_no_drm(specs: Specs, tree: Tree) -> None:
    files = {
        "/sys/bus/pci/devices/0000:03:00.0/vendor": "0x1002",
        "/sys/bus/pci/devices/0000:03:00.0/device": "0x74a1",
        "/sys/bus/pci/devices/0000:03:00.0/class": "0x038000",
        "/sys/bus/pci/devices/0000:04:00.0/vendor": "0x1002",
        "/sys/bus/pci/devices/0000:04:00.0/device": "0x1480",
        "/sys/bus/pci/devices/0000:04:00.0/class": "0x060000",
    }
    assert [d.pci_id for d in amd(specs, tree(files)).devices] == ["0000:03:00.0"]


def test_one_card_seen_in_both_lists_is_one(specs: Specs, tree: Tree) -> None:
    files = card("0x1002", "0x744c", mem_info_vram_total=24 * GIB)
    files |= {
        "/sys/bus/pci/devices/0000:03:00.0": "-> ../../../devices/pci0000:00/0000:03:00.0",
        "/sys/class/drm/card0-DP-1/status": "connected",
        "/sys/class/drm/renderD128/device": "-> ../../../devices/pci0000:00/0000:03:00.0",
    }
    assert len(amd(specs, tree(files)).devices) == 1


def test_no_cards_no_words(specs: Specs, tree: Tree) -> None:
    here = tree({"/sys/class/drm/version": "drm 1.1.0"})
    assert amd(specs, here) == Finding()
    assert probe_intel(here, specs, host_memory_bytes=GIB) == Finding()


def test_an_arc_card_has_the_data_sheets_memory_if_the_kernel_does_not_tell(specs: Specs, tree: Tree) -> None:
    (device,) = probe_intel(tree(card("0x8086", "0xe20b")), specs, host_memory_bytes=64 * GIB).devices
    assert (device.slug, device.kind, device.backend) == ("arc-b580", DeviceKind.DISCRETE, Backend.VULKAN)
    assert device.memory_total_bytes == device.memory_budget_bytes == 12 * GIB
    assert "devices.json" in device.source["memory_total_bytes"]
    assert device.memory_free_bytes is None


def test_an_arc_cards_window_shows_its_memory(specs: Specs, tree: Tree) -> None:
    window = (
        "0x00000000a0000000 0x00000000a0ffffff 0x0000000000140204\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        "0x0000004000000000 0x00000043ffffffff 0x000000000014220c\n"
    )
    (device,) = probe_intel(tree(card("0x8086", "0x56a0", resource=window)), specs, host_memory_bytes=None).devices
    assert (device.slug, device.memory_total_bytes) == ("arc-a770", 16 * GIB)


def test_known_integrated_graphics_take_a_share_of_the_hosts_memory(specs: Specs, tree: Tree) -> None:
    files = card("0x8086", "0x9a49", address="0000:00:02.0")
    (device,) = probe_intel(tree(files), specs, host_memory_bytes=32 * GIB).devices
    assert (device.kind, device.usable) == (DeviceKind.UNIFIED, True)
    assert device.memory_total_bytes == 32 * GIB
    assert device.memory_budget_bytes == 24 * GIB


def test_unknown_integrated_graphics_are_listed_and_not_used(specs: Specs, tree: Tree) -> None:
    files = card("0x8086", "0x3e92", address="0000:00:02.0")
    (device,) = probe_intel(tree(files), specs, host_memory_bytes=32 * GIB).devices
    assert not device.usable
    assert device.memory_budget_bytes is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:01:00.0", "0000:01:00.0"),
        ("0000:0A:00.1", "0000:0a:00.1"),
        ("00010000:01:00.0", "10000:01:00.0"),
        ("card0", None),
        ("", None),
    ],
)
def test_addresses_have_one_form(text: str, address: str | None) -> None:
    assert pci_address(text) == address
