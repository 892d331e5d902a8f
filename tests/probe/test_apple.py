"""Apple chips from what sysctl and system_profiler print."""

import json
from collections.abc import Mapping, Sequence

import pytest

from planner.core.hardware import Backend, DeviceKind, DeviceSpec
from planner.probe.apple import probe_apple
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.units import GIB, MIB

Specs = tuple[DeviceSpec, ...]


def displays(model: str, cores: str | None) -> str:
    entry = {"_name": model, "sppci_model": model, "spdisplays_mtlgpufamilysupport": "spdisplays_metal3"}
    if cores is not None:
        entry["sppci_cores"] = cores
    return json.dumps({"SPDisplaysDataType": [entry]})


class Mac:
    """Answers the two programs; None is a program that hangs."""

    def __init__(self, sysctl: Mapping[str, object], profiler: str | None) -> None:
        self.sysctl, self.profiler = sysctl, profiler

    def __call__(self, argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        assert timeout_s > 0
        if argv[0].endswith("sysctl"):
            # sysctl prints what it knows and exits 1 for the rest.
            return Finished(1, "".join(f"{key}: {value}\n" for key, value in self.sysctl.items()))
        if self.profiler is None:
            return Finished(None, "", timed_out=True)
        return Finished(0, self.profiler)


def ask(specs: Specs, mac: Mac, host_memory_bytes: int | None = None) -> Finding:
    here = Surroundings(environ={}, run=mac, platform="darwin", machine="arm64")
    return probe_apple(here, specs, host_memory_bytes=host_memory_bytes)


def values(ram_gib: int, chip: str = "Apple M2 Ultra", **more: object) -> dict[str, object]:
    return {"hw.memsize": ram_gib * GIB, "machdep.cpu.brand_string": chip, "iogpu.wired_limit_mb": 0, **more}


def test_chip_cores_and_memory(specs: Specs) -> None:
    finding = ask(specs, Mac(values(192), displays("Apple M2 Ultra", "76")))
    (device,) = finding.devices
    assert (device.id, device.slug, device.gpu_cores) == ("metal:0", "apple-m2-ultra-76c", 76)
    assert (device.backend, device.kind) == (Backend.METAL, DeviceKind.UNIFIED)
    assert device.memory_total_bytes == 192 * GIB
    assert device.memory_budget_bytes == 144 * GIB
    assert device.source["memory_budget_bytes"].startswith("estimated")
    assert device.memory_bandwidth_gbps == 800
    assert finding.notes == ()


def test_a_limit_set_by_the_user_is_the_budget(specs: Specs) -> None:
    mac = Mac(values(128, "Apple M3 Max", **{"iogpu.wired_limit_mb": 114688}), displays("Apple M3 Max", "40"))
    finding = ask(specs, mac)
    assert finding.devices[0].memory_budget_bytes == 114688 * MIB
    assert finding.devices[0].source["memory_budget_bytes"] == "iogpu.wired_limit_mb"
    assert any("112.0 GiB" in note for note in finding.notes)


def test_a_limit_beyond_the_memory_is_the_memory(specs: Specs) -> None:
    mac = Mac(values(16, "Apple M3", **{"iogpu.wired_limit_mb": 999999}), displays("Apple M3", "10"))
    assert ask(specs, mac).devices[0].memory_budget_bytes == 16 * GIB


def test_a_hanging_profiler_leaves_chip_and_memory(specs: Specs) -> None:
    finding = ask(specs, Mac(values(64), None))
    (device,) = finding.devices
    assert device.memory_budget_bytes == 48 * GIB
    assert device.gpu_cores in {None, 60, 76}
    # Both M2 Ultras have the same bandwidth, so the core count is not needed for it.
    assert device.memory_bandwidth_gbps == 800
    assert any("system_profiler" in note for note in finding.notes)


def test_a_chip_of_two_bandwidths_without_core_count_stays_unknown(specs: Specs) -> None:
    finding = ask(specs, Mac(values(64, "Apple M4 Max"), None))
    assert finding.devices[0].memory_bandwidth_gbps is None
    assert any("--bandwidth" in note for note in finding.notes)


def test_rosetta_is_said(specs: Specs) -> None:
    mac = Mac(values(16, "VirtualApple @ 2.50GHz", **{"sysctl.proc_translated": 1}), displays("Apple M1", "8"))
    finding = ask(specs, mac)
    assert finding.devices[0].slug == "apple-m1-8c"
    assert any("Rosetta" in note for note in finding.notes)


def test_an_intel_mac_has_no_usable_gpu(specs: Specs) -> None:
    mac = Mac(values(32, "Intel(R) Core(TM) i9"), displays("AMD Radeon Pro 5500M", None))
    finding = ask(specs, mac)
    assert finding.devices == ()
    assert any("5500M" in note for note in finding.notes)


@pytest.mark.parametrize("answer", ["", "not json", "[]", "null", '{"SPDisplaysDataType": 3}', "[" * 100_000])
def test_nonsense_from_the_profiler_is_no_answer(specs: Specs, answer: str) -> None:
    (device,) = ask(specs, Mac(values(64), answer)).devices
    assert device.memory_total_bytes == 64 * GIB


def test_without_sysctl_the_hosts_memory_serves(specs: Specs) -> None:
    (device,) = ask(specs, Mac({}, displays("Apple M1", "8")), host_memory_bytes=16 * GIB).devices
    assert device.memory_total_bytes == 16 * GIB
    (device,) = ask(specs, Mac({}, displays("Apple M1", "8"))).devices
    assert not device.usable


def test_other_systems_are_not_asked(specs: Specs) -> None:
    here = Surroundings(environ={}, run=Mac(values(64), displays("Apple M1", "8")), platform="linux")
    assert probe_apple(here, specs, host_memory_bytes=GIB) == Finding()
