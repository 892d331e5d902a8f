"""Which CPUs are left to this process, and which of them are cores of their own."""

from collections.abc import Callable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from planner.probe.surroundings import Surroundings
from planner.probe.system.topology import (
    MOST_CPUS,
    CoreKinds,
    allowed_cpus,
    apple_core_kinds,
    core_kinds,
    count_cores,
    cpu_list,
)

Tree = Callable[[Mapping[str, str]], Surroundings]


def siblings(pairs: Mapping[int, str]) -> dict[str, str]:
    folder = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return {folder.format(cpu): text for cpu, text in pairs.items()}


def test_kernel_lists_of_cpus() -> None:
    assert cpu_list("0-3,8\n") == {0, 1, 2, 3, 8}
    assert cpu_list("") == cpu_list(None) == frozenset()


@given(st.text(max_size=60))
def test_no_list_is_endless(text: str) -> None:
    assert len(cpu_list(text)) <= MOST_CPUS + 60
    assert len(cpu_list("0-99999999999," + text)) <= 2 * MOST_CPUS + 60


def test_the_cpus_left_to_this_process(tree: Tree) -> None:
    assert allowed_cpus(tree({"/proc/self/status": "Name:\tx\nCpus_allowed_list:\t2-3\n"})) == {2, 3}


def test_without_proc_they_are_unknown(tree: Tree) -> None:
    assert allowed_cpus(tree({})) == frozenset()


def test_two_threads_of_a_core_are_one_core(tree: Tree) -> None:
    here = tree(siblings({0: "0,4", 1: "1,5", 4: "0,4"}))
    assert count_cores(here, [0, 4]) == 1
    assert count_cores(here, [0, 1, 4]) == 2
    assert count_cores(here, [0, 9]) is None


def test_a_hybrid_processor_of_intel(tree: Tree) -> None:
    files = {"/sys/devices/cpu_core/cpus": "0-3", "/sys/devices/cpu_atom/cpus": "4-7"}
    alone = {4: "4", 5: "5", 6: "6", 7: "7"}
    here = tree(files | siblings({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3", **alone}))
    kinds = core_kinds(here)
    assert kinds == CoreKinds(2, 4)
    assert str(kinds) == "2 performance and 4 efficiency cores"


def test_little_cores_of_arm_have_less_capacity(tree: Tree) -> None:
    files = {f"/sys/devices/system/cpu/cpu{n}/cpu_capacity": c for n, c in enumerate(("530", "530", "1024", "1024"))}
    here = tree({"/sys/devices/system/cpu/present": "0-3", **files, **siblings({n: str(n) for n in range(4)})})
    assert core_kinds(here) == CoreKinds(2, 2)


def test_equal_cores_are_no_hybrid(tree: Tree) -> None:
    files = {f"/sys/devices/system/cpu/cpu{n}/cpu_capacity": "1024" for n in range(2)}
    assert core_kinds(tree({"/sys/devices/system/cpu/present": "0-1", **files})) is None
    assert core_kinds(tree({})) is None


def test_macos_counts_both_kinds() -> None:
    values = {"hw.perflevel0.physicalcpu": "8", "hw.perflevel1.physicalcpu": "4"}
    assert apple_core_kinds(values) == CoreKinds(8, 4)
    assert apple_core_kinds({}) is None
    assert apple_core_kinds({**values, "hw.perflevel1.physicalcpu": "0"}) is None
