"""GPUs that only Vulkan knows, from what vulkaninfo prints.

`recorded/vulkaninfo-llvmpipe.txt` was printed by vulkaninfo 1.3.239 with Mesa 22.3.6 on a machine without a GPU (its
features are left out); the other devices are written after it and after what people posted of theirs.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from planner.core.machines.hardware import Backend, Device, DeviceKind, DeviceSpec, Vendor
from planner.probe.host import probe
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.probe.system.cpu import Counters
from planner.probe.vulkan.gpus import probe_vulkan
from planner.probe.vulkan.vulkaninfo import Heap, read_vulkaninfo
from planner.units import GIB, MIB
from tests.probe import sysfs_trees as trees
from tests.probe.sysfs_trees import gpu

Tree = Callable[[Mapping[str, str]], Surroundings]
Specs = tuple[DeviceSpec, ...]

RECORDED = Path(__file__).parent / "recorded"
LLVMPIPE = (RECORDED / "vulkaninfo-llvmpipe.txt").read_text()
COUNTERS = Counters(
    memory=lambda: (32 * GIB, 20 * GIB), physical_cores=lambda: 8, logical_cores=lambda: 16, affinity=lambda: 16
)


@dataclass(frozen=True)
class Shown:
    """A device as vulkaninfo prints it."""

    name: str
    vendor: int
    device: int
    kind: str = "DISCRETE_GPU"
    driver: str = "MESA_NVK"
    place: tuple[int, int, int, int] | None = None
    heaps: Sequence[tuple[int, int | None, bool]] = field(default=())

    def print(self, number: int) -> str:
        lines = [
            f"GPU{number}:", "VkPhysicalDeviceProperties:", "---------------------------",
            "\tapiVersion        = 1.4.335 (4211023)", f"\tvendorID          = 0x{self.vendor:04x}",
            f"\tdeviceID          = 0x{self.device:04x}",
            f"\tdeviceType        = PHYSICAL_DEVICE_TYPE_{self.kind}", f"\tdeviceName        = {self.name}", "",
            "VkPhysicalDeviceDriverProperties:", "---------------------------------",
            f"\tdriverID        = DRIVER_ID_{self.driver}", "\tdriverName      = driver",
            "\tdriverInfo      = Mesa 25.2.8",
        ]  # fmt: skip
        if self.place is not None:
            names = ("pciDomain  ", "pciBus     ", "pciDevice  ", "pciFunction")
            lines += ["VkPhysicalDevicePCIBusInfoPropertiesEXT:"]
            lines += [f"\t{name} = {part}" for name, part in zip(names, self.place, strict=True)]
        lines += ["VkPhysicalDeviceMemoryProperties:", f"memoryHeaps: count = {len(self.heaps)}"]
        for index, (size, budget, local) in enumerate(self.heaps):
            lines += [f"\tmemoryHeaps[{index}]:", f"\t\tsize   = {size} (0x{size:x}) ({size / GIB:.2f} GiB)"]
            if budget is not None:
                lines += [
                    f"\t\tbudget = {budget} (0x{budget:x}) ({budget / GIB:.2f} GiB)",
                    "\t\tusage  = 0 (0x0) (0.00 B)",
                ]
            lines += (
                ["\t\tflags: count = 1", "\t\t\tMEMORY_HEAP_DEVICE_LOCAL_BIT"]
                if local
                else ["\t\tflags:", "\t\t\tNone"]
            )
        lines += ["memoryTypes: count = 1", "\tmemoryTypes[0]:", "\t\theapIndex     = 0", ""]
        return "\n".join(lines) + "\n"


def printed(*shown: Shown) -> str:
    head = LLVMPIPE[: LLVMPIPE.index("GPU0:\n")]
    return head + "".join(device.print(number) for number, device in enumerate(shown))


NVK = Shown(
    "NVIDIA GeForce RTX 3060 (NVK GA106)", 0x10DE, 0x2503, place=(0, 1, 0, 0),
    heaps=[(12 * GIB, 11 * GIB, True), (16 * GIB, 15 * GIB, False), (256 * MIB, 250 * MIB, True)],
)  # fmt: skip
ADRENO = Shown(
    "Adreno X1-85", 0x5143, 0x43050C01, kind="INTEGRATED_GPU", driver="MESA_TURNIP", heaps=[(24 * GIB, None, True)]
)
ASAHI = Shown(
    "Apple M1 Max (G13C C0)", 0x10005, 0, kind="INTEGRATED_GPU", driver="MESA_HONEYKRISP",
    heaps=[(24 * GIB, 20 * GIB, True)],
)  # fmt: skip
A770 = Shown(
    "Intel(R) Arc(tm) A770 Graphics (DG2)", 0x8086, 0x56A0, driver="INTEL_OPEN_SOURCE_MESA", place=(0, 3, 0, 0),
    heaps=[(16 * GIB - 256 * MIB, 15 * GIB, True), (16 * GIB, 15 * GIB, False)],
)  # fmt: skip
XTX = Shown(
    "AMD Radeon RX 7900 XTX", 0x1002, 0x744C, driver="AMD_PROPRIETARY", place=(0, 3, 0, 0),
    heaps=[(24560 * MIB, 23 * GIB, True), (16 * GIB, 15 * GIB, False)],
)  # fmt: skip
NOUVEAU = gpu(0x10DE, 0x2503, driver="nouveau", address="0000:01:00.0")
NODE = {"/dev/dri/renderD128": ""}
PLATFORM_GPU = {
    "/sys/class/drm/renderD128/device/uevent": "DRIVER=msm_dpu\nOF_NAME=gpu\n",
    "/dev/dri/renderD128": "",
}


class Loader:
    """A system with vulkaninfo that prints this; None is one that hangs."""

    def __init__(self, output: str | None) -> None:
        self.output, self.runs = output, 0

    def __call__(self, argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        if not argv[0].endswith("vulkaninfo"):
            return Finished(None, "", error="not found")
        assert 0 < timeout_s <= 3
        self.runs += 1
        return Finished(None, "", timed_out=True) if self.output is None else Finished(0, self.output)

    def on(self, here: Surroundings) -> Surroundings:
        return replace(here, run=self, which=lambda name: f"/usr/bin/{name}" if name == "vulkaninfo" else None)


def vulkan(specs: Specs, here: Surroundings, host_memory_bytes: int | None = 32 * GIB) -> Finding:
    return probe_vulkan(here, specs, host_memory_bytes=host_memory_bytes)


def only(finding: Finding) -> Device:
    (device,) = finding.devices
    return device


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_real_answer_is_read() -> None:
    (software,) = read_vulkaninfo(LLVMPIPE)
    assert (software.name, software.kind) == ("llvmpipe (LLVM 15.0.6, 256 bits)", "CPU")
    assert (software.vendor, software.device, software.address) == (0x10005, 0, None)
    assert software.driver_id == "MESA_LLVMPIPE"
    assert software.heaps == (Heap(2 * GIB, None, device_local=True),)


def test_ids_address_and_heaps_are_read() -> None:
    first, second = read_vulkaninfo(printed(replace(NVK, place=(0, 0xC5, 2, 1)), ADRENO))
    assert (first.index, first.vendor, first.device, first.address) == (0, 0x10DE, 0x2503, "0000:c5:02.1")
    assert first.heaps[0] == Heap(12 * GIB, 11 * GIB, device_local=True)
    assert [heap.device_local for heap in first.heaps] == [True, False, True]
    assert (second.index, second.device, second.address) == (1, 0x43050C01, None)


def test_a_summary_has_names_and_no_memory() -> None:
    text = (
        "Devices:\n========\nGPU0:\n\tapiVersion         = 1.4.318\n\tvendorID           = 0x5143\n"
        "\tdeviceID           = 0x6030500\n\tdeviceType         = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU\n"
        "\tdeviceName         = Turnip Adreno (TM) 643\n\tdriverID           = DRIVER_ID_MESA_TURNIP\n"
    )
    (device,) = read_vulkaninfo(text)
    assert (device.name, device.heaps) == ("Turnip Adreno (TM) 643", ())


@pytest.mark.parametrize(
    "text",
    [
        "", "GPU0:", "GPU0:\n\tvendorID = 0x10de\n", "GPU0:\n\tvendorID = x\n\tdeviceID = y\n",
        "ERROR: [Loader Message] Code 0 : vkCreateInstance: Found no drivers!\n", "\0" * 100, "GPU9" * 10_000,
        "GPU0:\n\tvendorID = 0x1\n\tdeviceID = 0x1\n\tdeviceType = PHYSICAL_DEV\n\tdeviceName = x\n",
    ],
    ids=["empty", "header", "cut", "no numbers", "error", "null bytes", "run together", "half a type"],
)  # fmt: skip
def test_what_is_no_answer_is_no_device(text: str) -> None:
    assert read_vulkaninfo(text) == ()


def test_an_answer_may_break_off_anywhere() -> None:
    whole = NVK.print(0)
    for length in range(0, len(whole), 7):
        assert len(read_vulkaninfo(whole[:length])) <= 1


# --- when it is asked ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        {},
        trees.RX_7900_XTX,
        trees.RX_7900_XTX | NODE,
        gpu(0x10DE, 0x2684, driver="nvidia") | NODE,
        trees.UHD_770 | NODE,
        trees.arc(0xE20B, driver="xe", files={"tile0/physical_vram_size_bytes": 12 * GIB}) | NODE,
        {"/dev/dxg": "", "/usr/lib/wsl/lib/libcuda.so.1": ""},
        NODE | {"/sys/class/drm/renderD128/device/uevent": "DRIVER=vgem\n"},
    ],
    ids=["nothing", "no node", "AMD", "NVIDIA", "integrated", "Arc that tells", "CUDA on WSL", "no hardware"],
)
def test_nothing_is_run_where_native_sources_know_all(specs: Specs, tree: Tree, files: Mapping[str, str]) -> None:
    loader = Loader(printed(NVK))
    assert vulkan(specs, loader.on(tree(files))) == Finding()
    assert loader.runs == 0


def test_on_a_mac_nothing_is_run(specs: Specs, tree: Tree) -> None:
    loader = Loader(printed(ASAHI))
    assert vulkan(specs, replace(loader.on(tree(NODE)), platform="darwin")) == Finding()
    assert loader.runs == 0


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (NOUVEAU | NODE, "nouveau"),
        (PLATFORM_GPU, "/dev/dri/renderD128 (driver msm_dpu)"),
        ({"/dev/kgsl-3d0": ""}, "/dev/kgsl-3d0"),
        ({"/dev/dxg": ""}, "/dev/dxg"),
        (gpu(0x1AF4, 0x1050, driver="virtio-pci") | NODE, ""),
        (trees.arc(0xE20B, driver="xe") | NODE, ""),
    ],
    ids=["nouveau", "board", "phone", "WSL", "virtual machine", "Arc"],
)
def test_without_vulkaninfo_it_is_said_what_is_missed(
    specs: Specs, tree: Tree, files: Mapping[str, str], said: str
) -> None:
    finding = vulkan(specs, tree(files))
    assert finding.devices == ()
    if said:
        (note,) = finding.notes
        assert said in note
        assert "vulkan-tools" in note
    else:
        assert finding.notes == ()
    # With it, it is asked.
    loader = Loader(LLVMPIPE)
    assert vulkan(specs, loader.on(tree_again(tree, files))) == Finding()
    assert loader.runs == 1


def tree_again(tree: Tree, files: Mapping[str, str]) -> Surroundings:
    """The same tree once more: the fixture makes one a test."""
    here = tree({})
    shutil.rmtree(here.root)
    return tree(files)


def test_a_hanging_vulkaninfo_is_a_note(specs: Specs, tree: Tree) -> None:
    finding = vulkan(specs, Loader(None).on(tree(PLATFORM_GPU)))
    assert finding.devices == ()
    assert any("did not answer" in note for note in finding.notes)


# --- devices -------------------------------------------------------------------------------------------------------


def test_a_processor_that_plays_gpu_is_none(specs: Specs, tree: Tree) -> None:
    assert vulkan(specs, Loader(LLVMPIPE).on(tree(PLATFORM_GPU))) == Finding()


def test_a_card_that_nouveau_drives_is_vulkans(specs: Specs, tree: Tree) -> None:
    device = only(vulkan(specs, Loader(printed(NVK)).on(tree(NOUVEAU | NODE))))
    assert (device.id, device.name) == ("vulkan:0", "NVIDIA GeForce RTX 3060")
    assert (device.vendor, device.backend, device.kind) == (Vendor.NVIDIA, Backend.VULKAN, DeviceKind.DISCRETE)
    assert device.pci_id == "0000:01:00.0"
    assert device.memory_total_bytes == 12 * GIB
    assert device.memory_free_bytes == device.memory_budget_bytes == 11 * GIB
    assert (device.memory_bandwidth_gbps, device.usable) == (360, True)
    assert device.source["memory_total_bytes"] == "vulkaninfo (driver Mesa 25.2.8)"


def test_a_phones_gpu_is_listed_and_the_processor_does_the_work(specs: Specs, tree: Tree) -> None:
    device = only(vulkan(specs, Loader(printed(ADRENO)).on(tree(PLATFORM_GPU))))
    assert (device.vendor, device.kind, device.usable) == (Vendor.UNKNOWN, DeviceKind.UNIFIED, False)
    assert device.memory_total_bytes == 32 * GIB
    assert "without known figures" in device.note


def test_an_apple_chip_under_linux_is_known_by_its_name(specs: Specs, tree: Tree) -> None:
    device = only(vulkan(specs, Loader(printed(ASAHI)).on(tree(PLATFORM_GPU))))
    assert (device.vendor, device.backend, device.kind) == (Vendor.APPLE, Backend.VULKAN, DeviceKind.UNIFIED)
    assert (device.memory_bandwidth_gbps, device.usable) == (400, True)
    assert device.memory_budget_bytes == 24 * GIB


@pytest.mark.parametrize(
    ("heap_gib", "host_gib", "budget_gib"), [(24, 32, 24), (32, 32, 24), (8, 32, 8), (8, None, 6)]
)
def test_shared_memory_is_planned_to_three_quarters_at_most(
    specs: Specs, tree: Tree, heap_gib: int, host_gib: int | None, budget_gib: int
) -> None:
    shown = replace(ASAHI, heaps=[(heap_gib * GIB, None, True)])
    here = Loader(printed(shown)).on(tree(PLATFORM_GPU))
    device = only(vulkan(specs, here, None if host_gib is None else host_gib * GIB))
    assert device.memory_budget_bytes == budget_gib * GIB


def test_on_windows_amd_and_intel_are_found(specs: Specs, tree: Tree) -> None:
    direct3d = Shown("Microsoft Direct3D12 (AMD Radeon RX 7900 XTX)", 0x1002, 0x744C, driver="MESA_DOZEN")
    basic = Shown("Microsoft Direct3D12 (Microsoft Basic Render Driver)", 0x1414, 0x8C, driver="MESA_DOZEN")
    here = replace(Loader(printed(XTX, direct3d, basic)).on(tree({})), platform="win32")
    device = only(vulkan(specs, here))
    assert (device.slug, device.backend, device.memory_budget_bytes) == (
        "radeon-rx-7900-xtx", Backend.VULKAN, 23 * GIB,
    )  # fmt: skip
    assert device.memory_bandwidth_gbps == 960
    finding = vulkan(specs, replace(here, which=lambda name: None))
    assert any("--gpu" in note and "vulkaninfo" in note for note in finding.notes)


def test_what_windows_lends_to_wsl_has_the_cards_name(specs: Specs, tree: Tree) -> None:
    lent = Shown(
        "Microsoft Direct3D12 (AMD Radeon RX 7900 XTX)", 0x1002, 0x744C, driver="MESA_DOZEN",
        heaps=[(24560 * MIB, None, True)],
    )  # fmt: skip
    device = only(vulkan(specs, Loader(printed(lent)).on(tree({"/dev/dxg": ""}))))
    assert (device.name, device.slug) == ("AMD Radeon RX 7900 XTX", "radeon-rx-7900-xtx")


def test_two_drivers_of_one_card_are_one_device(specs: Specs, tree: Tree) -> None:
    other = replace(XTX, name="AMD Radeon RX 7900 XTX (RADV NAVI31)", driver="MESA_RADV")
    here = replace(Loader(printed(XTX, other)).on(tree({})), platform="win32")
    assert only(vulkan(specs, here)).name == "AMD Radeon RX 7900 XTX"


def test_a_card_without_memory_is_listed(specs: Specs, tree: Tree) -> None:
    finding = vulkan(specs, Loader(printed(replace(NVK, heaps=()))).on(tree(NOUVEAU | NODE)))
    assert (only(finding).usable, only(finding).memory_total_bytes) == (False, None)
    assert any("--vram" in note for note in finding.notes)


def test_an_unlisted_card_is_used_and_its_bandwidth_asked_for(specs: Specs, tree: Tree) -> None:
    shown = Shown("MTT S80", 0x1ED5, 0x0201, heaps=[(16 * GIB, 15 * GIB, True)])
    finding = vulkan(specs, Loader(printed(shown)).on(tree(PLATFORM_GPU)))
    assert (only(finding).usable, only(finding).memory_bandwidth_gbps) == (True, None)
    assert any("--bandwidth" in note for note in finding.notes)


@pytest.mark.parametrize(("value", "used"), [("0", ["MTT S80"]), ("1", ["MTT S70"]), ("", []), ("5", [])])
def test_llama_cpps_variable_is_honoured(specs: Specs, tree: Tree, value: str, used: list[str]) -> None:
    shown = [Shown(f"MTT S{n}", 0x1ED5, n, heaps=[(8 * GIB, 7 * GIB, True)]) for n in (80, 70)]
    here = replace(Loader(printed(*shown)).on(tree(PLATFORM_GPU)), environ={"GGML_VK_VISIBLE_DEVICES": value})
    finding = vulkan(specs, here)
    assert [d.name for d in finding.devices if d.usable] == used
    assert any("GGML_VK_VISIBLE_DEVICES" in note for note in finding.notes)


# --- beside native sources -----------------------------------------------------------------------------------------


def test_a_card_is_placed_by_its_ids_where_the_driver_tells_no_address(specs: Specs, tree: Tree) -> None:
    here = Loader(printed(replace(NVK, place=None))).on(tree(NOUVEAU | NODE))
    assert only(vulkan(specs, here)).pci_id == "0000:01:00.0"


def test_cards_with_a_native_driver_are_left_to_its_source(specs: Specs, tree: Tree) -> None:
    beside = replace(NVK, place=(0, 0x0A, 0, 0))
    files = gpu(0x10DE, 0x2503, driver="nouveau", address="0000:0a:00.0", number=1)
    nodes = {"/dev/dri/renderD128": "", "/dev/dri/renderD129": ""}
    here = Loader(printed(XTX, beside)).on(tree(trees.RX_7900_XTX | files | nodes))
    device = only(vulkan(specs, here))
    assert (device.id, device.pci_id) == ("vulkan:1", "0000:0a:00.0")
    machine = probe(specs, here=here, counters=COUNTERS)
    assert [(d.id, d.slug, d.usable) for d in machine.devices] == [
        ("vulkan:1", "geforce-rtx-3060-12gb", True),
        ("rocm:0", "radeon-rx-7900-xtx", True),
    ]


def test_vulkan_completes_what_an_arcs_driver_does_not_tell(specs: Specs, tree: Tree) -> None:
    here = Loader(printed(A770)).on(tree(trees.arc(0x56A0, driver="i915", resource=256 * MIB) | NODE))
    (device,) = probe(specs, here=here, counters=COUNTERS).devices
    assert (device.slug, device.memory_total_bytes) == ("arc-a770", 16 * GIB - 256 * MIB)
    assert device.memory_free_bytes == device.memory_budget_bytes == 15 * GIB
    assert device.pcie_link is not None
    assert (device.power_limit_w, device.usable, device.note) == (190, True, "")


def test_a_machine_with_an_unknown_gpu_and_no_tool_still_is_one(specs: Specs, tree: Tree) -> None:
    machine = probe(specs, here=tree(PLATFORM_GPU), counters=COUNTERS)
    assert machine.devices == ()
    assert any("vulkaninfo is not installed" in note for note in machine.notes)
