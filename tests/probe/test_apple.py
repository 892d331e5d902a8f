"""Apple chips from what sysctl and system_profiler print."""

import json
from collections.abc import Mapping, Sequence

import pytest

from planner.core.machines.hardware import Backend, DeviceKind, DeviceSpec
from planner.probe.apple import probe_apple
from planner.probe.surroundings import Finding, Finished, Surroundings
from planner.units import GIB, MIB

Specs = tuple[DeviceSpec, ...]


def displays(model: str, cores: str | None, **more: str) -> str:
    """What system_profiler prints for an Apple chip with a display."""
    entry: dict[str, object] = {
        "_name": model,
        "spdisplays_mtlgpufamilysupport": "spdisplays_metal3",
        "spdisplays_ndrvs": [{"_name": "Color LCD", "_spdisplays_pixels": "3456 x 2234", "spdisplays_main": "yes"}],
        "spdisplays_vendor": "sppci_vendor_Apple",
        "sppci_bus": "spdisplays_builtin",
        "sppci_device_type": "spdisplays_gpu",
        "sppci_model": model,
        **more,
    }
    if cores is not None:
        entry["sppci_cores"] = cores
    return json.dumps({"SPDisplaysDataType": [entry]})


def registry(model: str, cores: int) -> str:
    """What ioreg prints for the accelerator."""
    return (
        "+-o AGXAcceleratorG14X  <class AGXAcceleratorG14X, id 0x1000003e5, registered, matched, active, busy 0>\n"
        '    {\n      "IOClass" = "AGXAcceleratorG14X"\n      "vendor-id" = <6b100000>\n'
        f'      "model" = "{model}"\n      "gpu-core-count" = {cores}\n'
        '      "PerformanceStatistics" = {"Device Utilization %"=3,"In use system memory"=412483584}\n    }\n'
    )


RADEON = json.dumps({
    "SPDisplaysDataType": [
        {
            "_name": "Intel UHD Graphics 630", "spdisplays_device-id": "0x3e9b", "spdisplays_vendor": "Intel",
            "spdisplays_vram_shared": "1536 MB", "sppci_bus": "spdisplays_builtin",
            "sppci_model": "Intel UHD Graphics 630",
        },
        {
            "_name": "AMD Radeon Pro 5500M", "spdisplays_device-id": "0x7340", "spdisplays_vram": "8 GB",
            "spdisplays_vendor": "sppci_vendor_amd", "spdisplays_pcie_width": "x16",
            "sppci_bus": "spdisplays_pcie_device", "sppci_model": "AMD Radeon Pro 5500M",
        },
    ]
})  # fmt: skip


class Mac:
    """Answers the three programs; None is a program that hangs."""

    def __init__(self, sysctl: Mapping[str, object], profiler: str | None, ioreg: str | None = "") -> None:
        self.sysctl, self.profiler, self.ioreg = sysctl, profiler, ioreg
        self.asked: list[str] = []
        self.waited_s = 0.0

    def __call__(self, argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        assert timeout_s > 0
        self.asked.append(argv[0].rpartition("/")[2])
        if self.asked[-1] == "sysctl":
            # sysctl prints what it knows and exits 1 for the rest.
            return Finished(1, "".join(f"{key}: {value}\n" for key, value in self.sysctl.items()))
        answer = self.profiler if self.asked[-1] == "system_profiler" else self.ioreg
        self.waited_s += timeout_s if answer is None else 0
        return Finished(None, "", timed_out=True) if answer is None else Finished(0, answer)


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


@pytest.mark.parametrize(
    ("chip", "cores", "slug", "bandwidth_gbps"),
    [
        ("Apple M1", "8", "apple-m1-8c", 68.25),
        ("Apple M1", "7", "apple-m1-7c", 68.25),
        ("Apple M2 Ultra", "76", "apple-m2-ultra-76c", 800),
        ("Apple M4 Max", "40", "apple-m4-max-40c", 546),
        ("Apple M4 Max", "32", "apple-m4-max-32c", 410),
        ("Apple M5", "10", "apple-m5-10c", 153),
    ],
)
def test_chips_are_told_apart_by_their_cores(
    specs: Specs, chip: str, cores: str, slug: str, bandwidth_gbps: float
) -> None:
    mac = Mac(values(64, chip), displays(chip, cores))
    (device,) = ask(specs, mac).devices
    assert (device.slug, device.gpu_cores) == (slug, int(cores))
    assert device.memory_bandwidth_gbps == pytest.approx(bandwidth_gbps, rel=0.01)
    assert device.source["gpu_cores"] == "system_profiler"
    assert mac.asked == ["sysctl", "system_profiler"]


def test_a_limit_set_by_the_user_is_the_budget(specs: Specs) -> None:
    mac = Mac(values(128, "Apple M3 Max", **{"iogpu.wired_limit_mb": 114688}), displays("Apple M3 Max", "40"))
    finding = ask(specs, mac)
    assert finding.devices[0].memory_budget_bytes == 114688 * MIB
    assert finding.devices[0].source["memory_budget_bytes"] == "iogpu.wired_limit_mb"
    assert any("112.0 GiB" in note for note in finding.notes)


def test_a_limit_beyond_the_memory_is_the_memory(specs: Specs) -> None:
    mac = Mac(values(16, "Apple M3", **{"iogpu.wired_limit_mb": 999999}), displays("Apple M3", "10"))
    assert ask(specs, mac).devices[0].memory_budget_bytes == 16 * GIB


def test_before_macos_14_the_limit_has_another_key_and_counts_bytes(specs: Specs) -> None:
    sysctl = values(64, "Apple M1 Max", **{"debug.iogpu.wired_limit": 56 * GIB})
    del sysctl["iogpu.wired_limit_mb"]
    (device,) = ask(specs, Mac(sysctl, displays("Apple M1 Max", "32"))).devices
    assert device.memory_budget_bytes == 56 * GIB
    assert device.source["memory_budget_bytes"] == "debug.iogpu.wired_limit"


@pytest.mark.parametrize("limits", [{}, {"iogpu.wired_limit_mb": 0}, {"debug.iogpu.wired_limit": 0}])
def test_without_a_limit_the_budget_is_a_share_and_said_to_be_estimated(
    specs: Specs, limits: dict[str, object]
) -> None:
    sysctl = values(64, "Apple M1 Max") | limits
    if not limits:
        del sysctl["iogpu.wired_limit_mb"]
    (device,) = ask(specs, Mac(sysctl, displays("Apple M1 Max", "32"))).devices
    assert device.memory_budget_bytes == 48 * GIB
    assert device.source["memory_budget_bytes"].startswith("estimated")


def test_a_hanging_profiler_leaves_chip_and_memory(specs: Specs) -> None:
    mac = Mac(values(64), None, None)
    finding = ask(specs, mac)
    (device,) = finding.devices
    assert device.memory_budget_bytes == 48 * GIB
    assert device.gpu_cores in {None, 60, 76}
    # Both M2 Ultras have the same bandwidth, so the core count is not needed for it.
    assert device.memory_bandwidth_gbps == 800
    assert any("system_profiler" in note for note in finding.notes)
    assert mac.waited_s <= 2.0


def test_the_registry_counts_cores_where_the_profiler_does_not(specs: Specs) -> None:
    for profiler in (None, "", displays("Apple M4 Max", None)):
        finding = ask(specs, Mac(values(64, "Apple M4 Max"), profiler, registry("Apple M4 Max", 40)))
        (device,) = finding.devices
        assert (device.slug, device.gpu_cores) == ("apple-m4-max-40c", 40)
        assert device.source["gpu_cores"] == "ioreg"
        assert finding.notes == ()


def test_a_chip_of_two_bandwidths_without_core_count_stays_unknown(specs: Specs) -> None:
    finding = ask(specs, Mac(values(64, "Apple M4 Max"), None))
    assert finding.devices[0].memory_bandwidth_gbps is None
    assert any("--bandwidth" in note for note in finding.notes)


def test_rosetta_is_said(specs: Specs) -> None:
    mac = Mac(values(16, "VirtualApple @ 2.50GHz", **{"sysctl.proc_translated": 1}), displays("Apple M1", "8"))
    finding = ask(specs, mac)
    assert finding.devices[0].slug == "apple-m1-8c"
    assert any("Rosetta" in note for note in finding.notes)


def test_rosetta_hides_the_chip_from_sysctl_and_not_from_the_registry(specs: Specs) -> None:
    mac = Mac(values(16, "VirtualApple @ 2.50GHz", **{"sysctl.proc_translated": 1}), None, registry("Apple M1", 7))
    (device,) = ask(specs, mac).devices
    assert (device.name, device.slug) == ("Apple M1", "apple-m1-7c")


def test_the_graphics_of_an_intel_mac_are_listed_and_not_used(specs: Specs) -> None:
    mac = Mac(values(32, "Intel(R) Core(TM) i9-9980HK CPU @ 2.40GHz"), RADEON)
    finding = ask(specs, mac)
    assert [(d.name, d.usable, d.memory_total_bytes) for d in finding.devices] == [
        ("Intel UHD Graphics 630", False, None),
        ("AMD Radeon Pro 5500M", False, 8 * GIB),
    ]
    assert all(d.memory_budget_bytes is None for d in finding.devices)
    assert any("5500M" in note for note in finding.notes)
    assert "ioreg" not in mac.asked


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
