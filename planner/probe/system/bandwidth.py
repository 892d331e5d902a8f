"""How fast this machine reads its memory: a tenth of a second, on request only, with nothing but the C library.

Every usable core searches its own part of a buffer for a byte that is not there (`memchr`), then compares two
halves of it (`memcmp`): both are read-only and vectorised in most C libraries, and ctypes lets go of the
interpreter's lock meanwhile. The better of the two counts, as each is a lower bound of what the memory gives.
"""

import contextlib
import ctypes
import itertools
import mmap
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planner.errors import NoResultError
from planner.probe.surroundings import Surroundings
from planner.probe.system.topology import allowed_cpus
from planner.units import MIB

LARGEST_BUFFER_BYTES = 512 * MIB
SMALLEST_BUFFER_BYTES = 32 * MIB
_UNKNOWN_CACHE_BYTES = 64 * MIB
_CACHES = 3
"""Buffer in last-level caches: reads in one direction leave nothing useful behind in a cache a third as large."""
_AVAILABLE_SHARE = 8
_PHASE_S = 0.025
_SLICES = 3

Clock = Callable[[], float]
Routine = Callable[[int, int], object]
"""Reads `size` bytes from an address on, and lets other threads run meanwhile."""


@dataclass(frozen=True)
class Measurement:
    """Read bandwidth of all threads together in GB/s (10^9 bytes per second)."""

    gbps: float
    threads: int


@dataclass(frozen=True)
class Pass:
    """One thread's way through its part of the buffer; times in seconds of one clock."""

    start_s: float
    end_s: float
    size_bytes: int


def measure_bandwidth(
    threads: int,
    available_bytes: int | None,
    *,
    cache_bytes: int | None = None,
    phase_s: float = _PHASE_S,
    clock: Clock = time.perf_counter,
) -> Measurement:
    """Read bandwidth with so many threads. Takes an eighth of `available_bytes` at most, and about 0.1 s.

    `cache_bytes`: all last-level caches together, None if unknown. Raises NoResultError (`measure-failed`) when
    there is no memory to spare or no C library to ask.
    """
    threads = max(1, threads)
    size = buffer_bytes(available_bytes, cache_bytes)
    part = size // threads // mmap.PAGESIZE * mmap.PAGESIZE
    if size < SMALLEST_BUFFER_BYTES or not part:
        raise _failed("too little memory is free: a buffer much larger than the caches is needed")
    try:
        routines, fill = _routines()
        buffer = mmap.mmap(-1, size)
    except (OSError, AttributeError, ValueError) as error:
        raise _failed(str(error)) from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages only takes longer to fill the buffer
            buffer.madvise(mmap.MADV_HUGEPAGE)
    view = (ctypes.c_char * size).from_buffer(buffer)
    try:
        places = [ctypes.addressof(view) + number * part for number in range(threads)]
        # Untouched pages are one and the same page of zeros, and would be read from the cache.
        _in_threads(places, lambda place: fill(place, part))
        rates = [
            steady_gbps(_in_threads(places, lambda place: _read(routine, place, part, phase_s, clock)))  # noqa: B023
            for routine in routines
        ]
    finally:
        del view
        buffer.close()
    if max(rates) <= 0:
        raise _failed("the clock did not move")
    return Measurement(float(f"{max(rates):.3g}"), threads)


def buffer_bytes(available_bytes: int | None, cache_bytes: int | None) -> int:
    """How much to read: several times the caches, never more than an eighth of what is free."""
    wanted = _CACHES * (cache_bytes or _UNKNOWN_CACHE_BYTES)
    allowed = LARGEST_BUFFER_BYTES
    if available_bytes is not None:
        allowed = min(allowed, available_bytes // _AVAILABLE_SHARE)
    return min(max(wanted, SMALLEST_BUFFER_BYTES), allowed)


def steady_gbps(passes: Sequence[Sequence[Pass]]) -> float:
    """GB/s of all threads while all of them were reading: the best third of that time.

    A pass counts with the share of it that lies in the time looked at. Where there was no common time, all bytes
    over all time.
    """
    flat = [p for thread in passes for p in thread]
    start = max(thread[0].start_s for thread in passes)
    end = min(thread[-1].end_s for thread in passes)
    if end <= start:
        whole = max(p.end_s for p in flat) - min(p.start_s for p in flat)
        return sum(p.size_bytes for p in flat) / whole / 1e9 if whole > 0 else 0.0
    edges = [start + (end - start) * number / _SLICES for number in range(_SLICES + 1)]
    return max(_rate(flat, low, high) for low, high in itertools.pairwise(edges)) / 1e9


def _rate(passes: Sequence[Pass], start_s: float, end_s: float) -> float:
    """Bytes per second between two moments."""
    size = 0.0
    for p in passes:
        overlap = min(p.end_s, end_s) - max(p.start_s, start_s)
        if overlap > 0:
            size += p.size_bytes * overlap / (p.end_s - p.start_s)
    return size / (end_s - start_s)


def last_level_cache_bytes(here: Surroundings) -> int | None:
    """All last-level caches of the CPUs this process may use, together; None where the kernel does not tell."""
    caches: dict[str, int] = {}
    for cpu in allowed_cpus(here):
        folder = f"/sys/devices/system/cpu/cpu{cpu}/cache"
        for index in (3, 2):
            size = here.read(f"{folder}/index{index}/size") or ""
            if size.endswith("K") and size[:-1].isdecimal() and len(size) < 10:
                caches[here.read(f"{folder}/index{index}/shared_cpu_list") or str(cpu)] = int(size[:-1]) * 1024
                break
    return sum(caches.values()) or None


def _routines() -> tuple[tuple[Routine, ...], Routine]:
    """The C library's readers, and what fills a buffer. Raises OSError or AttributeError."""
    library = ctypes.CDLL("msvcrt" if sys.platform == "win32" else None)
    library.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    library.memchr.restype = ctypes.c_void_p
    library.memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    library.memset.restype = ctypes.c_void_p
    readers = (
        lambda place, size: library.memchr(place, 2, size),
        lambda place, size: library.memcmp(place, place + size // 2, size // 2),
    )
    return readers, lambda place, size: library.memset(place, 1, size)


def _read(routine: Routine, place: int, size: int, seconds: float, clock: Clock) -> list[Pass]:
    """Read a part of the buffer again and again for so long, once at least."""
    passes: list[Pass] = []
    start = clock()
    until = start + seconds
    while not passes or start < until:
        routine(place, size)
        end = clock()
        passes.append(Pass(start, end, size))
        start = end
    return passes


def _in_threads(places: Sequence[int], work: Callable[[int], object]) -> list[list[Pass]]:
    """Do the work for every place at the same time; what it returned, in order."""
    results: list[list[Pass]] = [[] for _ in places]

    def run(number: int, place: int) -> None:
        found = work(place)
        if isinstance(found, list):
            results[number] = found

    workers = [threading.Thread(target=run, args=pair) for pair in enumerate(places)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return results


def _failed(reason: str) -> NoResultError:
    """The error of this module."""
    return NoResultError(
        f"The memory's bandwidth could not be measured: {reason}.",
        hint="Give it with --bandwidth where it is known; without it a usual one is assumed.",
        reference="measure-failed",
    )
