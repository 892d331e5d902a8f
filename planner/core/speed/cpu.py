"""What a CPU reaches: bandwidth while it generates, operations while it reads a prompt."""

from planner.core.machines.hardware import BandwidthBasis, Hardware
from planner.core.speed.calibration import HostSpeed

_VECTORS = (
    ("avx512", ("avx512f", "avx512", "avx512_vnni", "avx512_bf16")),
    ("avx2", ("avx2",)),
    ("neon", ("neon", "asimd", "sve", "dotprod", "asimddp")),
)
"""Instruction sets by what the operating systems call them, the fastest first."""


def memory_peak_gbps(hardware: Hardware, constants: HostSpeed) -> float | None:
    """Peak of the host's memory in GB/s, as on a data sheet; from a measured read bandwidth by the usual ratio."""
    host = hardware.host
    if host.memory_bandwidth_gbps is not None and host.memory_bandwidth_basis is BandwidthBasis.MEASURED:
        return host.memory_bandwidth_gbps / constants.read_share
    return host.memory_bandwidth_gbps


def cpu_bandwidth_gbps(hardware: Hardware, constants: HostSpeed) -> float:
    """GB/s that generation reaches on the CPU: a share of the memory's, bounded by what the cores dequantise.

    Of a peak it is 0.55; of a measured read bandwidth 0.55 / 0.78, about 0.7: both agree on a usual desktop. The
    ratio is set by hand, so a measured bandwidth does not make the interval narrower.
    """
    memory = (memory_peak_gbps(hardware, constants) or constants.gbps_default) * constants.bandwidth_share
    return min(memory, constants.core_gbps * max(1, hardware.host.cpu.cores_usable))


def cpu_gflops(hardware: Hardware, constants: HostSpeed) -> float:
    """GFLOP/s that prompt processing reaches on the CPU: cores times what one does with its vector instructions.

    A host whose instruction set is not known counts as one with AVX2.
    """
    isa = set(hardware.host.cpu.isa)
    found = next((name for name, words in _VECTORS if isa.intersection(words)), None)
    if not isa:
        found = "avx2"
    each = constants.core_gflops.get(found or "", constants.core_gflops_default)
    return each * max(1, hardware.host.cpu.cores_usable)
