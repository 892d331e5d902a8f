"""NVIDIA cards through the real binding, in the real child process, against a fake driver library."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from planner.core.machines.hardware import Backend, DeviceKind, DeviceSpec
from planner.probe.nvidia.answer import Status, folder_of_binding, read
from planner.probe.nvidia.child import library_problem
from planner.probe.nvidia.gpus import probe_nvidia
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.units import GIB
from tests.probe.conftest import Ask, FakeDriver, write_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")

CARD_FILES = {
    "/sys/class/drm/card0/device": "-> ../../../devices/pci0000:00/0000:01:00.0",
    "/sys/devices/pci0000:00/0000:01:00.0/vendor": "0x10de\n",
    "/sys/devices/pci0000:00/0000:01:00.0/device": "0x2684\n",
    "/usr/share/misc/pci.ids": "10de  NVIDIA Corporation\n\t2684  AD102 [GeForce RTX 4090]\n10df  Other\n",
}


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


def test_a_card_no_id_database_names_is_known_by_its_pci_id(
    specs: tuple[DeviceSpec, ...], tree: Callable[[Mapping[str, str]], Surroundings]
) -> None:
    files = {name: text for name, text in CARD_FILES.items() if not name.endswith("pci.ids")}
    (card,) = probe_nvidia(tree(files), specs, host_memory_bytes=None).devices
    assert (card.slug, card.usable) == ("geforce-rtx-4090", False)


@pytest.mark.parametrize(("value", "said"), [("void", True), ("none", True), ("all", False), (None, False)])
def test_a_container_started_without_gpus_is_told_so(
    specs: tuple[DeviceSpec, ...], fake_nvml: Path, tmp_path: Path, value: str | None, said: bool
) -> None:
    environ = {} if value is None else {"NVIDIA_VISIBLE_DEVICES": value}
    here = Surroundings(
        root=write_tree(tmp_path, CARD_FILES),
        environ=environ,
        run=FakeDriver(fake_nvml, mode="none"),
        platform="linux",
    )
    (note,) = probe_nvidia(here, specs, host_memory_bytes=None).notes
    assert (f"NVIDIA_VISIBLE_DEVICES={value}" in note) == said


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


def test_cards_behind_one_that_hangs_are_listed_as_unknown(ask: Ask) -> None:
    finding = ask(mode="eight", hang="nvmlDeviceGetName:5", timeout_s=2.0)
    assert [device.usable for device in finding.devices] == [True] * 5 + [False] * 3
    assert [device.id for device in finding.devices] == [f"cuda:{n}" for n in range(8)]
    assert any("within 2 s at GPU 5" in note for note in finding.notes)


def test_a_hang_at_what_is_only_good_to_know_costs_no_card(ask: Ask) -> None:
    finding = ask(hang="nvmlDeviceGetEnforcedPowerLimit:0", timeout_s=2.0)
    assert [device.usable for device in finding.devices] == [True, True]
    assert finding.devices[0].power_limit_w is None
    assert any("within 2 s at GPU 0" in note for note in finding.notes)


def test_a_driver_that_crashes_takes_no_one_with_it(ask: Ask) -> None:
    finding = ask(mode="crash")
    first, second = finding.devices
    assert (first.usable, second.usable) == (True, False)
    assert any("crashed" in note and "signal 11" in note for note in finding.notes)


@pytest.mark.parametrize("mode", ["noisy", "unload_crash"])
def test_chatter_and_a_bad_end_change_nothing(ask: Ask, mode: str) -> None:
    finding = ask(mode=mode)
    assert [d.slug for d in finding.devices] == ["geforce-rtx-4090", "tesla-t4"]


@pytest.mark.parametrize("variables", [{"mode": "zero"}, {"fail": "nvmlDeviceGetMemoryInfo*:3:0"}])
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


# --- the child -----------------------------------------------------------------------------------------------------


def test_a_library_that_cannot_be_loaded_is_said_with_the_loaders_words(
    specs: tuple[DeviceSpec, ...], tmp_path: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "libnvidia-ml.so.1").write_text("no library")
    finding = Ask(specs, library, tmp_path)()
    assert finding.devices == ()
    assert any("library cannot be loaded" in note and "libnvidia-ml.so.1" in note for note in finding.notes)


def test_a_missing_binding_is_said_where_there_is_a_driver(
    specs: tuple[DeviceSpec, ...], fake_nvml: Path, tmp_path: Path
) -> None:
    def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        return FakeDriver(fake_nvml)([*argv[:-1], str(tmp_path)], timeout_s, extra_env)

    here = Surroundings(root=tmp_path, environ={}, run=run, platform="linux")
    (note,) = probe_nvidia(here, specs, host_memory_bytes=None, timeout_s=20).notes
    assert "nvidia-ml-py" in note
    assert "pynvml" in note


def test_where_the_quick_start_fails_the_child_is_started_the_ordinary_way(
    specs: tuple[DeviceSpec, ...], fake_nvml: Path, tmp_path: Path
) -> None:
    started: list[Sequence[str]] = []

    def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        started.append(argv)
        if "-S" in argv:
            return Finished(1, "", error="")
        return FakeDriver(fake_nvml)(argv, timeout_s, extra_env)

    here = Surroundings(root=tmp_path, environ={}, run=run, platform="linux")
    finding = probe_nvidia(here, specs, host_memory_bytes=None, timeout_s=20)
    assert [device.slug for device in finding.devices] == ["geforce-rtx-4090", "tesla-t4"]
    assert ["-S" in argv for argv in started] == [True, False]


@pytest.mark.parametrize("file", ["pynvml.py", "pynvml/__init__.py"])
def test_the_binding_is_found_as_a_module_or_a_package_without_being_imported(tmp_path: Path, file: str) -> None:
    assert folder_of_binding([str(tmp_path / "empty"), str(tmp_path)]) is None
    write_tree(tmp_path / "full", {file: "raise SystemExit"})
    assert folder_of_binding([str(tmp_path / "empty"), str(tmp_path / "full")]) == str(tmp_path / "full")
    assert folder_of_binding() is not None


def test_a_child_that_crashed_is_not_started_again(specs: tuple[DeviceSpec, ...], tmp_path: Path) -> None:
    started: list[Sequence[str]] = []

    def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        del timeout_s, extra_env
        started.append(argv)
        return Finished(-11, "")

    here = Surroundings(root=tmp_path, environ={}, run=run, platform="linux")
    (note,) = probe_nvidia(here, specs, host_memory_bytes=None).notes
    assert "crashed" in note
    assert len(started) == 1


def test_odd_lines_of_the_child_are_left_out() -> None:
    lines = [
        "no json", '{"card": 3}', "[" * 100_000, '{"status": {"count": "many"}}', '{"more": {"index": 7}}',
        '{"status": {"count": 1}}', '{"asking": 0}', '{"card": {"index": 0, "name": "A"}}', '{"card": {"ind',
    ]  # fmt: skip
    answer = read(Finished(1, "\n".join(lines)), 3.0)
    assert answer.status == Status(count=1)
    assert [card.name for card in answer.cards] == ["A"]
    assert answer.asking == 0
    assert answer.ending


@pytest.mark.parametrize("platform", ["linux", "win32"])
def test_on_windows_the_binding_looks_for_the_library_itself(platform: str) -> None:
    if platform == "linux" and library_problem() != "":
        pytest.skip("this machine has NVIDIA's library")
    assert library_problem(platform) == ("" if platform == "linux" else None)
