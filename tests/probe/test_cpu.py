"""Processor and memory: what the machine has, bounded by what this process may use."""

from collections.abc import Callable, Mapping

import pytest

from planner.probe.surroundings import Surroundings
from planner.probe.system.cgroup import Limits
from planner.probe.system.cpu import Counters, apple_cpu, read_host, system_counters
from planner.units import GIB

Tree = Callable[[Mapping[str, str]], Surroundings]

X86 = """processor\t: 0
model name\t: AMD Ryzen 7 5800X  8-Core Processor
flags\t\t: fpu sse4_2 avx f16c fma avx2 bmi2

processor\t: 1
model name\t: AMD Ryzen 7 5800X  8-Core Processor
flags\t\t: fpu
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd fphp asimdhp asimddp sve i8mm bf16\nModel\t\t: Raspberry Pi 5\n"


def broken(*_: object) -> int:
    raise OSError("no /proc here")


def counters(**known: object) -> Counters:
    answers: dict[str, object] = {
        "memory": (32 * GIB, 20 * GIB), "physical_cores": 8, "logical_cores": 16, "affinity": 16,
        "cpu_name": "", "features": (), **known,
    }  # fmt: skip

    def answer(name: str) -> Callable[[], object]:
        return broken if answers[name] is broken else lambda: answers[name]

    return Counters(**{name: answer(name) for name in answers})  # type: ignore[arg-type]  # each returns its own type


def test_a_free_machine(tree: Tree) -> None:
    facts = read_host(tree({"/proc/cpuinfo": X86}), counters(), Limits())
    assert facts.cpu.name == "AMD Ryzen 7 5800X 8-Core Processor"
    assert (facts.cpu.cores_physical, facts.cpu.cores_usable) == (8, 8)
    assert facts.cpu.isa == ("sse4_2", "avx", "f16c", "fma", "avx2", "bmi2")
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (32 * GIB, 20 * GIB)
    assert facts.notes == ()


def test_arm_features(tree: Tree) -> None:
    cpu = read_host(tree({"/proc/cpuinfo": ARM}), counters(), Limits()).cpu
    assert cpu.name == "Raspberry Pi 5"
    assert {"asimd", "asimddp", "i8mm", "sve"} <= set(cpu.isa)


@pytest.mark.parametrize(
    ("affinity", "quota", "usable"),
    [(16, None, 8), (3, None, 3), (16, 2.0, 2), (16, 1.5, 2), (16, 0.1, 1), (2, 4.0, 2), (16, 64.0, 8)],
)
def test_usable_cores_are_the_least_of_cores_affinity_and_quota(
    tree: Tree, affinity: int, quota: float | None, usable: int
) -> None:
    limits = Limits(cpu_cores=quota, cpu_source="cgroup v2 cpu.max")
    facts = read_host(tree({}), counters(affinity=affinity), limits)
    assert (facts.cpu.cores_physical, facts.cpu.cores_usable) == (8, usable)


def test_a_memory_limit_is_the_memory_there_is_and_said(tree: Tree) -> None:
    limits = Limits(memory_bytes=4 * GIB, memory_free_bytes=GIB, memory_source="cgroup v2 memory.max")
    facts = read_host(tree({}), counters(), limits)
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (4 * GIB, GIB)
    assert facts.source["memory_total_bytes"] == "cgroup v2 memory.max"
    assert any("4.0 GiB" in note and "32.0 GiB" in note for note in facts.notes)


def test_a_limit_above_the_machine_changes_nothing(tree: Tree) -> None:
    limits = Limits(memory_bytes=64 * GIB, memory_free_bytes=63 * GIB, memory_source="x")
    facts = read_host(tree({}), counters(), limits)
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (32 * GIB, 20 * GIB)
    assert facts.notes == ()


def test_without_psutil_proc_is_read(tree: Tree) -> None:
    here = tree({"/proc/meminfo": "MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:    8192 kB\n"})
    facts = read_host(here, counters(memory=broken), Limits())
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (16384 * 1024, 8192 * 1024)


def test_nothing_known_is_unknown_with_the_way_out_named(tree: Tree) -> None:
    everything = dict.fromkeys(("memory", "physical_cores", "logical_cores", "affinity"), broken)
    facts = read_host(tree({}), counters(**everything), Limits())
    assert facts.memory_total_bytes is None
    assert facts.memory_available_bytes is None
    assert facts.cpu.cores_usable >= 1
    assert any("--ram" in note for note in facts.notes)


def test_where_affinity_leaves_both_threads_of_a_core_it_is_one_core(tree: Tree) -> None:
    folder = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    here = tree(
        {
            "/proc/self/status": "Cpus_allowed_list:\t0,8,1\n",
            **{folder.format(cpu): text for cpu, text in ((0, "0,8"), (8, "0,8"), (1, "1,9"))},
        }
    )
    facts = read_host(here, counters(affinity=3), Limits())
    assert facts.cpu.cores_usable == 2
    assert facts.source["cpu.cores_usable"] == "CPU affinity or cpuset"


def test_a_cpuset_counts_where_the_scheduler_cannot_be_asked(tree: Tree) -> None:
    here = tree({"/proc/self/status": "Cpus_allowed_list:\t0-1\n"})
    assert read_host(here, counters(affinity=None), Limits()).cpu.cores_usable == 2


def test_instruction_sets_of_servers(tree: Tree) -> None:
    flags = "avx2 avx512f avx512bw avx512_vnni avx_vnni amx_tile amx_int8 amx_bf16 made_up"
    cpu = read_host(tree({"/proc/cpuinfo": f"flags\t: {flags}\n"}), counters(), Limits()).cpu
    assert set(cpu.isa) == set(flags.split()) - {"made_up"}


def test_where_there_is_no_cpuinfo_the_system_is_asked(tree: Tree) -> None:
    asked = counters(cpu_name="Intel(R) Core(TM) i7", features=("avx", "avx2"))
    cpu = read_host(tree({}), asked, Limits()).cpu
    assert (cpu.name, cpu.isa) == ("Intel(R) Core(TM) i7", ("avx", "avx2"))
    silent = read_host(tree({}), counters(cpu_name=broken, features=broken), Limits()).cpu
    assert silent.isa == ()
    assert silent.name


def test_swap_is_no_memory(tree: Tree) -> None:
    meminfo = "MemTotal: 1024 kB\nMemAvailable: 512 kB\nSwapTotal: 9999999 kB\nSwapFree: 9999999 kB\n"
    facts = read_host(tree({"/proc/meminfo": meminfo}), counters(memory=broken), Limits())
    assert (facts.memory_total_bytes, facts.memory_available_bytes) == (1024 * 1024, 512 * 1024)


def test_a_hybrid_processor_is_said(tree: Tree) -> None:
    here = tree({"/sys/devices/cpu_core/cpus": "0-15\n", "/sys/devices/cpu_atom/cpus": "16-31\n"})
    assert any("16 threads on performance and 16" in note for note in read_host(here, counters(), Limits()).notes)


def test_macos_kernel_values_name_the_chip_and_its_features(tree: Tree) -> None:
    cpu = read_host(tree({}), counters(), Limits()).cpu
    values = {
        "machdep.cpu.brand_string": "Apple M2",
        "hw.optional.arm.FEAT_I8MM": "1",
        "hw.optional.arm.FEAT_SME": "0",
    }
    better = apple_cpu(cpu, values)
    assert (better.name, better.isa) == ("Apple M2", ("asimd", "i8mm"))
    assert apple_cpu(cpu, {}) == cpu


def test_intel_macs_spell_their_features_their_own_way(tree: Tree) -> None:
    cpu = read_host(tree({}), counters(), Limits()).cpu
    values = {
        "machdep.cpu.brand_string": "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz",
        "machdep.cpu.features": "FPU SSE4.2 AVX1.0 FMA F16C",
        "machdep.cpu.leaf7_features": "AVX2 BMI2 AVX512F",
    }
    assert apple_cpu(cpu, values).isa == ("sse4_2", "avx", "f16c", "fma", "avx2", "bmi2", "avx512f")


def test_the_real_counters_answer_here() -> None:
    real = system_counters()
    total, available = real.memory()
    assert 0 < available <= total
    assert (real.logical_cores() or 0) >= 1
