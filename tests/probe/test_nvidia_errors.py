"""Every error NVML knows on every query, through the real binding: it costs one field, or one card.

One run has a card per error code, each failing with its own at the same query, and a sound one. Queries that are not
about a card fail one code after the other in one process, and the probe is given what each round printed.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from planner.core.machines.hardware import Device, DeviceSpec
from planner.probe.nvidia.gpus import probe_nvidia
from planner.probe.surroundings import Finding, Finished, Surroundings
from tests.probe.conftest import Ask, FakeDriver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")

CODES = [*range(1, 31), 999]
"""NVML's errors; the library's header has 31 beside success."""
GONE = {15, 16}
UNKNOWN = 999

# What planning needs: here an unknown error is taken for a broken card.
NEEDED = [
    "nvmlDeviceGetName",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetPciInfo_v3",
    "nvmlDeviceGetMemoryInfo*",
    "nvmlDeviceGetCudaComputeCapability",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetMigMode",
]
# What is good to know: a card that fails here works.
TRIMMINGS = {
    "nvmlDeviceGetMemoryInfo_v2": "memory_used_bytes",
    "nvmlDeviceGetCurrPcieLinkGeneration": "pcie_link.generation",
    "nvmlDeviceGetCurrPcieLinkWidth": "pcie_link.lanes",
    "nvmlDeviceGetMaxPcieLinkGeneration": "pcie_link.max_generation",
    "nvmlDeviceGetMaxPcieLinkWidth": "pcie_link.max_lanes",
    "nvmlDeviceGetEnforcedPowerLimit": "power_limit_w",
}
# What an older driver is asked instead.
OLDER = [
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetPowerManagementLimit",
    "nvmlDeviceGetComputeRunningProcesses_v2",
    "nvmlDeviceGetGraphicsRunningProcesses_v2",
]
SYSTEM = ["nvmlSystemGetDriverVersion", "nvmlSystemGetCudaDriverVersion*", "nvmlSystemGetProcessName"]

WALK = """
import json, os, sys
sys.path += sys.argv[3:]
import pynvml
from planner.probe.nvidia.ask import report
for code in json.loads(sys.argv[2]):
    os.environ["FAKE_NVML_FAIL"] = f"{sys.argv[1]}:{code}"
    print(json.dumps([code, "\\n".join(map(json.dumps, report(pynvml)))]))
"""


def cards_that_fail(ask: Ask, query: str) -> dict[int, Device]:
    """One card per code that fails with it; the sound one beside them is checked here."""
    finding = ask(
        cards=f"4090*{len(CODES)},t4",
        fail=";".join(f"{query}:{code}:{index}" for index, code in enumerate(CODES)),
    )
    *failing, sound = finding.devices
    assert (sound.slug, sound.usable) == ("tesla-t4", True)
    assert len(failing) == len(CODES)
    assert len({device.id for device in finding.devices}) == len(finding.devices)
    for index, device in enumerate(failing):
        # Whoever cannot be used says so, and is never planned for.
        assert device.usable or (device.note and device.memory_budget_bytes is None)
        assert device.usable or any(f"(GPU {index})" in note for note in finding.notes)
    return dict(zip(CODES, failing, strict=True))


@pytest.mark.parametrize("query", NEEDED)
def test_every_error_on_a_query_costs_one_field_or_one_card(ask: Ask, query: str) -> None:
    for code, device in cards_that_fail(ask, query).items():
        if code in GONE or code == UNKNOWN:
            assert not device.usable, code
        elif query == "nvmlDeviceGetMemoryInfo*":
            assert not device.usable, code
            assert device.memory_total_bytes is None
        else:
            assert device.usable, code
            assert device.memory_total_bytes == 24 * 2**30
            assert device.slug == ("geforce-rtx-4090" if query != "nvmlDeviceGetName" else device.slug)
            if query == "nvmlDeviceGetPciInfo_v3":
                assert device.pci_id is None
            if query == "nvmlDeviceGetComputeRunningProcesses_v3" and code != 13:
                assert [holder.pid for holder in device.holders if holder.pid == 4242] in ([], [4242])


@pytest.mark.parametrize("query", TRIMMINGS)
def test_every_error_on_a_query_that_is_good_to_know_costs_that_field(ask: Ask, query: str) -> None:
    for code, device in cards_that_fail(ask, query).items():
        assert device.usable == (code not in GONE), code
        if not device.usable:
            continue
        assert device.memory_free_bytes
        assert device.memory_used_bytes is not None
        # The limit that is set stands in for the one in force.
        assert device.power_limit_w == (450 if query == "nvmlDeviceGetEnforcedPowerLimit" else 400)
        assert device.pcie_link is not None
        known = {name: getattr(device.pcie_link, name) for name in device.pcie_link.__struct_fields__}
        field = TRIMMINGS[query].removeprefix("pcie_link.")
        assert {name for name, value in known.items() if value is None} == ({field} & set(known))


def test_every_error_on_opening_a_card_costs_the_card(ask: Ask) -> None:
    for code, device in cards_that_fail(ask, "nvmlDeviceGetHandleByIndex_v2").items():
        assert not device.usable, code
        assert device.memory_total_bytes is None


@pytest.mark.parametrize("query", OLDER)
def test_every_error_on_a_query_for_older_drivers_costs_one_field_or_one_card(
    specs: tuple[DeviceSpec, ...], old_nvml: Path, tmp_path: Path, query: str
) -> None:
    for code, device in cards_that_fail(Ask(specs, old_nvml, tmp_path), query).items():
        lost = code in GONE or (code == UNKNOWN and query != "nvmlDeviceGetPowerManagementLimit")
        assert device.usable == (not lost and query != "nvmlDeviceGetMemoryInfo"), code
        if device.usable:
            assert device.memory_total_bytes == 24 * 2**30
            assert device.power_limit_w == (450 if query != "nvmlDeviceGetPowerManagementLimit" else None)


def rounds(library: Path, query: str, specs: tuple[DeviceSpec, ...], tmp_path: Path) -> Mapping[int, Finding]:
    """What the probe makes of each code at a query, from what the real binding made of it in one process."""
    import json

    import pynvml

    package, binding = str(Path(__file__).parents[2]), str(Path(pynvml.__file__).parent)
    argv = [sys.executable, "-S", "-P", "-c", WALK, query, json.dumps(CODES), package, binding]
    finished = FakeDriver(library)(argv, 60.0, {})
    assert finished.returncode == 0
    printed = dict(map(json.loads, finished.output.splitlines()))
    assert list(printed) == CODES

    def probe(output: str) -> Finding:
        def run(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
            del argv, timeout_s, extra_env
            return Finished(0, output)

        here = Surroundings(root=tmp_path, environ={}, run=run, platform="linux")
        return probe_nvidia(here, specs, host_memory_bytes=None)

    return {code: probe(output) for code, output in printed.items()}


@pytest.mark.parametrize("query", SYSTEM)
def test_every_error_on_a_query_about_the_driver_costs_that_answer(
    fake_nvml: Path, specs: tuple[DeviceSpec, ...], tmp_path: Path, query: str
) -> None:
    for code, finding in rounds(fake_nvml, query, specs, tmp_path).items():
        assert [device.usable for device in finding.devices] == [True, True], code
        assert ("nvidia" in finding.drivers) == (query != "nvmlSystemGetDriverVersion")
        assert ("cuda" in finding.drivers) == (query != "nvmlSystemGetCudaDriverVersion*")


def test_every_error_on_starting_the_library_is_no_more_than_a_note(
    fake_nvml: Path, specs: tuple[DeviceSpec, ...], tmp_path: Path
) -> None:
    for code, finding in rounds(fake_nvml, "nvmlInitWithFlags", specs, tmp_path).items():
        assert finding.devices == ()
        # A machine without card and driver is no fault, and needs no note.
        assert bool(finding.notes) == (code not in {9, 12}), code


def test_every_error_on_counting_the_cards_is_no_more_than_a_note(
    fake_nvml: Path, specs: tuple[DeviceSpec, ...], tmp_path: Path
) -> None:
    for code, finding in rounds(fake_nvml, "nvmlDeviceGetCount_v2", specs, tmp_path).items():
        assert finding.devices == ()
        assert bool(finding.notes) == (code not in {9, 12}), code


MIG_QUERIES = [
    "nvmlDeviceGetMaxMigDeviceCount",
    "nvmlDeviceGetGpuInstanceId",
    "nvmlDeviceGetComputeInstanceId",
    "nvmlDeviceGetAttributes_v2",
]


@pytest.mark.parametrize("query", MIG_QUERIES)
def test_every_error_on_a_query_about_instances_leaves_the_rest(ask: Ask, query: str) -> None:
    finding = ask(
        cards=f"a100mig*{len(CODES)},a100mig",
        fail=";".join(f"{query}:{code}:{index}" for index, code in enumerate(CODES)),
    )
    names = [device.name for device in finding.devices]
    counted = query == "nvmlDeviceGetMaxMigDeviceCount"
    assert names.count("NVIDIA A100-SXM4-80GB MIG 3g.40gb") == (1 if counted else len(CODES) + 1)
    assert [d.memory_budget_bytes for d in finding.devices if d.usable] == [39 * 2**30]
    assert all(d.memory_total_bytes != 80 * 2**30 for d in finding.devices)


@pytest.mark.parametrize("code", [4, 15, 999])
def test_an_instance_that_cannot_be_opened_is_not_counted(ask: Ask, code: int) -> None:
    finding = ask(mode="mig", fail=f"nvmlDeviceGetMigDeviceHandleByIndex:{code}")
    (card,) = finding.devices
    assert not card.usable
    assert card.memory_total_bytes is None
    assert any("GPU 0" in note for note in finding.notes)
