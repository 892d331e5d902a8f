"""A load on rented devices and on one's own: whether it fits whole, how fast, what it costs."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from planner.catalog.loader import Catalog
from planner.catalog.location import data_dir
from planner.core.costs.cheapest import cheapest
from planner.core.costs.cost import Job, Speeds
from planner.core.costs.market import Market
from planner.core.costs.offers import Quote, make_offers
from planner.core.costs.own_device import Own, paid_off, watts_of
from planner.core.costs.renting import Rented, load_bytes, running_on
from planner.core.costs.running import Load
from planner.core.costs.where import by_cost, device_places, own_place, place
from planner.core.machines.hardware import Device
from planner.core.memory.estimate import Rate, Verdict
from planner.core.models.model import Architecture, Commercial, Licence, Model, Pooling, Role, Variant
from tests.core.shapes import LLAMA_8B, QWEN3_EMBED_06B, gpu, machine

SPECS = Catalog(models=(), folder=data_dir()).devices


def model(arch: Architecture, role: Role, name: str) -> Model:
    return Model(
        id=f"me/{name}",
        family="mine",
        role=role,
        parameters=8_000_000_000,
        context_length=32768,
        licence=Licence("MIT", Commercial.YES),
        architecture=arch,
        pooling=Pooling.LAST if role is Role.EMBEDDING else None,
        embedding_length=1024 if role is Role.EMBEDDING else None,
    )


def variant(quant: str) -> Variant:
    return Variant(quant=quant, artifacts=())


WRITER = (model(LLAMA_8B, Role.GENERATION, "writer"), variant("Q8_0"))
READER = (model(QWEN3_EMBED_06B, Role.EMBEDDING, "reader"), variant("F16"))


def offers(*rows: tuple[str, float, int, str], **changes: Any) -> Market:
    """A market of (GPU, GiB, count, price)."""
    quotes = [
        Quote(
            provider="acme", tier="on-demand", interruptible=False, gpu_raw=name, gpu_count=count, vram_each_gib=gib,
            price_hour_usd=Decimal(price), observed_at="2026-11-22", source="s", **changes,
        )
        for name, gib, count, price in rows
    ]  # fmt: skip
    return Market(offers=make_offers([(quote, "fresh") for quote in quotes], SPECS), origins=(), as_of="2026-11-22")


def rented(*models: tuple[Model, Variant]) -> Rented:
    return Rented(Load(models=models), SPECS)


def test_a_model_is_on_an_offer_only_where_it_fits_whole() -> None:
    small, large, many = offers(("RTX 3060", 8, 1, "1"), ("RTX 3090", 24, 1, "1"), ("RTX 3060", 8, 2, "1")).offers
    subject = rented(WRITER)
    assert subject.on(small) is None
    assert subject.on(large) is not None
    both = subject.on(many)
    assert both is not None
    assert both.verdict is Verdict.FITS
    assert len([row for row in both.estimates[0].memory.devices if row.device != "host" and row.weights_bytes]) == 2


def test_a_modified_card_has_its_own_memory_and_the_speed_of_its_kind() -> None:
    usual, modified = offers(("RTX 4090", 24, 1, "1"), ("RTX 4090", 48, 1, "1")).offers
    big = (model(LLAMA_8B, Role.GENERATION, "big"), msgspec.structs.replace(variant("Q8_0"), file_bytes=30 * 2**30))
    assert rented(big).on(usual) is None
    assert rented(big).on(modified) is not None
    one, other = rented(WRITER).on(usual), rented(WRITER).on(modified)
    assert one is not None
    assert other is not None
    assert one.speeds == other.speeds


def test_a_pair_must_fit_together() -> None:
    (offer,) = offers(("RTX 3080", 10, 1, "1")).offers
    assert rented(WRITER).on(offer) is not None
    assert rented(READER).on(offer) is not None
    assert rented(READER, WRITER).on(offer) is None


def test_a_pair_has_the_speeds_of_both() -> None:
    (offer,) = offers(("RTX 3090", 24, 1, "1")).offers
    found = rented(WRITER, READER).on(offer)
    assert found is not None
    assert None not in (found.speeds.write, found.speeds.read, found.speeds.embed)


@pytest.mark.parametrize("row", [("Frobnicator 9", 24.0, 1, "1"), ("RTX 3090", 24.0, 64, "1")])
def test_nothing_is_said_of_a_gpu_that_is_not_known_or_of_a_whole_cluster(row: tuple[str, float, int, str]) -> None:
    (offer,) = offers(row).offers
    assert rented(WRITER).on(offer) is None


def test_several_answers_at_a_time_are_faster_together() -> None:
    one = running_on(Load(models=(WRITER,)), machine(gpu(0, 48)))
    four = running_on(Load(models=(WRITER,), parallel=4), machine(gpu(0, 48)))
    assert one is not None
    assert four is not None
    assert one.speeds.write is not None
    assert four.speeds.write is not None
    assert four.speeds.write.mid > one.speeds.write.mid


def test_the_size_of_a_load_is_that_of_its_files_and_unknown_where_one_is() -> None:
    whole = load_bytes(Load(models=(WRITER, READER)))
    one = load_bytes(Load(models=(WRITER,)))
    assert whole is not None
    assert one is not None
    assert whole > one > 8_000_000_000
    nothing = (msgspec.structs.replace(WRITER[0], architecture=None), variant("Q8_0"))
    assert load_bytes(Load(models=(WRITER, nothing))) is None


def test_the_cheapest_are_one_of_a_kind_and_none_that_is_in_doubt() -> None:
    market = offers(
        ("RTX 3090", 24, 1, "0.30"), ("RTX 3090", 24, 1, "0.20"), ("L40S", 48, 1, "0.10"), ("RTX 3060", 8, 1, "0.01"),
        ("RTX 4090", 48, 1, "0.05"),
    )  # fmt: skip
    found = cheapest(market, rented(WRITER))
    assert [(row.offer.gpu, str(row.offer.quote.price_hour_usd)) for row in found.rows] == [
        ("l40s", "0.10"),
        ("rtx-3090", "0.20"),
    ]
    assert found.considered == 5
    assert cheapest(market, rented(WRITER), min_speed=1e6).rows == ()


RATE = Rate(40.0, 50.0, 60.0)


def own(price: str | None = "700", watts: str | None = "350", idle: str | None = None) -> Own:
    return Own(
        name="mine",
        running=running_on(Load(models=(WRITER,)), machine(gpu(0, 24))),
        watts=None if watts is None else Decimal(watts),
        watts_source="said",
        kwh_usd=Decimal("0.20"),
        kwh_assumed=False,
        price_usd=None if price is None else Decimal(price),
        idle_watts=None if idle is None else Decimal(idle),
    )


def test_an_own_device_costs_its_electricity() -> None:
    mine = own()
    assert mine.hour_usd == Decimal("0.07")
    spread = mine.per_million(Role.GENERATION)
    assert spread is not None
    assert mine.speeds.write is not None
    assert float(spread.mid) == pytest.approx(0.07 / (mine.speeds.write.mid * 3600 / 1e6))
    assert mine.per_million(Role.EMBEDDING) is None
    job = mine.job_usd(Job(tokens_out=1_000_000))
    assert job is not None
    assert float(job.mid) == pytest.approx(float(spread.mid))
    assert mine.job_usd(Job(documents=1)) is None


def test_electricity_that_is_not_known_is_not_nothing() -> None:
    mine = own(watts=None)
    assert mine.hour_usd is None
    assert mine.per_million(Role.GENERATION) is None
    assert mine.job_usd(Job(tokens_out=1)) is None


def test_an_own_device_that_waits_half_of_the_time_draws_its_idle_power_then() -> None:
    mine, half = own(idle="50"), Decimal("0.5")
    assert mine.idle_hour_usd == Decimal("0.01")
    assert mine.mean_hour_usd() == Decimal("0.07")
    assert mine.mean_hour_usd(half) == Decimal("0.04")
    busy, waiting = mine.per_million(Role.GENERATION), mine.per_million(Role.GENERATION, half)
    assert busy is not None
    assert waiting is not None
    assert float(waiting.mid / busy.mid) == pytest.approx(0.08 / 0.07)  # an hour at work and one of waiting


def test_the_electricity_of_a_job_is_that_of_its_work_and_of_waiting_until_the_time_it_is_kept() -> None:
    mine, job = own(idle="50"), Job(tokens_out=1_000_000)
    assert mine.speeds.write is not None
    work_h = 1e6 / mine.speeds.write.mid / 3600
    alone = mine.job_usd(job)
    kept = mine.job_usd(msgspec.structs.replace(job, hours=Decimal(100)))
    half = mine.job_usd(msgspec.structs.replace(job, utilisation=Decimal("0.5")))
    assert alone is not None
    assert kept is not None
    assert half is not None
    assert float(alone.mid) == pytest.approx(0.07 * work_h)
    assert float(kept.mid) == pytest.approx(0.07 * work_h + 0.01 * (100 - work_h))
    assert float(half.mid) == pytest.approx((0.07 + 0.01) * work_h)
    assert kept.low < kept.mid < kept.high
    nothing = mine.job_usd(Job(hours=Decimal(2)))
    assert nothing is not None
    assert nothing.mid == Decimal("0.02")


def test_without_its_idle_power_nothing_is_said_of_the_time_in_which_a_device_waits() -> None:
    mine = own()
    assert mine.mean_hour_usd(Decimal("0.5")) is None
    assert mine.job_usd(Job(tokens_out=1, hours=Decimal(1000))) is None
    assert mine.job_usd(Job(tokens_out=1)) is not None


def test_a_device_that_mostly_waits_saves_less_electricity_than_it_would_not_draw() -> None:
    mine = own(idle="50")
    busy = paid_off(mine, Decimal("0.27"), mine.speeds, Role.GENERATION)
    waiting = paid_off(mine, Decimal("0.27"), mine.speeds, Role.GENERATION, Decimal("0.5"))
    assert busy == Decimal(3500)
    assert waiting == Decimal(700) / Decimal("0.23")


def test_what_is_owned_already_is_not_paid_off() -> None:
    assert paid_off(own(price=None), Decimal(1), Speeds(write=RATE), Role.GENERATION) is None
    assert paid_off(own(), Decimal("0.27"), None, None) == 3500
    assert paid_off(own(), Decimal("0.27"), Speeds(), Role.GENERATION) is None


def test_a_faster_rental_makes_buying_pay_off_later() -> None:
    mine = own()
    assert mine.speeds.write is not None
    slow = mine.speeds.write
    faster = Rate(2 * slow.low, 2 * slow.mid, 2 * slow.high)
    alike = paid_off(mine, Decimal("0.27"), mine.speeds, Role.GENERATION)
    later = paid_off(mine, Decimal("0.27"), Speeds(write=faster), Role.GENERATION)
    assert alike == 3500
    assert later is not None
    assert later > alike


def card(tdp_w: float | None, power_limit_w: float | None = None) -> Device:
    return msgspec.structs.replace(gpu(0, 24), tdp_w=tdp_w, power_limit_w=power_limit_w)


def test_watts_are_the_limit_that_is_set_else_the_data_sheets_and_unknown_where_one_is() -> None:
    assert watts_of(machine(card(350.0)))[0] == 350
    assert watts_of(machine(card(350.0, 280.0)))[0] == 280
    assert watts_of(machine(card(350.0), card(None)))[0] is None
    assert watts_of(machine())[0] is None


def test_places_come_by_cost_and_unknown_ones_last() -> None:
    mine = own_place(own())
    assert mine is not None
    running = mine.running
    dear, free = place("rental", "", running, Decimal(9)), place("device", "silent", running, None)
    assert [item.kind for item in by_cost([free, dear, mine])] == ["here", "rental", "device"]
    half = place("rental", "", running, Decimal(9), utilisation=Decimal("0.5"))
    assert half.generated is not None
    assert dear.generated is not None
    assert half.generated.mid == 2 * dear.generated.mid


def test_common_devices_are_those_on_which_the_load_runs() -> None:
    found = device_places(Load(models=(WRITER,)), SPECS, kwh_usd=Decimal("0.20"))
    assert all(item.verdict is not Verdict.NO_FIT for item in found)
    by_name = {item.name: item for item in found}
    assert by_name["RTX 3090 24 GB"].hour_usd == Decimal("0.07")
    assert by_name["CPU only, 32 GiB"].hour_usd is None
    half = device_places(Load(models=(WRITER,)), SPECS, kwh_usd=Decimal("0.20"), utilisation=Decimal("0.5"))
    waiting = {item.name: item for item in half}["RTX 3090 24 GB"]
    assert waiting.hour_usd == Decimal("0.0385")  # half an hour at 350 W, half at 35 W
    cost, busy = waiting.generated, by_name["RTX 3090 24 GB"].generated
    assert cost is not None
    assert busy is not None
    assert cost.mid == pytest.approx(busy.mid * Decimal("1.1"))
