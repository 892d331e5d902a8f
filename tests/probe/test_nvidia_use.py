"""Who holds a card's memory, and what old and new drivers tell of it."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from planner.core.machines.hardware import DeviceSpec, MemoryHolder, PcieLink
from planner.probe.nvidia.answer import Holder
from planner.probe.nvidia.ask import report
from planner.probe.nvidia.gpus import process_name
from planner.probe.surroundings import Surroundings
from planner.units import GIB, MIB
from tests.probe.conftest import Ask, runs_nothing, write_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")


def here(root: Path, files: Mapping[str, str]) -> Surroundings:
    return Surroundings(root=write_tree(root, files), environ={}, run=runs_nothing, platform="linux")


def test_the_link_the_power_limit_and_the_versions_are_told(ask: Ask) -> None:
    finding = ask()
    first, second = finding.devices
    assert first.pcie_link == PcieLink(generation=1, lanes=8, max_generation=4, max_lanes=16)
    assert (first.power_limit_w, first.tdp_w) == (400, 450)
    assert (second.power_limit_w, second.tdp_w) == (20, 70)
    assert first.source["power_limit_w"] == first.source["pcie_link"] == "NVML"
    assert "geforce-rtx-4090" in first.source["tdp_w"]
    assert finding.drivers == {"nvidia": "999.10.01", "cuda": "13.1"}


def test_what_the_driver_keeps_for_itself_is_neither_free_nor_used(ask: Ask) -> None:
    first, second = ask(reserved="512").devices
    assert (first.memory_used_bytes, first.memory_free_bytes) == (4 * GIB, 20 * GIB - 512 * MIB)
    assert first.memory_budget_bytes == first.memory_free_bytes
    assert second.memory_used_bytes == 0


def test_a_large_reserve_is_nobodys_use(ask: Ask) -> None:
    finding = ask(reserved="2048")
    assert not any("GPU 1" in note for note in finding.notes)


def test_figures_that_make_no_sense_are_unknown(ask: Ask) -> None:
    for device in ask(mode="nonsense").devices:
        assert (device.memory_free_bytes, device.memory_used_bytes) == (None, None)
        assert (device.power_limit_w, device.pcie_link) == (None, None)
        # Without a word on what is free, all of it is planned with, and that is said.
        assert device.memory_budget_bytes == device.memory_total_bytes
        assert "does not tell" in device.source["memory_budget_bytes"]


class _NoAnswerError(Exception):
    value = 3


@pytest.mark.parametrize(
    ("capability", "told"), [((8, 9), "8.9"), ((12, 0), "12.0"), ((-3, 999), None), ((0, 0), None), ((8,), None)]
)
def test_a_compute_capability_that_makes_no_sense_is_unknown(capability: object, told: str | None) -> None:
    nvml = SimpleNamespace(
        NVMLError=_NoAnswerError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCudaComputeCapability=lambda handle: capability,
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=10**18, free=10**18, used=5),
    )
    (card,) = [piece["card"] for piece in report(nvml) if "card" in piece]
    assert card.get("compute_capability") == told
    assert "total" not in card
    assert "free" not in card


def test_an_old_driver_is_asked_in_the_old_way(specs: tuple[DeviceSpec, ...], old_nvml: Path, tmp_path: Path) -> None:
    finding = Ask(specs, old_nvml, tmp_path)(reserved="512")
    first, second = finding.devices
    assert first.usable
    assert second.usable
    # It counts its own reserve as used.
    assert first.memory_used_bytes == 4 * GIB + 512 * MIB
    assert first.power_limit_w == 450
    assert [(h.pid, h.memory_bytes) for h in first.holders] == [(4242, 4 * GIB), (1200, None)]
    assert finding.drivers["cuda"] == "11.4"


def test_holders_are_named_and_listed_once_largest_first(ask: Ask, tmp_path: Path) -> None:
    write_tree(tmp_path, {"/proc/4242/comm": "python3\n", "/proc/1200/comm": "Xorg\n"})
    finding = ask(processes="2")
    assert finding.devices[0].holders == (
        MemoryHolder(4242, "python3", 4 * GIB),
        MemoryHolder(5002, "", 2 * MIB),
        MemoryHolder(5001, "", MIB),
        # The driver does not tell this one's share: it is unknown, not 0 and not 2^64 - 1.
        MemoryHolder(1200, "Xorg", None),
    )
    assert finding.devices[1].holders == ()
    (note,) = [note for note in finding.notes if " in use" in note]
    # Small shares are counted, not named.
    assert note.endswith("4.0 GiB of 24.0 GiB are in use by python3 (4242) 4.0 GiB and 3 more.")


def test_several_large_holders_are_named_with_their_shares(ask: Ask) -> None:
    (note,) = [note for note in ask(processes="200").notes if " in use" in note]
    assert "ollama.exe (4242) 4.0 GiB, process 5200 200 MiB, process 5199 199 MiB and 199 more." in note


def test_holders_of_unknown_size_are_named_without_one(ask: Ask) -> None:
    finding = ask(fail="nvmlDeviceGetComputeRunningProcesses_v3:3", processes="1")
    (note,) = [note for note in finding.notes if " in use" in note]
    assert "(4242) 4.0 GiB, process 1200." in note


def test_a_hundred_processes_are_all_listed(ask: Ask) -> None:
    assert len(ask(processes="100").devices[0].holders) == 102


@pytest.mark.parametrize(("grown", "known"), [("1", True), ("3", True), ("1000", False)])
def test_a_list_that_grows_while_it_is_read_is_read_again(ask: Ask, grown: str, known: bool) -> None:
    finding = ask(growing=grown, processes="20")
    first, second = finding.devices
    assert (4242 in {holder.pid for holder in first.holders}) == known
    assert first.usable
    assert second.usable
    assert any("in use by" in note for note in finding.notes)


def test_memory_held_by_no_visible_process_is_held_by_others(ask: Ask) -> None:
    finding = ask(fail="nvmlDeviceGetComputeRunningProcesses*:3;nvmlDeviceGetGraphicsRunningProcesses*:3")
    assert any("in use by others" in note for note in finding.notes)


def test_the_drivers_name_is_used_where_the_system_has_none(ask: Ask) -> None:
    # A path on Windows: its last part is the name.
    assert ask().devices[0].holders[0].name == "ollama.exe"


def test_a_processs_name_is_made_safe_to_print(tmp_path: Path) -> None:
    evil = {"/proc/7/comm": "\x1b]0;gone\x07 two\nlines " + "x" * 300}
    name = process_name(here(tmp_path, evil), Holder(7))
    assert name.isprintable()
    assert name.startswith("]0;gone two lines x")
    assert len(name) == 64


@pytest.mark.parametrize(
    ("maps", "name"),
    [
        ({}, ""),
        ({"/proc/7/maps": "7f00-7f01 r-xp 00000000 00:00 0 /usr/bin/cat\n"}, ""),
        ({"/proc/7/maps": "7f00-7f01 rw-s 00000000 00:06 520 /dev/nvidia0\n"}, "python3"),
    ],
)
def test_in_a_container_a_number_of_the_hosts_names_no_process_of_ours(
    tmp_path: Path, maps: Mapping[str, str], name: str
) -> None:
    files = {"/proc/self/ns/pid": "-> pid:[4026532741]", "/proc/7/comm": "python3\n", **maps}
    assert process_name(here(tmp_path, files), Holder(7, name="/usr/bin/python3")) == name


def test_on_the_host_the_system_names_it(tmp_path: Path) -> None:
    files = {"/proc/self/ns/pid": "-> pid:[4026531836]", "/proc/7/comm": "python3\n"}
    assert process_name(here(tmp_path, files), Holder(7)) == "python3"


def test_a_process_of_this_machine_has_a_name_or_none() -> None:
    assert isinstance(process_name(Surroundings(), Holder(os.getpid())), str)
