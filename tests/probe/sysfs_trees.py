"""Machines as sysfs shows them: the files of a real tree that are read here, in the kernel's formats.

Put together after the kernel's documentation and source, not copied off machines. A value `-> target` is a link.
"""

from collections.abc import Mapping

from planner.units import GIB, MIB

Tree = dict[str, str]
Files = dict[str, str | int]

PCI_IDS = """# comment
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t13c0  Granite Ridge [Radeon Graphics]
\t150e  Strix [Radeon 880M / 890M]
\t1586  Strix Halo [Radeon Graphics / Radeon 8050S Graphics / Radeon 8060S Graphics]
\t15bf  Phoenix1
\t164e  Raphael
\t73ff  Navi 23 [Radeon RX 6600/6600 XT/6600M]
\t744c  Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE/7900M]
\t\t1002 0e3b  RX 7900 GRE [Hellhound]
\t74a1  Aqua Vanjaram [Instinct MI300X]
1003  ULSI Systems
8086  Intel Corporation
\t3e92  CoffeeLake-S GT2 [UHD Graphics 630]
\t4680  AlderLake-S GT1 [UHD Graphics 770]
\t56a0  DG2 [Arc A770]
\t64a0  Lunar Lake [Intel Arc Graphics 130V / 140V]
\t9a49  TigerLake-LP GT2 [Iris Xe Graphics]
\te20b  Battlemage G21 [Arc B580]
"""
DATABASE: Tree = {"/usr/share/misc/pci.ids": PCI_IDS}


def gpu(
    vendor: int,
    device: int,
    *,
    driver: str = "amdgpu",
    address: str = "0000:03:00.0",
    number: int = 0,
    revision: int = 0,
    under: str = "",
    kind: int = 0x030000,
    files: Mapping[str, str | int] | None = None,
) -> Tree:
    """A graphics card with its DRM nodes. `under` are the bridges above it, `files` more files of its folder."""
    folder = "/sys/devices/pci0000:00/" + "".join(f"{bridge}/" for bridge in under.split()) + address
    levels = 4 + len(under.split())
    up = "../" * levels
    slot = folder.removeprefix("/sys/devices/")
    tree = {
        f"{folder}/vendor": f"0x{vendor:04x}\n",
        f"{folder}/device": f"0x{device:04x}\n",
        f"{folder}/revision": f"0x{revision:02x}\n",
        f"{folder}/class": f"0x{kind:06x}\n",
        f"{folder}/uevent": (
            f"DRIVER={driver}\nPCI_CLASS={kind:X}\nPCI_ID={vendor:04X}:{device:04X}\nPCI_SUBSYS_ID=1EAE:7901\n"
            f"PCI_SLOT_NAME={address}\nMODALIAS=pci:v0000{vendor:04X}\n"
        ),
        f"{folder}/drm/card{number}/dev": f"226:{number}\n",
        f"{folder}/drm/card{number}/device": f"-> ../../../{address}",
        f"{folder}/drm/renderD{128 + number}/dev": f"226:{128 + number}\n",
        f"{folder}/drm/renderD{128 + number}/device": f"-> ../../../{address}",
        f"/sys/class/drm/card{number}": f"-> ../../devices/{slot}/drm/card{number}",
        f"/sys/class/drm/renderD{128 + number}": f"-> ../../devices/{slot}/drm/renderD{128 + number}",
        f"/sys/class/drm/card{number}-DP-1": f"-> ../../devices/{slot}/drm/card{number}/card{number}-DP-1",
        f"/sys/bus/pci/devices/{address}": f"-> ../../../devices/{slot}",
        f"{folder}/driver": f"-> {up}bus/pci/drivers/{driver}",
        f"/sys/bus/pci/drivers/{driver}/module": f"-> ../../../../module/{driver}",
    }
    return tree | {f"{folder}/{name}": f"{value}\n" for name, value in (files or {}).items()}


def bridge(address: str, vendor: int, device: int, files: Files, *, under: str = "") -> Tree:
    """A PCI bridge: a root port, or a port of a switch."""
    folder = "/sys/devices/pci0000:00/" + "".join(f"{above}/" for above in under.split()) + address
    tree = {
        f"{folder}/vendor": f"0x{vendor:04x}\n",
        f"{folder}/device": f"0x{device:04x}\n",
        f"{folder}/class": "0x060400\n",
    }
    return tree | {f"{folder}/{name}": f"{value}\n" for name, value in files.items()}


def link(speed: str, width: int, max_speed: str | None = None, max_width: int | None = None) -> Files:
    """The four files of a PCIe link."""
    return {
        "current_link_speed": f"{speed} GT/s PCIe",
        "current_link_width": str(width),
        "max_link_speed": f"{max_speed or speed} GT/s PCIe",
        "max_link_width": str(max_width or width),
    }


def amd_memory(vram: int, used: int = 0, gtt: int = 16 * GIB, gtt_used: int = 13 * MIB) -> Files:
    """amdgpu's files about memory, in bytes."""
    return {
        "mem_info_vram_total": vram,
        "mem_info_vram_used": used,
        "mem_info_vis_vram_total": vram,
        "mem_info_vis_vram_used": used,
        "mem_info_gtt_total": gtt,
        "mem_info_gtt_used": gtt_used,
    }


def kfd_cpu(node: int = 0, cores: int = 16) -> Tree:
    """A processor among the nodes of the compute driver."""
    folder = f"/sys/class/kfd/kfd/topology/nodes/{node}"
    return {
        f"{folder}/gpu_id": "0\n",
        f"{folder}/name": "\n",
        f"{folder}/properties": (
            f"cpu_cores_count {cores}\nsimd_count 0\nmem_banks_count 1\ncaches_count 26\nio_links_count 1\n"
            "p2p_links_count 0\ncpu_core_id_base 0\nsimd_id_base 0\ngfx_target_version 0\nvendor_id 0\ndevice_id 0\n"
            "location_id 0\ndomain 0\ndrm_render_minor 0\nhive_id 0\nmax_engine_clk_ccompute 5759\n"
        ),
    }


def kfd_gpu(
    node: int,
    gpu_id: int,
    *,
    target: int,
    device: int,
    location: int,
    minor: int,
    unique: int = 0,
    simds: int = 192,
    bank: int | None = None,
    holders: dict[int, int] | None = None,
) -> Tree:
    """A GPU among the nodes of the compute driver; `holders` are bytes by process id."""
    folder = f"/sys/class/kfd/kfd/topology/nodes/{node}"
    tree = {
        f"{folder}/gpu_id": f"{gpu_id}\n",
        f"{folder}/name": "navi31\n",
        f"{folder}/properties": (
            f"cpu_cores_count 0\nsimd_count {simds}\nmem_banks_count 1\ncaches_count 206\nio_links_count 1\n"
            "p2p_links_count 0\ncpu_core_id_base 0\nsimd_id_base 2147487744\nmax_waves_per_simd 16\n"
            "lds_size_in_kb 64\ngds_size_in_kb 0\nnum_gws 64\nwave_front_size 32\narray_count 12\n"
            "simd_arrays_per_engine 2\ncu_per_simd_array 8\nsimd_per_cu 2\nmax_slots_scratch_cu 32\n"
            f"gfx_target_version {target}\nvendor_id 4098\ndevice_id {device}\nlocation_id {location}\ndomain 0\n"
            f"drm_render_minor {minor}\nhive_id 0\nnum_sdma_engines 2\nnum_sdma_xgmi_engines 0\n"
            "num_sdma_queues_per_engine 6\nnum_cp_queues 8\nmax_engine_clk_fcompute 2371\nlocal_mem_size 0\n"
            f"fw_version 2130\ncapability 671588992\ndebug_prop 1495\nsdma_fw_version 24\nunique_id {unique}\n"
            "num_xcc 1\nmax_engine_clk_ccompute 5759\n"
        ),
    }
    if bank is not None:
        tree[f"{folder}/mem_banks/0/properties"] = (
            f"heap_type 1\nsize_in_bytes {bank}\nflags 0\nwidth 384\nmem_clk_max 1249\n"
        )
    for pid, size in (holders or {}).items():
        tree[f"/sys/class/kfd/kfd/proc/{pid}/vram_{gpu_id}"] = f"{size}\n"
        tree[f"/sys/class/kfd/kfd/proc/{pid}/pasid"] = "32770\n"
        tree[f"/proc/{pid}/comm"] = "llama-server\n"
    return tree


SWITCH = "0000:00:01.1 0000:01:00.0 0000:02:00.0"
"""A root port, then the two ports of the switch that larger cards carry."""

RX_7900_XTX: Tree = (
    bridge("0000:00:01.1", 0x1022, 0x14DB, link("16.0", 16, "16.0", 16))
    | bridge("0000:01:00.0", 0x1002, 0x1478, link("8.0", 8, "16.0", 16), under="0000:00:01.1")
    | bridge("0000:02:00.0", 0x1002, 0x1479, link("16.0", 16, "16.0", 16), under="0000:00:01.1 0000:01:00.0")
    | gpu(
        0x1002, 0x744C, revision=0xC8, under=SWITCH,
        files=amd_memory(25753026560, 2 * GIB, 16698593280) | link("16.0", 16) | {
            "hwmon/hwmon3/name": "amdgpu", "hwmon/hwmon3/power1_cap": 303000000,
            "hwmon/hwmon3/power1_cap_max": 348000000,
        },
    )
    | kfd_cpu()
    | kfd_gpu(
        1, 43221, target=110000, device=0x744C, location=0x300, minor=128, unique=0x1A2B3C4D5E6F7081,
        holders={4242: 1610612736},
    )
    | {"/sys/module/amdgpu/initstate": "live\n", "/opt/rocm/.info/version": "6.4.1-83\n"}
)  # fmt: skip

RX_6600: Tree = (
    gpu(0x1002, 0x73FF, revision=0xC7, files=amd_memory(8573157376, 300 * MIB) | link("16.0", 8))
    | kfd_cpu()
    | kfd_gpu(1, 31337, target=100302, device=0x73FF, location=0x300, minor=128, simds=56)
)

RAPHAEL: Tree = gpu(
    0x1002, 0x164E, revision=0xC9, address="0000:15:00.0", number=2, files=amd_memory(512 * MIB, 40 * MIB, 32 * GIB)
)

TWO_CARDS: Tree = (
    gpu(0x1002, 0x744C, revision=0xCC, address="0000:0a:00.0", number=1, files=amd_memory(21458059264))
    | gpu(0x1002, 0x744C, revision=0xC8, files=amd_memory(25753026560))
    | kfd_cpu()
    | kfd_gpu(1, 111, target=110000, device=0x744C, location=0x300, minor=128, unique=0xAAAA000000000001)
    | kfd_gpu(2, 222, target=110000, device=0x744C, location=0xA00, minor=129, unique=0xBBBB000000000002)
)
TWO_CARDS_AND_AN_APU: Tree = (
    TWO_CARDS | RAPHAEL | kfd_gpu(3, 333, target=100306, device=0x164E, location=0x1500, minor=130, simds=4)
)


def strix_halo(carve_out: int, gtt: int) -> Tree:
    """A Ryzen AI Max+ 395 with that much memory set aside for its GPU, in bytes."""
    return (
        gpu(
            0x1002, 0x1586, revision=0xC1, address="0000:c5:00.0", under="0000:00:08.1",
            files=amd_memory(carve_out, 200 * MIB, gtt, 50 * MIB),
        )
        | kfd_cpu()
        | kfd_gpu(1, 50000, target=110501, device=0x1586, location=0xC500, minor=128, simds=80)
    )  # fmt: skip


def mi300x(partitions: int = 1) -> Tree:
    """One MI300X, whole or cut into partitions: their DRM nodes are platform devices without PCI ids."""
    mode = {1: "SPX", 8: "CPX"}[partitions]
    tree = gpu(
        0x1002, 0x74A1, kind=0x120000, address="0000:05:00.0", number=1,
        files=amd_memory(206141652992, 299892736) | link("32.0", 16) | {
            "current_compute_partition": mode, "current_memory_partition": "NPS1",
            "hwmon/hwmon5/power1_cap": 750000000,
        },
    )  # fmt: skip
    tree |= kfd_cpu()
    for part in range(partitions):
        tree |= kfd_gpu(
            1 + part, 28851 + part, target=90402, device=0x74A1, location=0x500 | part << 28, minor=129 + part,
            simds=1216 // partitions, unique=0x6A7B8C9D0E1F2A3B,
        )  # fmt: skip
        if part:
            folder = f"/sys/devices/platform/amdgpu_xcp_{part - 1}/drm"
            tree[f"{folder}/card{1 + part}/device"] = f"-> ../../../amdgpu_xcp_{part - 1}"
            tree[f"/sys/class/drm/card{1 + part}"] = (
                f"-> ../../devices/platform/amdgpu_xcp_{part - 1}/drm/card{1 + part}"
            )
    return tree


ARC_SWITCH = "0000:00:01.0 0000:01:00.0 0000:02:01.0"


def window(size: int) -> str:
    """The `resource` file of a card with memory seen through a window of that size, in bytes."""
    return (
        "0x00000000a0000000 0x00000000a0ffffff 0x0000000000140204\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
        f"0x0000004000000000 0x{0x4000000000 + size - 1:016x} 0x000000000014220c\n"
        "0x0000000000000000 0x0000000000000000 0x0000000000000000\n"
    )


def arc(device: int, *, driver: str, resource: int = 16 * GIB, files: Files | None = None) -> Tree:
    """An Arc card behind its own switch; its own link is the one that says nothing."""
    return (
        bridge("0000:00:01.0", 0x8086, 0xA70D, link("16.0", 16, "32.0", 16))
        | bridge("0000:01:00.0", 0x8086, 0x4FA0, link("16.0", 16, "16.0", 16), under="0000:00:01.0")
        | bridge("0000:02:01.0", 0x8086, 0x4FA4, link("2.5", 1), under="0000:00:01.0 0000:01:00.0")
        | gpu(
            0x8086, device, driver=driver, revision=0x08, under=ARC_SWITCH,
            files=link("2.5", 1) | {
                "resource": window(resource), "hwmon/hwmon2/name": driver, "hwmon/hwmon2/power1_max": 190000000,
            } | (files or {}),
        )
    )  # fmt: skip


UHD_770: Tree = gpu(
    0x8086, 0x4680, driver="i915", revision=0x0C, address="0000:00:02.0", files={"resource": window(256 * MIB)}
)
LUNAR_LAKE: Tree = gpu(
    0x8086, 0x64A0, driver="xe", revision=0x04, address="0000:00:02.0", files={"resource": window(256 * MIB)}
)
NOTHING: Tree = {
    "/sys/class/drm/version": "drm 1.1.0 20060810\n",
    "/sys/bus/pci/devices/0000:00:00.0/class": "0x060000\n",
    "/sys/bus/pci/devices/0000:00:00.0/vendor": "0x8086\n",
    "/sys/bus/pci/devices/0000:00:00.0/device": "0x1237\n",
}
LIVE_DEV: Tree = {"/dev/null": "", "/dev/zero": "", "/dev/dri/card0": "", "/dev/dri/renderD128": "", "/dev/kfd": ""}
"""The device nodes of a machine with one card."""
