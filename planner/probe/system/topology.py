"""Which CPUs this process may run on, which of them share a core, and which cores are the fast ones (Linux)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.probe.surroundings import Surroundings

MOST_CPUS = 8192
"""More than Linux can be built for; lists beyond it make no sense."""

_FAST_SHARE = 0.7
"""Of the largest capacity: the mid cores of three-tier ARM chips pass for fast ones, the little ones do not."""


@dataclass(frozen=True)
class CoreKinds:
    """Performance and efficiency cores of a hybrid processor; threads where `counted` is not `cores`."""

    performance: int
    efficiency: int
    counted: str = "cores"

    def __str__(self) -> str:
        if self.counted == "cores":
            return f"{self.performance} performance and {self.efficiency} efficiency cores"
        return f"{self.performance} {self.counted} on performance and {self.efficiency} on efficiency cores"


def cpu_list(text: str | None) -> frozenset[int]:
    """The numbers of a kernel CPU list: `0-7,16`."""
    found: set[int] = set()
    for low, high in re.findall(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", text or ""):
        found.update(range(int(low), min(int(high or low), MOST_CPUS) + 1))
    return frozenset(found)


def allowed_cpus(here: Surroundings) -> frozenset[int]:
    """The CPUs that affinity and cpusets leave to this process; empty where the kernel does not tell."""
    match = re.search(r"(?m)^Cpus_allowed_list:\s*(\S+)$", here.read("/proc/self/status") or "")
    return cpu_list(match[1]) if match else frozenset()


def count_cores(here: Surroundings, cpus: Iterable[int]) -> int | None:
    """How many cores these CPUs are, by their siblings; None where the kernel does not tell."""
    cores: set[str] = set()
    for cpu in cpus:
        siblings = here.read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        if siblings is None:
            return None
        cores.add(siblings)
    return len(cores) or None


def core_kinds(here: Surroundings) -> CoreKinds | None:
    """Fast and slow cores; None where all are alike or the kernel does not tell."""
    fast = cpu_list(here.read("/sys/devices/cpu_core/cpus"))
    slow = cpu_list(here.read("/sys/devices/cpu_atom/cpus")) | cpu_list(here.read("/sys/devices/cpu_lowpower/cpus"))
    if not slow:
        fast, slow = _by_capacity(here)
    if not fast or not slow:
        return None
    performance, efficiency = count_cores(here, fast), count_cores(here, slow)
    if performance is None or efficiency is None:
        return CoreKinds(len(fast), len(slow), counted="threads")
    return CoreKinds(performance, efficiency)


def _by_capacity(here: Surroundings) -> tuple[frozenset[int], frozenset[int]]:
    """ARM: the kernel rates each CPU, 1024 for the fastest. Parts without ratings have the first file missing."""
    ratings: dict[int, int] = {}
    for cpu in sorted(cpu_list(here.read("/sys/devices/system/cpu/present"))):
        rating = here.read_int(f"/sys/devices/system/cpu/cpu{cpu}/cpu_capacity")
        if rating is None:
            return frozenset(), frozenset()
        ratings[cpu] = rating
    least = _FAST_SHARE * max(ratings.values(), default=0)
    fast = frozenset(cpu for cpu, rating in ratings.items() if rating >= least)
    return fast, frozenset(ratings) - fast


def apple_core_kinds(sysctl: Mapping[str, str]) -> CoreKinds | None:
    """Fast and slow cores as macOS counts them; None on Intel Macs."""
    counts = [sysctl.get(f"hw.perflevel{level}.physicalcpu", "") for level in (0, 1)]
    if not all(re.fullmatch(r"[1-9][0-9]{0,3}", count) for count in counts):
        return None
    return CoreKinds(int(counts[0]), int(counts[1]))
