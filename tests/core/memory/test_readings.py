"""Free memory as plans take it: in steps, and without who holds the rest."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from planner.core.machines.hardware import (
    Backend,
    Cpu,
    Device,
    DeviceKind,
    Hardware,
    Host,
    MemoryHolder,
    PcieLink,
    Vendor,
)
from planner.core.memory.placement import machine_of
from planner.core.memory.readings import STEPS, at_capacity, steady, use_notes, with_whole_budgets
from planner.units import GIB, MIB

CARD = Device(
    id="cuda:0", name="Card", slug="card", vendor=Vendor.NVIDIA, backend=Backend.CUDA, kind=DeviceKind.DISCRETE,
    memory_total_bytes=24 * GIB, memory_free_bytes=20 * GIB - 7 * MIB, memory_budget_bytes=20 * GIB - 7 * MIB,
    memory_used_bytes=4 * GIB, holders=(MemoryHolder(7, "python", 4 * GIB),), pcie_link=PcieLink(1, 16, 4, 16),
)  # fmt: skip
CHIP = msgspec.structs.replace(CARD, kind=DeviceKind.UNIFIED, memory_budget_bytes=16 * GIB, memory_free_bytes=None)
NOTES = ("Card (GPU 0): 4.0 GiB of 24.0 GiB are in use by process 7.", "This is WSL.")


def machine(*devices: Device, available: int | None = 9 * GIB + 1) -> Hardware:
    host = Host(os="linux", cpu=Cpu("CPU", 8, 8), memory_total_bytes=32 * GIB, memory_available_bytes=available)
    return Hardware(host=host, devices=devices, notes=NOTES)


def test_free_memory_is_taken_in_steps_and_nobody_is_named() -> None:
    seen = steady(machine(CARD))
    (card,) = seen.devices
    assert card.memory_budget_bytes == card.memory_free_bytes == 19.5 * GIB
    assert seen.host.memory_available_bytes == 9 * GIB
    assert (card.holders, card.memory_used_bytes, card.pcie_link) == ((), None, None)
    assert seen.notes == ("This is WSL.",)
    assert use_notes(machine(CARD)) == (NOTES[0],)


def test_a_little_more_or_less_in_use_is_the_same_machine() -> None:
    busier = msgspec.structs.replace(
        CARD, memory_free_bytes=20 * GIB - 90 * MIB, memory_budget_bytes=20 * GIB - 90 * MIB,
        holders=(MemoryHolder(8, "other", 4 * GIB),),
    )  # fmt: skip
    assert steady(machine(CARD)) == steady(machine(busier, available=9 * GIB + 300 * MIB))


def test_what_is_all_free_stays_whole() -> None:
    idle = msgspec.structs.replace(CARD, memory_free_bytes=24 * GIB, memory_budget_bytes=24 * GIB)
    assert steady(machine(idle, available=32 * GIB)).devices[0].memory_budget_bytes == 24 * GIB
    assert steady(machine(CARD, available=None)).host.memory_available_bytes is None


def test_the_share_of_a_shared_memory_is_no_reading() -> None:
    (chip,) = steady(machine(CHIP)).devices
    assert chip.memory_budget_bytes == 16 * GIB
    # What is free of the host still bounds it.
    assert machine_of(steady(machine(CHIP)), live=True).gpus[0].budget_bytes == 9 * GIB


def test_at_capacity_nothing_else_runs() -> None:
    seen = at_capacity(machine(CARD, CHIP))
    assert [d.memory_budget_bytes for d in seen.devices] == [24 * GIB, 16 * GIB]
    assert seen.host.memory_available_bytes is None
    assert all(d.memory_free_bytes is None for d in seen.devices)


def test_a_card_that_cannot_be_used_stays_unusable() -> None:
    lost = msgspec.structs.replace(CARD, usable=False, memory_budget_bytes=None)
    assert at_capacity(machine(lost)).devices[0].memory_budget_bytes is None
    assert steady(machine(lost)).devices[0].memory_budget_bytes is None


@given(free=st.integers(0, 24 * GIB))
def test_never_more_than_is_free_and_never_a_step_less(free: int) -> None:
    busy = msgspec.structs.replace(CARD, memory_free_bytes=free, memory_budget_bytes=free)
    budget = steady(machine(busy)).devices[0].memory_budget_bytes
    assert budget is not None
    assert free - 24 * GIB // STEPS < budget <= free


def test_a_machine_to_be_saved_has_whole_budgets_so_that_what_is_free_today_is_no_limit_tomorrow() -> None:
    (card, chip) = with_whole_budgets(machine(CARD, CHIP)).devices
    assert card.memory_budget_bytes == 24 * GIB
    assert card.memory_free_bytes == CARD.memory_free_bytes
    assert chip == CHIP


def test_a_limit_of_the_user_holds_whatever_is_free() -> None:
    limited = msgspec.structs.replace(CARD, memory_limit_bytes=4 * GIB, memory_budget_bytes=4 * GIB)
    for live in (True, False):
        assert machine_of(machine(limited), live=live).gpus[0].budget_bytes == 4 * GIB
    assert at_capacity(machine(limited)).devices[0].memory_budget_bytes == 4 * GIB
