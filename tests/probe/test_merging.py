"""Reports of several sources become one list: every card once, with what each source knows."""

import msgspec

from planner.core.machines.hardware import (
    Backend,
    BandwidthBasis,
    Cpu,
    Device,
    DeviceKind,
    Host,
    PcieLink,
    Vendor,
)
from planner.probe.merging import merge_devices, with_host_bandwidth
from planner.units import GIB

HOST = Host(
    os="linux",
    cpu=Cpu("cpu", 8, 8),
    memory_total_bytes=32 * GIB,
    memory_available_bytes=20 * GIB,
    memory_bandwidth_gbps=83.2,
    memory_bandwidth_basis=BandwidthBasis.SPECIFIED,
    source={"memory_bandwidth_gbps": "2 channels of 5200 MT/s"},
)


def device(name: str = "Card", **fields: object) -> Device:
    basis: dict[str, object] = {
        "id": "cuda:0", "name": name, "slug": name.lower(), "vendor": Vendor.NVIDIA, "backend": Backend.CUDA,
        "kind": DeviceKind.DISCRETE, "memory_total_bytes": 8 * GIB, "memory_free_bytes": 8 * GIB,
        "memory_budget_bytes": 8 * GIB,
    }  # fmt: skip
    return msgspec.convert(basis | fields, Device)


def test_one_card_reported_twice_is_one_with_its_native_backend() -> None:
    vulkan = device("A", backend="vulkan", id="vulkan:0", pci_id="0000:01:00.0")
    cuda = device("B", pci_id="0000:01:00.0")
    other = device("C", id="cuda:1", pci_id="0000:02:00.0")
    assert [d.name for d in merge_devices([vulkan, cuda, other])] == ["B", "C"]
    assert [d.name for d in merge_devices([cuda, vulkan, other])] == ["B", "C"]


def test_of_two_reports_the_usable_one_counts() -> None:
    lost = device("A", pci_id="0000:01:00.0", usable=False)
    fine = device("B", pci_id="0000:01:00.0", backend="vulkan")
    assert [d.name for d in merge_devices([lost, fine])] == ["B"]


def test_a_card_hidden_by_a_variable_stays_hidden() -> None:
    hidden = device("A", pci_id="0000:01:00.0", usable=False, note="hidden by CUDA_VISIBLE_DEVICES")
    hidden = msgspec.structs.replace(hidden, memory_budget_bytes=None)
    fine = device("B", pci_id="0000:01:00.0", backend="vulkan")
    for reports in ([hidden, fine], [fine, hidden]):
        (merged,) = merge_devices(reports)
        assert (merged.name, merged.usable, merged.memory_budget_bytes) == ("A", False, None)


def test_cards_without_address_are_never_merged() -> None:
    assert len(merge_devices([device("A"), device("A")])) == 2


def test_vulkans_report_without_an_address_is_the_card_another_source_knows() -> None:
    native = device("RTX 4090", pci_id="0000:01:00.0")
    translated = device("RTX 4090", backend="vulkan", id="vulkan:0")
    assert merge_devices([native, translated]) == [native]
    # Two that only Vulkan shows are two, and of another maker they are others.
    assert len(merge_devices([translated, device("RTX 3060", backend="vulkan", id="vulkan:1")])) == 2
    assert len(merge_devices([native, device("Adreno", backend="vulkan", vendor="unknown", id="vulkan:0")])) == 2


def test_memory_that_a_driver_told_comes_before_the_data_sheets() -> None:
    link = PcieLink(4, 16, 4, 16)
    sheet = device(
        "Arc A770 8 GB or Arc A770", vendor="intel", backend="vulkan", id="vulkan:0", pci_id="0000:03:00.0",
        memory_free_bytes=None, note="the driver does not tell which of the two",
        source={"memory_total_bytes": "devices.json (arc-a770-8gb)", "pcie_link": "i915 (sysfs)"},
    )  # fmt: skip
    sheet = msgspec.structs.replace(sheet, pcie_link=link, power_limit_w=190.0)
    told = device(
        "Intel(R) Arc(TM) A770 Graphics", vendor="intel", backend="vulkan", id="vulkan:0", pci_id="0000:03:00.0",
        memory_total_bytes=16 * GIB, memory_free_bytes=15 * GIB, memory_budget_bytes=15 * GIB,
        source={"memory_total_bytes": "vulkaninfo"},
    )  # fmt: skip
    for reports in ([sheet, told], [told, sheet]):
        (merged,) = merge_devices(reports)
        assert (merged.memory_total_bytes, merged.memory_budget_bytes) == (16 * GIB, 15 * GIB)
        assert (merged.pcie_link, merged.power_limit_w, merged.note) == (link, 190.0, "")
        assert merged.source == {"memory_total_bytes": "vulkaninfo", "pcie_link": "i915 (sysfs)"}


def test_what_is_free_is_taken_from_the_report_that_knows_it() -> None:
    sizes = {"memory_total_bytes": "xe (sysfs)", "memory_budget_bytes": "all of it: the driver does not tell"}
    native = device("B580", vendor="intel", backend="vulkan", pci_id="0000:03:00.0", source=sizes)
    native = msgspec.structs.replace(native, memory_free_bytes=None)
    other = device(
        "Arc", vendor="intel", backend="vulkan", pci_id="0000:03:00.0", memory_free_bytes=6 * GIB,
        memory_budget_bytes=6 * GIB, source={"memory_budget_bytes": "free memory"},
    )  # fmt: skip
    (merged,) = merge_devices([native, other])
    assert (merged.name, merged.memory_free_bytes, merged.memory_budget_bytes) == ("B580", 6 * GIB, 6 * GIB)
    assert merged.source["memory_budget_bytes"] == "free memory"


def test_no_two_devices_have_one_number() -> None:
    devices = [
        device("A", backend="vulkan", id="vulkan:0"),
        device("B", backend="vulkan", id="vulkan:0"),
        device("C", backend="vulkan", id="vulkan:1"),
        device("D", backend="vulkan", id="vulkan:1"),
    ]
    assert [d.id for d in merge_devices(devices)] == ["vulkan:0", "vulkan:2", "vulkan:1", "vulkan:3"]


def test_shared_memory_of_unknown_bandwidth_has_the_hosts() -> None:
    chip = device("Radeon 780M", kind="unified", vendor="amd", fp32_tflops=8.9)
    card = device("Card")
    (found, same), notes = with_host_bandwidth([chip, card], HOST)
    assert found.memory_bandwidth_gbps == 83.2
    assert found.source["memory_bandwidth_gbps"] == "the host's memory (2 channels of 5200 MT/s)"
    assert (same, notes) == (card, [])


def test_if_the_hosts_is_unknown_too_it_is_asked_for() -> None:
    chip = device("Radeon 780M", kind="unified", vendor="amd", fp32_tflops=8.9)
    (found,), (note,) = with_host_bandwidth([chip], msgspec.structs.replace(HOST, memory_bandwidth_gbps=None))
    assert found.memory_bandwidth_gbps is None
    assert "--bandwidth" in note
    assert "--measure" in note
