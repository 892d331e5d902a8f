"""Which cards and instances a program sees, in which order, and under which numbers."""

import sys
from collections.abc import Sequence

import pytest

from planner.units import GIB
from tests.probe.conftest import Ask, usable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fake library is loaded by its Linux name")

MIXED = "mig_mixed"
"""Three A100: the first whole, two cut into 10, 20 and 40 GiB."""


def test_eight_cards_are_eight_devices_in_order(ask: Ask) -> None:
    finding = ask(mode="eight")
    assert [device.id for device in finding.devices] == [f"cuda:{n}" for n in range(8)]
    assert {device.slug for device in finding.devices} == {"h100-sxm5-80gb"}
    assert [device.memory_free_bytes for device in finding.devices] == [76 * GIB] + [80 * GIB] * 7


def test_unlike_cards_keep_their_own_figures(ask: Ask) -> None:
    finding = ask(mode="mixed")
    assert [device.slug for device in finding.devices] == ["h100-sxm5-80gb", "tesla-t4", "geforce-rtx-3090"]
    assert [device.compute_capability for device in finding.devices] == ["9.0", "7.5", "8.6"]


@pytest.mark.parametrize(
    ("bus", "names"),
    [
        ("41,01", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        ("01,41", ["NVIDIA GeForce RTX 4090", "Tesla T4"]),
        ("0A,09", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        # Without every address there is no order to put them in but the driver's.
        ("41,", ["NVIDIA GeForce RTX 4090", "Tesla T4"]),
    ],
)
def test_devices_are_numbered_in_pci_order_as_engines_number_them(ask: Ask, bus: str, names: Sequence[str]) -> None:
    finding = ask(bus=bus)
    assert [device.name for device in finding.devices] == names
    assert [device.id for device in finding.devices] == ["cuda:0", "cuda:1"]
    (first,) = usable(ask(bus=bus, environ={"CUDA_VISIBLE_DEVICES": "0"}))
    assert first.name == names[0]


def test_a_card_that_cannot_be_opened_takes_no_number_from_the_others(ask: Ask) -> None:
    finding = ask(fail="nvmlDeviceGetHandleByIndex_v2:4:0")
    assert [(device.id, device.usable) for device in finding.devices] == [("cuda:1", False), ("cuda:0", True)]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("1", ["Tesla T4"]),
        ("1,0", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        (" 1 , 0 ", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        ("1st,0th", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        ("GPU-111", ["Tesla T4"]),
        ("gpu-111-fake,GPU-0", ["Tesla T4", "NVIDIA GeForce RTX 4090"]),
        # The first that names nothing, or not one only, ends the list.
        ("0,7,1", ["NVIDIA GeForce RTX 4090"]),
        ("0,-1,1", ["NVIDIA GeForce RTX 4090"]),
        ("0,GPU-9,1", ["NVIDIA GeForce RTX 4090"]),
        ("1,GPU-,0", ["Tesla T4"]),
        ("1,MIG-00,0", ["Tesla T4"]),
        # A double voids it.
        ("0,1,0", []),
        ("0,GPU-000", []),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("99999999999999999999", []),
    ],
)
def test_cuda_visible_devices_is_honoured_and_said(ask: Ask, value: str, names: list[str]) -> None:
    finding = ask(environ={"CUDA_VISIBLE_DEVICES": value})
    assert [device.name for device in usable(finding)] == names
    # The engine numbers what it sees from 0.
    assert [device.id for device in usable(finding)] == [f"cuda:{i}" for i in range(len(names))]
    assert len({device.id for device in finding.devices}) == 2
    hidden = [device for device in finding.devices if not device.usable]
    assert all("CUDA_VISIBLE_DEVICES" in device.note for device in hidden)
    assert all(d.memory_budget_bytes is None and "memory_budget_bytes" not in d.source for d in hidden)
    assert any(f"CUDA_VISIBLE_DEVICES={value}" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("value", "words"), [("0,7,1", "“7” names none"), ("0,1,0", "“0” is there twice"), ("-1", "Unset")]
)
def test_a_list_that_does_not_mean_what_it_says_is_explained(ask: Ask, value: str, words: str) -> None:
    assert any(words in note for note in ask(environ={"CUDA_VISIBLE_DEVICES": value}).notes)


def test_the_order_of_the_numbers_is_said_where_it_matters(ask: Ask) -> None:
    def said(**environ: str) -> bool:
        return any("PCI order" in note for note in ask(environ=environ).notes)

    assert said(CUDA_VISIBLE_DEVICES="1")
    assert not said(CUDA_VISIBLE_DEVICES="1", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert not said(CUDA_VISIBLE_DEVICES="GPU-1")
    assert not said()


# --- MIG -----------------------------------------------------------------------------------------------------------


def test_mig_lists_the_instances_and_never_the_parents_total(ask: Ask) -> None:
    finding = ask(mode="mig")
    assert [(d.memory_total_bytes or 0) // GIB for d in finding.devices] == [10, 20, 40]
    assert [d.id for d in finding.devices] == ["cuda:0/mig0", "cuda:0/mig1", "cuda:0"]
    (largest,) = usable(finding)
    # A process sees one instance: the one with most room is planned for.
    assert largest.memory_budget_bytes == 39 * GIB
    assert largest.name == "NVIDIA A100-SXM4-80GB MIG 3g.40gb"
    assert largest.note == "MIG instance MIG-02-fake, 3 of 7 compute slices"
    whole = next(spec for spec in ask.specs if spec.slug == largest.slug)
    assert largest.memory_bandwidth_gbps == pytest.approx((whole.memory_bandwidth_gbps or 0) * 40 / 80)
    assert largest.fp16_tflops == pytest.approx((whole.fp16_tflops or 0) * 3 / 7, abs=0.01)
    assert "43% of the card" in largest.source["fp16_tflops"]
    # What is true of the card as a whole is not said of a part.
    assert (largest.gpu_cores, largest.tdp_w, largest.power_limit_w, largest.pcie_link) == (None, None, None, None)
    assert [(h.pid, h.memory_bytes) for h in largest.holders] == [(4343, GIB)]
    assert any("3 MIG instances" in note for note in finding.notes)
    # CUDA by itself takes the first, so how to get this one is said, and how to get another.
    assert any("CUDA_VISIBLE_DEVICES=MIG-02-fake" in note for note in finding.notes)
    assert "CUDA_VISIBLE_DEVICES=MIG-00-fake" in finding.devices[0].note


def test_mig_without_an_instance_is_not_usable(ask: Ask) -> None:
    finding = ask(mode="mig", fail="nvmlDeviceGetMigDeviceHandleByIndex:6")
    (card,) = finding.devices
    assert not card.usable
    assert card.memory_total_bytes is None
    assert any("MIG" in note for note in finding.notes)


def test_instances_whose_memory_is_unknown_are_listed_and_not_used(ask: Ask) -> None:
    finding = ask(mode="mig", fail="nvmlDeviceGetMemoryInfo*:4")
    assert len(finding.devices) == 3
    assert usable(finding) == []
    assert all(d.memory_total_bytes is None and "memory" in d.note for d in finding.devices)
    assert not any("planned for" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("value", "name", "total_gib"),
    [
        ("MIG-01-fake", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", 20),
        ("mig-01", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", 20),
        ("MIG-01,MIG-02", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", 20),
        ("MIG-GPU-000-fake/8/0", "NVIDIA A100-SXM4-80GB MIG 2g.20gb", 20),
        ("MIG-GPU-0/9/0", "NVIDIA A100-SXM4-80GB MIG 3g.40gb", 40),
        # A card in MIG mode shows its first instance.
        ("0", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10),
        ("GPU-000", "NVIDIA A100-SXM4-80GB MIG 1g.10gb", 10),
    ],
)
def test_cuda_visible_devices_chooses_the_instance(ask: Ask, value: str, name: str, total_gib: int) -> None:
    finding = ask(mode="mig", environ={"CUDA_VISIBLE_DEVICES": value})
    (chosen,) = usable(finding)
    assert (chosen.id, chosen.name, chosen.memory_total_bytes) == ("cuda:0", name, total_gib * GIB)
    assert len({device.id for device in finding.devices}) == len(finding.devices) == 3
    assert all("another MIG instance of the same card" in d.note for d in finding.devices if not d.usable)
    assert any(f"CUDA_VISIBLE_DEVICES={value}" in note and name in note for note in finding.notes)


@pytest.mark.parametrize("value", ["MIG-0", "MIG-GPU-000-fake/8/1", "MIG-GPU-000-fake", "MIG-77", "MIG-01,MIG-01"])
def test_a_name_of_no_instance_or_of_several_shows_none(ask: Ask, value: str) -> None:
    finding = ask(mode="mig", environ={"CUDA_VISIBLE_DEVICES": value})
    assert usable(finding) == []
    assert all("CUDA_VISIBLE_DEVICES" in device.note for device in finding.devices)


def test_a_whole_card_is_not_seen_beside_an_instance(ask: Ask) -> None:
    finding = ask(mode=MIXED)
    (chosen,) = usable(finding)
    assert (chosen.id, chosen.memory_total_bytes) == ("cuda:0", 40 * GIB)
    whole = next(d for d in finding.devices if d.memory_total_bytes == 80 * GIB)
    assert (whole.usable, whole.memory_budget_bytes) == (False, None)
    assert "MIG" in whole.note
    assert len({d.id for d in finding.devices}) == len(finding.devices) == 7
    assert any("CUDA_VISIBLE_DEVICES=0." in note for note in finding.notes)
    assert any("6 MIG instances (3 of GPU 1, 3 of GPU 2)" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("value", "totals_gib"),
    [("0", [80]), ("GPU-000", [80]), ("0,1", [10]), ("1", [10]), ("2", [10]), ("MIG-21", [20]), ("0,MIG-12", [40])],
)
def test_cuda_visible_devices_chooses_among_whole_cards_and_instances(
    ask: Ask, value: str, totals_gib: Sequence[int]
) -> None:
    finding = ask(mode=MIXED, environ={"CUDA_VISIBLE_DEVICES": value})
    assert [(d.memory_total_bytes or 0) // GIB for d in usable(finding)] == totals_gib
    assert [d.id for d in usable(finding)] == ["cuda:0"]
    assert len({d.id for d in finding.devices}) == 7
