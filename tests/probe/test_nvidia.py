"""NVIDIA cards through the real binding, in the real child process, against a fake driver library."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from planner.core.hardware import Backend, Device, DeviceKind, DeviceSpec
from planner.probe.nvidia import probe_nvidia
from planner.probe.surroundings import Finding, Surroundings
from planner.units import GIB
from tests.probe.conftest import FakeDriver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")

# NVML's errors, by code; the library's header has 31 beside success.
CODES = [*range(1, 31), 999]
QUERIES = [
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetMigMode",
    "nvmlSystemGetDriverVersion",
]
GONE = {15, 16, 999}

CARD_FILES = {
    "/sys/class/drm/card0/device": "-> ../../../devices/pci0000:00/0000:01:00.0",
    "/sys/devices/pci0000:00/0000:01:00.0/vendor": "0x10de\n",
    "/sys/devices/pci0000:00/0000:01:00.0/device": "0x2684\n",
    "/usr/share/misc/pci.ids": "10de  NVIDIA Corporation\n\t2684  AD102 [GeForce RTX 4090]\n10df  Other\n",
}


class Ask:
    def __init__(self, specs: tuple[DeviceSpec, ...], library: Path, root: Path) -> None:
        self.specs, self.library, self.root = specs, library, root

    def __call__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        host_memory: int | None = 64 * GIB,
        timeout_s: float = 20.0,
        **variables: str,
    ) -> Finding:
        here = Surroundings(
            root=self.root, environ=environ or {}, run=FakeDriver(self.library, **variables), platform="linux"
        )
        return probe_nvidia(here, self.specs, host_memory_bytes=host_memory, timeout_s=timeout_s)


@pytest.fixture
def ask(specs: tuple[DeviceSpec, ...], fake_nvml: Path, tmp_path: Path) -> Ask:
    return Ask(specs, fake_nvml, tmp_path)


def by_name(finding: Finding, part: str) -> Device:
    return next(d for d in finding.devices if part in d.name)


def test_two_cards_with_what_the_driver_and_the_data_sheet_say(ask: Ask) -> None:
    finding = ask(mode="two")
    first, second = finding.devices
    assert (first.id, first.slug, first.pci_id) == ("cuda:0", "geforce-rtx-4090", "0000:01:00.0")
    assert (first.backend, first.kind, first.compute_capability) == (Backend.CUDA, DeviceKind.DISCRETE, "8.9")
    assert first.memory_total_bytes == 24 * GIB
    assert first.memory_free_bytes == first.memory_budget_bytes == 20 * GIB
    assert first.memory_bandwidth_gbps == pytest.approx(1008, rel=0.01)
    assert first.source["memory_total_bytes"] == "NVML"
    assert "geforce-rtx-4090" in first.source["memory_bandwidth_gbps"]
    assert (second.id, second.slug, second.memory_free_bytes) == ("cuda:1", "tesla-t4", 15 * GIB)
    assert all(d.usable for d in finding.devices)
    # Who holds the memory is said, because it is why a model may not fit.
    assert any("4.0 GiB of 24.0 GiB" in note and "4242" in note for note in finding.notes)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("code", CODES)
def test_every_error_on_every_query_costs_one_field_or_one_card(ask: Ask, query: str, code: int) -> None:
    finding = ask(fail=f"{query}:{code}:0")
    assert len(finding.devices) == 2
    first, second = finding.devices
    assert second.slug == "tesla-t4"
    assert second.usable
    if query == "nvmlSystemGetDriverVersion":
        assert first.usable
    elif code in GONE:
        assert not first.usable
        assert first.memory_budget_bytes is None
        assert any("GPU 0" in note for note in finding.notes)
    elif query == "nvmlDeviceGetMemoryInfo":
        assert not first.usable
        assert first.memory_total_bytes is None
        assert any("--vram" in note for note in finding.notes)
    else:
        assert first.usable
        assert first.memory_total_bytes == 24 * GIB
        if query == "nvmlDeviceGetPciInfo_v3":
            assert first.pci_id is None


@pytest.mark.parametrize("code", CODES)
def test_a_card_that_cannot_be_opened_leaves_the_other(ask: Ask, code: int) -> None:
    finding = ask(fail=f"nvmlDeviceGetHandleByIndex_v2:{code}:0")
    first, second = finding.devices
    assert (first.usable, second.usable) == (False, True)
    assert first.note


@pytest.mark.parametrize("code", CODES)
def test_no_error_at_the_start_is_more_than_a_note(ask: Ask, code: int) -> None:
    finding = ask(fail=f"nvmlInitWithFlags:{code}")
    assert finding.devices == ()
    # A machine without card and driver is no fault, and needs no note.
    assert bool(finding.notes) == (code not in {9, 12})


@pytest.mark.parametrize(
    ("code", "words"), [(18, "reboot"), (9, "not loaded"), (12, "not loaded"), (4, "permission"), (13, "too old")]
)
def test_a_card_the_driver_does_not_offer_is_listed_with_the_reason(
    specs: tuple[DeviceSpec, ...],
    fake_nvml: Path,
    tree: Callable[[Mapping[str, str]], Surroundings],
    code: int,
    words: str,
) -> None:
    here = Surroundings(
        root=tree(CARD_FILES).root,
        environ={},
        run=FakeDriver(fake_nvml, fail=f"nvmlInitWithFlags:{code}"),
        platform="linux",
    )
    finding = probe_nvidia(here, specs, host_memory_bytes=None)
    (card,) = finding.devices
    assert (card.name, card.slug, card.pci_id) == ("GeForce RTX 4090", "geforce-rtx-4090", "0000:01:00.0")
    assert not card.usable
    assert card.memory_total_bytes is None
    assert words in card.note
    assert any(words in note and "--vram" in note for note in finding.notes)


def test_an_installed_driver_without_its_library_is_said(
    specs: tuple[DeviceSpec, ...], fake_nvml: Path, tree: Callable[[Mapping[str, str]], Surroundings]
) -> None:
    root = tree({"/proc/driver/nvidia/version": "NVRM"}).root
    here = Surroundings(
        root=root, environ={}, run=FakeDriver(fake_nvml, fail="nvmlInitWithFlags:12"), platform="linux"
    )
    assert any("libnvidia-ml" in note for note in probe_nvidia(here, specs, host_memory_bytes=None).notes)


def test_a_driver_that_hangs_at_one_card_is_left_and_the_rest_kept(ask: Ask) -> None:
    finding = ask(mode="hang", timeout_s=2.0)
    first, second = finding.devices
    assert (first.slug, first.usable) == ("geforce-rtx-4090", True)
    assert not second.usable
    assert any("within 2 s at GPU 1" in note for note in finding.notes)


def test_a_driver_that_hangs_at_the_start_is_a_note(ask: Ask) -> None:
    finding = ask(mode="init_hang", timeout_s=2.0)
    assert finding.devices == ()
    assert any("did not answer within 2 s" in note for note in finding.notes)


def test_a_driver_that_crashes_takes_no_one_with_it(ask: Ask) -> None:
    finding = ask(mode="crash")
    first, second = finding.devices
    assert (first.usable, second.usable) == (True, False)
    assert any("crashed" in note and "signal 11" in note for note in finding.notes)


@pytest.mark.parametrize("mode", ["noisy", "unload_crash"])
def test_chatter_and_a_bad_end_change_nothing(ask: Ask, mode: str) -> None:
    finding = ask(mode=mode)
    assert [d.slug for d in finding.devices] == ["geforce-rtx-4090", "tesla-t4"]


def test_mig_lists_the_instances_and_never_the_parents_total(ask: Ask) -> None:
    finding = ask(mode="mig")
    assert [(d.memory_total_bytes or 0) // GIB for d in finding.devices] == [10, 20, 40]
    assert len({d.id for d in finding.devices}) == 3
    usable = [d for d in finding.devices if d.usable]
    # A process sees one instance: the one with most room is planned for.
    assert [d.memory_budget_bytes for d in usable] == [39 * GIB]
    assert usable[0].memory_bandwidth_gbps == pytest.approx(2040 * 40 / 80)
    assert any("3 MIG instances" in note for note in finding.notes)


def test_mig_without_an_instance_is_not_usable(ask: Ask) -> None:
    finding = ask(mode="mig", fail="nvmlDeviceGetMigDeviceHandleByIndex:6")
    (card,) = finding.devices
    assert not card.usable
    assert card.memory_total_bytes is None
    assert any("MIG" in note for note in finding.notes)


@pytest.mark.parametrize("variables", [{"mode": "zero"}, {"fail": "nvmlDeviceGetMemoryInfo:3:0"}])
@pytest.mark.parametrize("name", ["NVIDIA GB10", "NVIDIA Something New"])
def test_a_part_without_memory_of_its_own_has_the_hosts(ask: Ask, name: str, variables: dict[str, Any]) -> None:
    device = ask(name=name, host_memory=128 * GIB, **variables).devices[0]
    assert device.kind is DeviceKind.UNIFIED
    assert device.memory_total_bytes == 128 * GIB
    assert 0 < (device.memory_budget_bytes or 0) < 128 * GIB
    assert device.source["memory_budget_bytes"].startswith("estimated")


def test_an_unknown_card_keeps_the_drivers_memory_and_no_guessed_bandwidth(ask: Ask) -> None:
    finding = ask(name="NVIDIA GeForce RTX 9999")
    device = finding.devices[0]
    assert (device.slug, device.memory_total_bytes) == ("nvidia-geforce-rtx-9999", 24 * GIB)
    assert device.memory_bandwidth_gbps is None
    assert any("--bandwidth" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("1", ["Tesla T4"]),
        ("1,0", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        ("GPU-111", ["Tesla T4"]),
        ("0,7,1", ["NVIDIA GeForce RTX 4090"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
    ],
)
def test_cuda_visible_devices_is_honoured_and_said(ask: Ask, value: str, names: list[str]) -> None:
    finding = ask(environ={"CUDA_VISIBLE_DEVICES": value})
    usable = [d for d in finding.devices if d.usable]
    assert [d.name for d in usable] == names
    # The engine numbers what it sees from 0.
    assert [d.id for d in usable] == [f"cuda:{i}" for i in range(len(names))]
    assert all("CUDA_VISIBLE_DEVICES" in d.note for d in finding.devices if not d.usable)
    assert any(f"CUDA_VISIBLE_DEVICES={value}" in note for note in finding.notes)


def test_a_machine_without_cards_says_nothing(ask: Ask) -> None:
    assert ask(mode="none") == Finding()


def test_without_any_library_nothing_is_found_and_nothing_said(specs: tuple[DeviceSpec, ...], tmp_path: Path) -> None:
    if any(
        Path(folder, "libnvidia-ml.so.1").exists()
        for folder in ("/usr/lib", "/usr/lib64", "/usr/lib/x86_64-linux-gnu")
    ):
        pytest.skip("this machine has NVIDIA's library")
    here = Surroundings(root=tmp_path, environ={}, platform="linux")
    assert probe_nvidia(here, specs, host_memory_bytes=None, timeout_s=20) == Finding()
