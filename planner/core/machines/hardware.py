"""What a machine is, as far as planning needs it. Filled by `probe`, by overrides or from a JSON file."""

from enum import StrEnum

import msgspec

ESTIMATED = "estimated: "
"""How the source of a figure begins that nobody said and no row of the catalog has."""


class Vendor(StrEnum):
    """Who made the device."""

    NVIDIA = "nvidia"
    AMD = "amd"
    INTEL = "intel"
    APPLE = "apple"
    UNKNOWN = "unknown"


class Backend(StrEnum):
    """The llama.cpp backend that drives a device."""

    CUDA = "cuda"
    ROCM = "rocm"
    VULKAN = "vulkan"
    METAL = "metal"
    CPU = "cpu"


class DeviceKind(StrEnum):
    """Discrete devices have memory of their own; unified ones share the host's."""

    DISCRETE = "discrete"
    UNIFIED = "unified"


class BandwidthBasis(StrEnum):
    """Where a host's memory bandwidth comes from: a data sheet's peak is never reached, a measurement is."""

    SPECIFIED = "specified"
    MEASURED = "measured"
    ASSUMED = "assumed"


class Cpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The processor. `cores_usable` is bounded by affinity and cgroup quota; `isa` lists e.g. avx2, avx512f."""

    name: str
    cores_physical: int
    cores_usable: int
    isa: tuple[str, ...] = ()


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine around the devices. Memory in bytes, bounded by cgroup limits; bandwidth in GB/s (10^9).

    `memory_bandwidth_basis` says what kind of figure the bandwidth is, None without one. `memory_speed_mts`
    (million transfers per second) and `memory_channels` are what the firmware tells of the memory modules.
    """

    os: str
    cpu: Cpu
    memory_total_bytes: int | None
    memory_available_bytes: int | None
    memory_bandwidth_gbps: float | None = None
    memory_bandwidth_basis: BandwidthBasis | None = None
    memory_speed_mts: float | None = None
    memory_channels: int | None = None
    source: dict[str, str] = {}


class PcieLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The slot of a card: PCIe generation and lanes now (idle cards slow down) and at most. None means unknown."""

    generation: int | None = None
    lanes: int | None = None
    max_generation: int | None = None
    max_lanes: int | None = None


class MemoryHolder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process that holds memory of a device; `memory_bytes` is None where the driver does not tell."""

    pid: int
    name: str = ""
    memory_bytes: int | None = None


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One GPU. None means unknown, never 0.

    `memory_budget_bytes` is what a program may take of it now: free memory on a discrete card, the
    working-set limit on Apple silicon, a share of host memory on other unified parts.
    The ranges are set when the device is only known by its memory size: the spread of the cards with that size;
    `fp16_range_tflops` also when that peak was estimated from FP32. `listed` is False for a device that is known by
    figures alone, without a row of the catalog. `memory_limit_bytes` is what the user allows of it, None where nobody
    said; unlike a budget it holds whatever is free. `usable` is False for a card that was seen but cannot be driven
    here; `note` says why. `source` names, per field, how the value was found.
    `gfx_target` is the LLVM name of an AMD architecture (gfx1100), `tdp_w` the data sheet's power in watts,
    `power_limit_w` the driver's, `holders` the processes that take its memory, largest first.
    """

    id: str
    name: str
    slug: str
    vendor: Vendor
    backend: Backend
    kind: DeviceKind
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    memory_budget_bytes: int | None
    memory_bandwidth_gbps: float | None = None
    fp32_tflops: float | None = None
    fp16_tflops: float | None = None
    compute_capability: str | None = None
    gpu_cores: int | None = None
    memory_bandwidth_range_gbps: tuple[float, float] | None = None
    pci_id: str | None = None
    usable: bool = True
    note: str = ""
    source: dict[str, str] = {}
    memory_used_bytes: int | None = None
    gfx_target: str | None = None
    tdp_w: float | None = None
    power_limit_w: float | None = None
    pcie_link: PcieLink | None = None
    holders: tuple[MemoryHolder, ...] = ()
    listed: bool = True
    fp16_range_tflops: tuple[float, float] | None = None
    memory_limit_bytes: int | None = None
    fp32_range_tflops: tuple[float, float] | None = None
    tdp_range_w: tuple[float, float] | None = None

    @property
    def known_by_size(self) -> bool:
        """Whether a card is known by its memory alone: its figures are those of the cards of that size."""
        return self.memory_bandwidth_range_gbps is not None or self.fp32_range_tflops is not None

    @property
    def told_tdp_w(self) -> float | None:
        """The data sheet's power in watts, None where it is unknown or only estimated."""
        return None if self.source.get("tdp_w", "").startswith(ESTIMATED) else self.tdp_w


class Hardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole machine: the host, its GPUs in driver order, and what could not be found out.

    `drivers` are versions of what drives the devices, e.g. nvidia, cuda, amdgpu.
    """

    host: Host
    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    drivers: dict[str, str] = {}


class DeviceSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of `catalog/devices.json`: a device as its data sheet describes it.

    Memory in GiB (None where it depends on the machine: Apple, integrated parts), bandwidth in GB/s,
    peaks in dense TFLOPS, `tdp_w` in watts. `aliases` are names that drivers and shops print. `pci_ids` are
    `vendor:device` or `vendor:device:revision` in hexadecimal (`1002:744c:c8`); several rows may share one.
    `source` says per field where its value comes from, in words or by a key of the file's `sources`; `*` stands
    for every field that is not named.
    """

    slug: str
    name: str
    vendor: Vendor
    kind: DeviceKind
    memory_gib: float | None
    memory_bandwidth_gbps: float | None
    fp32_tflops: float | None
    fp16_tflops: float | None
    source: dict[str, str]
    compute_capability: str | None = None
    gpu_cores: int | None = None
    arch: str | None = None
    tdp_w: float | None = None
    gfx_target: str | None = None
    pci_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.slug)

    @property
    def backend(self) -> Backend:
        """The vendor's native llama.cpp backend."""
        return NATIVE_BACKEND[self.vendor]


NATIVE_BACKEND: dict[Vendor, Backend] = {
    Vendor.NVIDIA: Backend.CUDA,
    Vendor.AMD: Backend.ROCM,
    Vendor.INTEL: Backend.VULKAN,
    Vendor.APPLE: Backend.METAL,
    Vendor.UNKNOWN: Backend.VULKAN,
}
