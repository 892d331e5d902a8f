"""All sources together: any subset of answers is a machine, and no source can hold up or break the rest."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import psutil
import pytest

from planner.core.machines.hardware import Backend, BandwidthBasis, Device, DeviceKind, DeviceSpec, Vendor
from planner.core.machines.overrides import hardware_from_json
from planner.core.pages.views import hardware_view
from planner.probe.host import Question, Source, probe
from planner.probe.machine_store import StoredBandwidth, machine_file, machine_id, write_bandwidth
from planner.probe.surroundings import Finding, Finished, Surroundings, run_program
from planner.probe.system.cpu import Counters
from planner.units import GIB
from tests.probe.conftest import FakeDriver, write_tree

Specs = tuple[DeviceSpec, ...]
Tree = Callable[[Mapping[str, str]], Surroundings]

COUNTERS = Counters(
    memory=lambda: (32 * GIB, 20 * GIB), physical_cores=lambda: 8, logical_cores=lambda: 16, affinity=lambda: 16
)


def device(name: str = "Card", **fields: object) -> Device:
    basis: dict[str, object] = {
        "id": "cuda:0", "name": name, "slug": name.lower(), "vendor": Vendor.NVIDIA, "backend": Backend.CUDA,
        "kind": DeviceKind.DISCRETE, "memory_total_bytes": 8 * GIB, "memory_free_bytes": 8 * GIB,
        "memory_budget_bytes": 8 * GIB,
    }  # fmt: skip
    return msgspec.convert(basis | fields, Device)


def finds(*devices: Device) -> Source:
    return lambda question: Finding(devices)


def fails(question: Question) -> Finding:
    raise RuntimeError("bad day")


@pytest.fixture
def hangs() -> "threading.Event":
    return threading.Event()


def test_a_failing_and_a_hanging_source_cost_only_their_own_answer(
    specs: Specs, tree: Tree, hangs: threading.Event
) -> None:
    def hang(question: Question) -> Finding:
        hangs.wait(60)
        return Finding()

    sources: dict[str, Source] = {"Broken": fails, "Stuck": hang, "Good": finds(device())}
    machine = probe(specs, deadline_s=0.5, here=tree({}), counters=COUNTERS, sources=sources)
    hangs.set()
    assert [d.name for d in machine.devices] == ["Card"]
    assert any(note.startswith("Broken:") and "bad day" in note for note in machine.notes)
    assert any(note.startswith("Stuck: no answer after") for note in machine.notes)
    assert machine.host.memory_total_bytes == 32 * GIB


def test_nothing_at_all_is_a_machine_too(specs: Specs, tree: Tree) -> None:
    def unknown() -> tuple[int, int]:
        raise OSError

    counters = Counters(
        memory=unknown, physical_cores=lambda: None, logical_cores=lambda: None, affinity=lambda: None
    )
    machine = probe(specs, here=tree({}), counters=counters)
    assert machine.devices == ()
    assert machine.host.memory_total_bytes is None
    assert machine.host.cpu.cores_usable >= 1


def test_integrated_graphics_are_not_used_beside_a_card(specs: Specs, tree: Tree) -> None:
    sources = {"a": finds(device("Card")), "b": finds(device("Chip", kind="unified", vendor="intel"))}
    card, chip = probe(specs, here=tree({}), counters=COUNTERS, sources=sources).devices
    assert (card.usable, chip.usable) == (True, False)
    assert "Card" in chip.note


@pytest.mark.parametrize(
    ("vendor", "peak", "usable"),
    [
        ("intel", 0.79, False),
        ("amd", 0.56, False),
        ("intel", 1.69, True),
        ("intel", None, True),
        ("nvidia", 0.24, True),
    ],
)
def test_integrated_graphics_weaker_than_the_processor_are_not_used(
    specs: Specs, tree: Tree, vendor: str, peak: float | None, usable: bool
) -> None:
    chip = device("Chip", kind="unified", vendor=vendor, fp32_tflops=peak)
    (found,) = probe(specs, here=tree({}), counters=COUNTERS, sources={"a": finds(chip)}).devices
    assert found.usable is usable
    assert ("processor" in found.note) is not usable


def test_what_shares_the_hosts_memory_has_its_free_memory_and_bandwidth(specs: Specs, tree: Tree) -> None:
    chip = device(
        "Chip", kind="unified", memory_total_bytes=32 * GIB, memory_free_bytes=None, memory_bandwidth_gbps=99
    )
    machine = probe(specs, here=tree({}), counters=COUNTERS, sources={"a": finds(chip)})
    assert machine.devices[0].memory_free_bytes == 20 * GIB
    assert machine.host.memory_bandwidth_gbps == 99
    assert "Chip" in machine.host.source["memory_bandwidth_gbps"]


def test_wsl_is_said(specs: Specs, tree: Tree) -> None:
    here = tree({"/proc/version": "Linux version 6.6.87.2-microsoft-standard-WSL2\n"})
    assert any("WSL" in note for note in probe(specs, here=here, counters=COUNTERS, sources={}).notes)


def test_a_whole_machine_from_a_fake_driver_and_a_recorded_tree(
    specs: Specs, fake_nvml: Path, tmp_path: Path
) -> None:
    root = write_tree(
        tmp_path,
        {
            "/sys/class/drm/card1/device/vendor": "0x8086",
            "/sys/class/drm/card1/device/device": "0x9a49",
            "/sys/class/drm/card1/device/uevent": "PCI_SLOT_NAME=0000:00:02.0",
            "/sys/class/drm/card0/device/vendor": "0x10de",
            "/sys/class/drm/card0/device/device": "0x2684",
            "/sys/class/drm/card0/device/uevent": "PCI_SLOT_NAME=0000:01:00.0",
            "/proc/self/cgroup": "0::/\n",
            "/sys/fs/cgroup/memory.max": f"{8 * GIB}",
        },
    )
    here = Surroundings(root=root, environ={}, run=FakeDriver(fake_nvml, mode="two"), platform="linux")
    machine = probe(specs, deadline_s=30, here=here, counters=COUNTERS)
    assert [(d.slug, d.usable) for d in machine.devices] == [
        ("geforce-rtx-4090", True),
        ("tesla-t4", True),
        ("iris-xe-graphics-g7-96eu-mobile", False),
    ]
    assert machine.host.memory_total_bytes == 8 * GIB
    # What is printed as JSON describes the same machine when it is read.
    assert hardware_from_json(msgspec.json.encode(hardware_view(machine))) == machine


# --- the host's memory bandwidth ------------------------------------------------------------------------------------

UDEV = "\n".join(
    f"E:MEMORY_DEVICE_{n}_{field}"
    for n, letter in enumerate("AB")
    for field in ("SIZE=8589934592", f"LOCATOR=DIMM_{letter}1", "TYPE=DDR4", "SPEED_MTS=3200")
)


def test_memory_modules_give_speed_channels_and_bandwidth(specs: Specs, tree: Tree) -> None:
    host = probe(specs, here=tree({"/run/udev/data/+dmi:id": UDEV}), counters=COUNTERS, sources={}).host
    assert (host.memory_speed_mts, host.memory_channels, host.memory_bandwidth_gbps) == (3200, 2, 51.2)
    assert host.memory_bandwidth_basis is BandwidthBasis.SPECIFIED
    assert {"memory_speed_mts", "memory_channels", "memory_bandwidth_gbps"} <= set(host.source)


def test_a_measured_bandwidth_outranks_the_modules_and_leaves_the_gpu_its_data_sheet(
    specs: Specs, tree: Tree, tmp_path: Path
) -> None:
    chip = device("Chip", kind="unified", memory_bandwidth_gbps=99)
    here, state = tree({"/run/udev/data/+dmi:id": UDEV}), tmp_path / "state"
    plain = probe(specs, here=here, counters=COUNTERS, sources={"a": finds(chip)}, state_dir=state).host
    assert plain.memory_bandwidth_gbps == 99
    stored = StoredBandwidth(
        machine=machine_id(here, plain), memory_bandwidth_gbps=40.0, threads=8, measured_on="2026-11-03"
    )
    write_bandwidth(state, stored)
    machine = probe(specs, here=here, counters=COUNTERS, sources={"a": finds(chip)}, state_dir=state)
    assert machine.host.memory_bandwidth_gbps == 40
    assert machine.host.memory_bandwidth_basis is BandwidthBasis.MEASURED
    assert machine.host.source["memory_bandwidth_gbps"] == stored.source
    assert (machine.host.memory_speed_mts, machine.devices[0].memory_bandwidth_gbps) == (3200, 99)


def test_a_damaged_measurement_is_a_note(specs: Specs, tree: Tree, tmp_path: Path) -> None:
    here = tree({})
    path = machine_file(tmp_path, machine_id(here, probe(specs, here=here, counters=COUNTERS, sources={}).host))
    path.parent.mkdir()
    path.write_text("{")
    machine = probe(specs, here=here, counters=COUNTERS, sources={}, state_dir=tmp_path)
    assert machine.host.memory_bandwidth_gbps is None
    assert any("damaged" in note for note in machine.notes)


def test_on_macos_the_kernel_knows_the_kinds_of_cores(specs: Specs, tmp_path: Path) -> None:
    def sysctl(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        return Finished(1, "hw.perflevel0.physicalcpu: 8\nhw.perflevel1.physicalcpu: 4\n")

    here = Surroundings(root=tmp_path, environ={}, run=sysctl, platform="darwin")
    host = probe(specs, here=here, counters=COUNTERS, sources={}).host
    assert host.source["cpu.cores_physical"].endswith("8 performance and 4 efficiency cores")


def test_every_source_tells_how_long_it_took(specs: Specs, tree: Tree) -> None:
    told: dict[str, float] = {}
    sources: dict[str, Source] = {"Broken": fails, "Good": finds(device())}
    probe(specs, here=tree({}), counters=COUNTERS, sources=sources, on_timing=told.__setitem__)
    assert set(told) == {"processor and memory", "Broken", "Good"}
    assert all(seconds >= 0 for seconds in told.values())


def test_on_this_machine_it_answers(specs: Specs) -> None:
    machine = probe(specs)
    assert machine.host.memory_total_bytes
    assert machine.host.cpu.cores_usable >= 1


# --- running programs ----------------------------------------------------------------------------------------------


def test_a_program_that_hangs_is_stopped_with_its_children_and_its_words_kept(tmp_path: Path) -> None:
    script = "echo early; sleep 300 & echo $! > child; wait"
    here = tmp_path / "run.sh"
    here.write_text(script)
    finished = run_program(["sh", "-c", f"cd {tmp_path} && exec sh run.sh"], 1.0, {})
    assert finished == Finished(None, "early\n", timed_out=True)
    child = int((tmp_path / "child").read_text())
    # The signal was sent; the kernel ends it in its own time.
    while psutil.pid_exists(child):
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(child).status() in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}:
                break
        time.sleep(0.01)


@pytest.mark.parametrize("argv", [["/no/such/program"], ["/"], ["a\0b"]])
def test_a_program_that_cannot_be_started_is_an_answer(argv: Sequence[str]) -> None:
    finished = run_program(argv, 1.0, {})
    assert finished.returncode is None
    assert finished.error


def test_variables_reach_the_program_and_its_exit_status_comes_back() -> None:
    assert run_program(["sh", "-c", "echo $X; exit 3"], 10.0, {"X": "y"}) == Finished(3, "y\n")


def test_surroundings_read_nothing_that_is_not_there(tmp_path: Path) -> None:
    here = replace(Surroundings(), root=tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\x00 1")
    assert here.read("/missing") is None
    assert here.read("/") is None
    assert here.read_int("/bytes") is None
