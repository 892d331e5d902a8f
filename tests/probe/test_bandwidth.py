"""Measuring the memory's bandwidth: the arithmetic, the bounds, and once for real with a small buffer."""

import itertools
import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import NoResultError
from planner.probe.surroundings import Surroundings
from planner.probe.system.bandwidth import (
    LARGEST_BUFFER_BYTES,
    Pass,
    buffer_bytes,
    last_level_cache_bytes,
    measure_bandwidth,
    steady_gbps,
)
from planner.units import GIB, MIB

Tree = Callable[[Mapping[str, str]], Surroundings]


def passes(*edges: float, size_bytes: int = 10**9) -> list[Pass]:
    return [Pass(start, end, size_bytes) for start, end in itertools.pairwise(edges)]


def test_the_rate_of_all_threads_adds_up() -> None:
    assert steady_gbps([passes(0, 1, 2, 3)]) == pytest.approx(1)
    assert steady_gbps([passes(0, 1, 2, 3), passes(0, 0.5, 1, 1.5, 2, 2.5, 3)]) == pytest.approx(3)


def test_only_the_time_in_which_all_were_reading_counts() -> None:
    early, late = passes(0, 1, 2, 3, 4), passes(2, 3, 4, 5, 6)
    assert steady_gbps([early, late]) == pytest.approx(2)


def test_the_best_third_counts_as_others_may_disturb() -> None:
    assert steady_gbps([passes(0, 1, 2, 6)]) == pytest.approx(1)


def test_without_a_common_time_it_is_all_bytes_over_all_time() -> None:
    assert steady_gbps([passes(0, 1), passes(3, 4)]) == pytest.approx(0.5)


def test_a_clock_that_stands_still_measures_nothing() -> None:
    assert steady_gbps([[Pass(1, 1, 5)]]) == 0
    with pytest.raises(NoResultError) as caught:
        measure_bandwidth(1, GIB, cache_bytes=MIB, phase_s=0, clock=lambda: 1.0)
    assert caught.value.reference == "measure-failed"


@given(available=st.none() | st.integers(0, 2**45), cache=st.none() | st.integers(1, 2**32))
def test_the_buffer_never_takes_more_than_an_eighth_of_what_is_free(available: int | None, cache: int | None) -> None:
    size = buffer_bytes(available, cache)
    assert size <= LARGEST_BUFFER_BYTES
    assert available is None or size <= available / 8


def test_the_buffer_is_larger_than_the_caches() -> None:
    assert buffer_bytes(64 * GIB, 32 * MIB) == 96 * MIB
    assert buffer_bytes(64 * GIB, MIB) == 32 * MIB


def test_too_little_memory_is_said() -> None:
    with pytest.raises(NoResultError, match="too little memory"):
        measure_bandwidth(2, 100 * MIB)


def test_caches_are_counted_once_for_all_cpus_that_share_them(tree: Tree) -> None:
    folder = "/sys/devices/system/cpu/cpu{}/cache/index3/"
    files = {"/proc/self/status": "Cpus_allowed_list:\t0-3\n"}
    for cpu in range(4):
        files[folder.format(cpu) + "size"] = "16384K\n"
        files[folder.format(cpu) + "shared_cpu_list"] = "0-1" if cpu < 2 else "2-3"
    assert last_level_cache_bytes(tree(files)) == 32 * MIB


def test_unknown_caches_are_unknown(tree: Tree) -> None:
    assert last_level_cache_bytes(tree({})) is None
    odd = {"/proc/self/status": "Cpus_allowed_list:\t0\n", "/sys/devices/system/cpu/cpu0/cache/index3/size": "lots"}
    assert last_level_cache_bytes(tree(odd)) is None


def test_this_machine_reads_its_memory() -> None:
    measured = measure_bandwidth(2, 512 * MIB, cache_bytes=MIB, phase_s=0.001)
    assert measured.threads == 2
    assert 0 < measured.gbps < math.inf
