"""AMD cards and APUs from trees in the formats of sysfs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from planner.core.machines.hardware import Backend, DeviceKind, DeviceSpec, MemoryHolder, PcieLink
from planner.probe.amd.gpus import probe_amd
from planner.probe.amd.kfd import gfx_name
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.units import GIB, MIB
from tests.probe import sysfs_trees as trees
from tests.probe.sysfs_trees import amd_memory, gpu

Tree = Callable[[Mapping[str, str]], Surroundings]
Specs = tuple[DeviceSpec, ...]

with_and_without_names = pytest.mark.parametrize("names", [{}, trees.DATABASE], ids=["bare", "with pci.ids"])


def amd(specs: Specs, here: Surroundings, **environ: str) -> Finding:
    return probe_amd(replace(here, environ=environ), specs)


@with_and_without_names
def test_a_card_is_known_without_any_id_database(specs: Specs, tree: Tree, names: trees.Tree) -> None:
    finding = amd(specs, tree(trees.RX_7900_XTX | names))
    (device,) = finding.devices
    assert (device.id, device.name, device.slug) == ("rocm:0", "Radeon RX 7900 XTX", "radeon-rx-7900-xtx")
    assert (device.backend, device.kind, device.usable) == (Backend.ROCM, DeviceKind.DISCRETE, True)
    assert device.memory_bandwidth_gbps == 960
    assert device.memory_total_bytes == 25753026560
    assert device.memory_used_bytes == 2 * GIB
    assert device.memory_free_bytes == device.memory_budget_bytes == 25753026560 - 2 * GIB
    assert device.gfx_target == "gfx1100"
    assert (device.power_limit_w, device.tdp_w) == (303, 355)
    assert device.holders == (MemoryHolder(4242, "llama-server", 1610612736),)
    assert finding.drivers == {"rocm": "6.4.1-83"}
    assert any("2.0 GiB of 24.0 GiB are in use, most by llama-server (4242)" in note for note in finding.notes)


def test_the_link_is_the_slots_and_not_the_one_to_the_switch_on_the_card(specs: Specs, tree: Tree) -> None:
    (device,) = amd(specs, tree(trees.RX_7900_XTX)).devices
    assert device.pcie_link == PcieLink(generation=3, lanes=8, max_generation=4, max_lanes=16)


def test_a_card_without_a_switch_tells_its_own_link(specs: Specs, tree: Tree) -> None:
    (device,) = amd(specs, tree(gpu(0x1002, 0x73FF, files=amd_memory(8 * GIB) | trees.link("5.0", 4)))).devices
    assert device.pcie_link == PcieLink(2, 4, 2, 4)


@pytest.mark.parametrize(("speed", "width"), [("Unknown", "255"), ("", "0"), ("99.0 GT/s PCIe", "x")])
def test_a_link_without_sense_is_unknown(specs: Specs, tree: Tree, speed: str, width: str) -> None:
    files = amd_memory(8 * GIB) | {"current_link_speed": speed, "current_link_width": width}
    (device,) = amd(specs, tree(gpu(0x1002, 0x73FF, files=files))).devices
    assert device.pcie_link is None


@with_and_without_names
def test_the_revision_decides_between_cards_of_one_id_and_one_size(
    specs: Specs, tree: Tree, names: trees.Tree
) -> None:
    (device,) = amd(specs, tree(trees.RX_6600 | names)).devices
    assert (device.slug, device.memory_bandwidth_gbps, device.gfx_target) == ("radeon-rx-6600", 224, "gfx1032")


def test_cards_that_cannot_be_told_apart_have_no_bandwidth(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(gpu(0x1002, 0x73FF, revision=0xEE, files=amd_memory(8 * GIB))))
    (device,) = finding.devices
    assert device.memory_bandwidth_gbps is None
    assert (device.name, device.memory_total_bytes, device.usable) == ("AMD device 73ff", 8 * GIB, True)
    assert any("--bandwidth" in note and "Radeon RX 6600" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("vram_gib", "slug", "bandwidth_gbps"),
    [(24, "radeon-rx-7900-xtx", 960), (20, "radeon-rx-7900-xt", 800)],
)
def test_products_that_share_an_id_are_told_apart_by_their_memory(
    specs: Specs, tree: Tree, vram_gib: int, slug: str, bandwidth_gbps: float
) -> None:
    (device,) = amd(specs, tree(gpu(0x1002, 0x744C, files=amd_memory(vram_gib * GIB - 16 * MIB)))).devices
    assert (device.slug, device.memory_bandwidth_gbps) == (slug, bandwidth_gbps)


def test_a_name_decides_where_ids_and_memory_do_not(specs: Specs, tree: Tree) -> None:
    files = gpu(0x1002, 0x73FF, revision=0xEE, files=amd_memory(8 * GIB))
    ids = {
        "/usr/share/libdrm/amdgpu.ids": "1.0.0\n73FF,\tC7,\tAMD Radeon RX 6600\n73FF,\tEE,\tAMD Radeon RX 6600 XT\n"
    }
    (device,) = amd(specs, tree(files | ids)).devices
    assert (device.name, device.slug) == ("Radeon RX 6600 XT", "radeon-rx-6600-xt")


def test_the_cards_own_product_name_is_shown(specs: Specs, tree: Tree) -> None:
    files = amd_memory(206141652992) | {"product_name": "AMD Instinct MI300X OAM"}
    (device,) = amd(specs, tree(gpu(0x1002, 0x74A1, files=files))).devices
    assert (device.name, device.slug) == ("AMD Instinct MI300X OAM", "radeon-instinct-mi300x")


def test_a_card_in_no_table_keeps_the_drivers_memory(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(gpu(0x1002, 0x7FFF, files=amd_memory(24 * GIB, GIB))))
    (device,) = finding.devices
    assert (device.name, device.memory_free_bytes, device.usable) == ("AMD device 7fff", 23 * GIB, True)
    assert any("AMD device 7fff" in note and "--bandwidth" in note for note in finding.notes)


def test_tiny_vram_and_a_large_gtt_is_one_shared_memory(specs: Specs, tree: Tree) -> None:
    files = gpu(0x1002, 0x7FFE, files=amd_memory(512 * MIB, 100 * MIB, 16 * GIB, GIB))
    finding = amd(specs, tree(files))
    (device,) = finding.devices
    assert device.kind is DeviceKind.UNIFIED
    assert device.memory_total_bytes == device.memory_budget_bytes == 16 * GIB + 512 * MIB
    assert device.memory_free_bytes == 15 * GIB + 412 * MIB
    assert device.memory_used_bytes == GIB + 100 * MIB
    assert device.memory_bandwidth_gbps is None
    assert any("--bandwidth" in note for note in finding.notes)


@with_and_without_names
@pytest.mark.parametrize(
    ("carve_out", "gtt"), [(512 * MIB, 62 * GIB), (96 * GIB, 16 * GIB)], ids=["0.5 GiB", "96 GiB"]
)
def test_an_apu_is_shared_memory_however_much_is_set_aside(
    specs: Specs, tree: Tree, names: trees.Tree, carve_out: int, gtt: int
) -> None:
    (device,) = amd(specs, tree(trees.strix_halo(carve_out, gtt) | names)).devices
    assert (device.slug, device.kind) == ("radeon-8060s", DeviceKind.UNIFIED)
    assert device.memory_total_bytes == device.memory_budget_bytes == carve_out + gtt
    assert device.memory_free_bytes == carve_out + gtt - 250 * MIB
    assert (device.memory_bandwidth_gbps, device.gfx_target) == (256, "gfx1151")
    assert device.pcie_link is None


def test_of_the_hosts_memory_no_more_is_free_than_the_host_has_available(specs: Specs, tree: Tree) -> None:
    here = tree(trees.strix_halo(4 * GIB, 62 * GIB))
    (idle,) = probe_amd(here, specs, host_available_bytes=120 * GIB).devices
    (busy,) = probe_amd(here, specs, host_available_bytes=10 * GIB).devices
    assert idle.memory_free_bytes == amd(specs, here).devices[0].memory_free_bytes
    assert 10 * GIB < (busy.memory_free_bytes or 0) <= 14 * GIB
    assert busy.memory_budget_bytes == idle.memory_budget_bytes == 66 * GIB


def test_no_more_is_in_use_than_there_is(specs: Specs, tree: Tree) -> None:
    (device,) = amd(specs, tree(gpu(0x1002, 0x744C, files=amd_memory(24 * GIB, 99 * GIB)))).devices
    assert (device.memory_used_bytes, device.memory_free_bytes) == (24 * GIB, 0)


def test_a_small_card_beside_much_host_memory_is_no_apu(specs: Specs, tree: Tree) -> None:
    (device,) = amd(specs, tree(gpu(0x1002, 0x743F, revision=0xC7, files=amd_memory(4 * GIB, 0, 32 * GIB)))).devices
    assert (device.kind, device.memory_total_bytes) == (DeviceKind.DISCRETE, 4 * GIB)


@with_and_without_names
def test_two_cards_and_an_apu_come_in_rocms_order(specs: Specs, tree: Tree, names: trees.Tree) -> None:
    devices = amd(specs, tree(trees.TWO_CARDS_AND_AN_APU | names)).devices
    assert [(d.id, d.slug, d.pci_id, d.usable) for d in devices] == [
        ("rocm:0", "radeon-rx-7900-xtx", "0000:03:00.0", True),
        ("rocm:1", "radeon-rx-7900-xt", "0000:0a:00.0", True),
        ("rocm:2", "radeon-graphics-128sp", "0000:15:00.0", True),
    ]
    assert [d.gfx_target for d in devices] == ["gfx1100", "gfx1100", "gfx1036"]


@with_and_without_names
def test_an_accelerator_without_a_display_is_a_card(specs: Specs, tree: Tree, names: trees.Tree) -> None:
    (device,) = amd(specs, tree(trees.mi300x() | names)).devices
    assert (device.slug, device.gfx_target, device.power_limit_w) == ("radeon-instinct-mi300x", "gfx942", 750)
    assert device.memory_total_bytes == 206141652992
    assert device.pcie_link == PcieLink(5, 16, 5, 16)


def test_a_card_cut_into_partitions_is_counted_once_in_all(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(trees.mi300x(8)))
    assert [d.id for d in finding.devices] == [f"rocm:{i}" for i in range(8)]
    assert sum(d.memory_total_bytes or 0 for d in finding.devices) == 206141652992
    assert sum(d.memory_bandwidth_gbps or 0 for d in finding.devices) == pytest.approx(5300)
    assert [d.pci_id for d in finding.devices] == ["0000:05:00.0", *[None] * 7]
    assert any("8 partitions (CPX)" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("version", "name"),
    [(110000, "gfx1100"), (90010, "gfx90a"), (90402, "gfx942"), (100302, "gfx1032"), (120001, "gfx1201"), (0, None)],
)
def test_targets_have_the_compilers_names(version: int, name: str | None) -> None:
    assert gfx_name(version) == name


# --- what cannot be used -------------------------------------------------------------------------------------------


def test_a_card_without_memory_files_is_listed_without_memory(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(gpu(0x1002, 0x74A1)))
    (device,) = finding.devices
    assert device.slug == "radeon-instinct-mi300x"
    assert device.memory_total_bytes is None
    assert not device.usable
    assert any("--vram" in note for note in finding.notes)


def test_rocms_memory_banks_serve_where_amdgpu_shows_no_memory(specs: Specs, tree: Tree) -> None:
    node = trees.kfd_gpu(1, 7, target=110000, device=0x744C, location=0x300, minor=128, bank=25753026560)
    (device,) = amd(specs, tree(gpu(0x1002, 0x744C, revision=0xC8) | node)).devices
    assert (device.memory_total_bytes, device.memory_used_bytes) == (25753026560, None)
    assert device.memory_budget_bytes == 25753026560
    assert device.source["memory_total_bytes"] == "amdkfd (sysfs)"


ROCM_SMI = {
    "card0": {
        "PCI Bus": "0000:03:00.0", "VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "1073741824",
        "Card Series": "Radeon RX 7900 XTX", "Card Model": "0x744c", "Card SKU": "EXT94393", "GFX Version": "gfx1100",
    },
    "system": {"Driver version": "6.12.12"},
}  # fmt: skip
AMD_SMI = {
    "gpu_data": [
        {"gpu": 0, "bus": {"bdf": "0000:03:00.0"}, "vram": {"type": "GDDR6", "size": {"value": 24560, "unit": "MB"}}}
    ]
}


@pytest.mark.parametrize(
    ("tool", "answer", "memory"),
    [
        ("rocm-smi", "WARNING: a GPU is in a low-power state.\n" + json.dumps(ROCM_SMI), (25753026560, GIB)),
        ("amd-smi", json.dumps(AMD_SMI), (24560 * MIB, None)),
        ("amd-smi", json.dumps(AMD_SMI["gpu_data"]), (24560 * MIB, None)),
        ("rocm-smi", "", (None, None)),
        ("rocm-smi", "{" * 100_000, (None, None)),
        ("rocm-smi", '{"card0": 3, "card1": {"PCI Bus": 4, "VRAM Total Memory (B)": -1}}', (None, None)),
        ("amd-smi", '{"gpu_data": [{"bus": 3}, {"bus": {}, "vram": {"size": "24 GB"}}, null]}', (None, None)),
    ],
)
def test_rocms_tools_are_asked_where_no_file_tells_the_memory(
    specs: Specs, tree: Tree, tool: str, answer: str, memory: tuple[int | None, int | None]
) -> None:
    asked: list[str] = []

    def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        assert 0 < timeout_s <= 3
        asked.append(argv[0])
        return Finished(0, answer)

    def which(name: str) -> str | None:
        return f"/opt/rocm/bin/{name}" if name == tool else None

    here = tree(gpu(0x1002, 0x744C, revision=0xC8))
    (device,) = amd(specs, replace(here, run=run, which=which)).devices
    assert asked == [f"/opt/rocm/bin/{tool}"]
    assert (device.memory_total_bytes, device.memory_used_bytes) == memory
    assert device.usable == (memory != (None, None))


def test_no_tool_is_run_where_the_files_tell(specs: Specs, tree: Tree) -> None:
    def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        raise AssertionError(argv)

    assert amd(specs, replace(tree(trees.RX_7900_XTX), run=run, which=lambda name: f"/bin/{name}")).devices[0].usable


@pytest.mark.parametrize("text", ["", "x", "0x10", "-5", "0", str(2**64 - 1)])
def test_files_with_nonsense_are_unknown(specs: Specs, tree: Tree, text: str) -> None:
    files: trees.Files = {"mem_info_vram_total": text, "mem_info_vram_used": text}
    (device,) = amd(specs, tree(gpu(0x1002, 0x744C, files=files))).devices
    assert not device.usable


@pytest.mark.parametrize(
    ("driver", "reason"), [("radeon", "radeon.si_support=0"), ("vfio-pci", "handed to a virtual machine")]
)
def test_a_card_in_other_hands_is_listed_and_not_used(specs: Specs, tree: Tree, driver: str, reason: str) -> None:
    finding = amd(specs, tree(gpu(0x1002, 0x6798, driver=driver, files=amd_memory(3 * GIB, 0, GIB))))
    (device,) = finding.devices
    assert (device.usable, device.memory_budget_bytes) == (False, None)
    assert reason in device.note
    assert any(reason in note for note in finding.notes)


def test_a_container_without_the_nodes_sees_a_card_it_cannot_use(specs: Specs, tree: Tree) -> None:
    finding = amd(specs, tree(trees.RX_7900_XTX | {"/dev/null": "", "/.dockerenv": ""}))
    (device,) = finding.devices
    assert not device.usable
    assert device.note.startswith("visible but not usable here: /dev/dri/renderD128 is not in this container")
    assert "--device /dev/dri" in device.note


def test_without_rocms_node_a_card_is_vulkans(specs: Specs, tree: Tree) -> None:
    nodes = {name: text for name, text in trees.LIVE_DEV.items() if name != "/dev/kfd"}
    (device,) = amd(specs, tree(trees.RX_7900_XTX | nodes | {"/run/.containerenv": ""})).devices
    assert (device.id, device.backend, device.usable) == ("vulkan:0", Backend.VULKAN, True)
    assert "--device /dev/kfd" in device.note


def test_without_permission_the_group_is_named(specs: Specs, tree: Tree) -> None:
    here = tree(trees.RX_7900_XTX | trees.LIVE_DEV)
    (device,) = amd(specs, here).devices
    assert (device.usable, device.backend, device.note) == (True, Backend.ROCM, "")
    (device,) = amd(specs, replace(here, can_open=lambda path: path.name != "kfd")).devices
    assert device.backend is Backend.VULKAN
    (device,) = amd(specs, replace(here, can_open=lambda path: False)).devices
    assert not device.usable
    assert "no permission to open /dev/dri/renderD128 (join the group render)" in device.note


@pytest.mark.parametrize("nodes", [{}, {"/dev/kfd": ""}, {"/dev/dri/renderD128": ""}], ids=["none", "kfd", "dri"])
def test_a_recording_of_sys_alone_says_nothing_against_a_card(specs: Specs, tree: Tree, nodes: trees.Tree) -> None:
    (device,) = amd(specs, tree(trees.RX_7900_XTX | nodes)).devices
    assert (device.usable, device.backend) == (True, Backend.ROCM)


# --- variables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"HIP_VISIBLE_DEVICES": "1"}, ["0000:0a:00.0"]),
        ({"HIP_VISIBLE_DEVICES": "1,0"}, ["0000:0a:00.0", "0000:03:00.0"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-bbbb000000000002"}, ["0000:0a:00.0"]),
        ({"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "1"}, ["0000:03:00.0"]),
        ({"CUDA_VISIBLE_DEVICES": "0"}, ["0000:03:00.0"]),
        ({"CUDA_VISIBLE_DEVICES": "0", "HIP_VISIBLE_DEVICES": "1"}, ["0000:0a:00.0"]),
        ({"HIP_VISIBLE_DEVICES": "-1"}, []),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
        ({"GPU_DEVICE_ORDINAL": "1"}, ["0000:03:00.0", "0000:0a:00.0"]),
    ],
)
def test_visible_devices_are_honoured_and_said(
    specs: Specs, tree: Tree, environ: dict[str, str], used: list[str]
) -> None:
    finding = amd(specs, tree(trees.TWO_CARDS), **environ)
    assert [d.pci_id for d in finding.devices if d.usable] == used
    assert [d.id for d in finding.devices] == ["rocm:0", "rocm:1"]
    for variable, value in environ.items():
        overruled = variable == "CUDA_VISIBLE_DEVICES" and "HIP_VISIBLE_DEVICES" in environ
        said = variable != "GPU_DEVICE_ORDINAL" and not overruled
        assert any(f"{variable}={value} is set" in note for note in finding.notes) == said
    hidden = [d for d in finding.devices if not d.usable]
    assert all("hidden by" in d.note and d.memory_budget_bytes is None for d in hidden)


def test_cudas_variable_is_nvidias_where_there_is_an_nvidia_card(specs: Specs, tree: Tree) -> None:
    files = trees.RX_7900_XTX | gpu(0x10DE, 0x2684, driver="nvidia", address="0000:41:00.0", number=3)
    (device,) = amd(specs, tree(files), CUDA_VISIBLE_DEVICES="").devices
    assert device.usable
