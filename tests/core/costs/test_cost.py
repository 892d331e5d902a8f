"""What work costs, against figures worked out by hand."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.costs.cost import (
    Job,
    Speeds,
    Tariff,
    break_even_hours,
    download_hours,
    electricity_usd_per_hour,
    hours_for,
    job_cost,
    usd_per_million,
)
from planner.core.memory.estimate import Rate

FIFTY = Rate(40.0, 50.0, 60.0)


def test_thirty_five_cents_an_hour_at_fifty_tokens_a_second_are_1_94_a_million() -> None:
    found = usd_per_million(Decimal("0.35"), FIFTY)
    assert found is not None
    assert round(found.mid, 3) == Decimal("1.944")
    assert (round(found.low, 3), round(found.high, 3)) == (Decimal("1.620"), Decimal("2.431"))  # fast is cheap


def test_half_of_the_time_used_costs_twice_as_much() -> None:
    whole, half = usd_per_million(Decimal(1), FIFTY), usd_per_million(Decimal(1), FIFTY, Decimal("0.5"))
    assert whole is not None
    assert half is not None
    assert half.mid == 2 * whole.mid


@pytest.mark.parametrize("rate", [None, Rate(0.0, 10.0, 20.0)])
def test_without_a_speed_nothing_is_said(rate: Rate | None) -> None:
    assert usd_per_million(Decimal(1), rate) is None
    assert hours_for(1000, rate) is None


def test_five_gb_at_a_hundred_mbit_take_a_ninth_of_an_hour() -> None:
    assert round(download_hours(Decimal(5), Decimal(100)), 3) == Decimal("0.111")


def test_a_job_is_download_loading_and_work_and_storage_and_traffic() -> None:
    job = Job(
        tokens_in=1_800_000,
        tokens_out=180_000,
        download_gb=Decimal(9),
        storage_gb=Decimal(20),
        egress_gb=Decimal(1),
        interruptions=2,
    )
    tariff = Tariff(
        hour_usd=Decimal("0.50"),
        storage_usd_gb_month=Decimal("0.36"),
        month_hours=720,
        ingress_usd_gb=Decimal("0.01"),
        egress_usd_gb=Decimal("0.02"),
        network_mbps=Decimal(200),
    )
    found = job_cost(job, tariff, Speeds(write=FIFTY, read=Rate(400.0, 500.0, 600.0)))
    assert found is not None
    assert found.work_hours.mid == 2  # 1,800,000 / 500 s and 180,000 / 50 s
    assert found.download_hours == Decimal("0.1")
    assert found.load_hours == Decimal("0.005")
    assert found.hours.mid == Decimal("2.105")
    assert found.time.mid == Decimal("1.0525")
    assert found.storage.mid == Decimal(20) * Decimal("0.36") * Decimal("2.105") / 720
    assert found.traffic == Decimal("0.11")
    assert found.total.mid == Decimal("1.0525") + found.storage.mid + Decimal("0.11")
    again = 2 * (Decimal("0.1") + Decimal("0.005")) * (Decimal("0.50") + Decimal(20) * Decimal("0.36") / 720)
    assert found.paused_storage == 2 * Decimal(20) * Decimal("0.36") / 720  # an hour each
    assert found.interrupted.mid - found.total.mid == again + found.paused_storage
    assert found.unknown == ()
    assert found.total.low < found.total.mid < found.total.high


def test_hours_that_it_is_kept_are_paid_whether_there_is_work_or_not() -> None:
    found = job_cost(Job(hours=Decimal(100)), Tariff(hour_usd=Decimal("0.20")), Speeds())
    assert found is not None
    assert found.total.mid == Decimal(20)
    longer = job_cost(Job(hours=Decimal("0.5"), tokens_out=180_000), Tariff(hour_usd=Decimal(1)), Speeds(write=FIFTY))
    assert longer is not None
    assert longer.hours.mid == 1


def test_what_a_provider_does_not_say_is_named_and_not_taken_for_nothing() -> None:
    job = Job(download_gb=Decimal(5), storage_gb=Decimal(10), egress_gb=Decimal(1), hours=Decimal(1))
    found = job_cost(job, Tariff(hour_usd=Decimal(1)), Speeds())
    assert found is not None
    assert found.unknown == ("network speed", "storage", "traffic")
    free = Tariff(
        hour_usd=Decimal(1), storage_usd_gb_month=Decimal(0), ingress_usd_gb=Decimal(0), egress_usd_gb=Decimal(0)
    )
    known = job_cost(job, free, Speeds())
    assert known is not None
    assert known.unknown == ("network speed",)


def test_a_network_speed_that_cannot_be_counts_as_not_said() -> None:
    job = Job(download_gb=Decimal(5))
    for speed in ("0", "-1"):
        found = job_cost(job, Tariff(hour_usd=Decimal(1), network_mbps=Decimal(speed)), Speeds())
        assert found is not None
        assert found.download_hours == download_hours(Decimal(5), job.network_mbps)
        assert "network speed" in found.unknown


def test_a_job_whose_speed_is_not_known_has_no_cost() -> None:
    assert job_cost(Job(documents=1), Tariff(hour_usd=Decimal(1)), Speeds(write=FIFTY)) is None


def test_a_month_of_storage_has_720_hours_at_vast_and_730_where_nothing_is_said() -> None:
    job = Job(storage_gb=Decimal(10), hours=Decimal(1))
    tariff = Tariff(hour_usd=Decimal(1), storage_usd_gb_month=Decimal("0.20"), month_hours=720)
    vast = job_cost(job, tariff, Speeds())
    assert vast is not None
    assert round(vast.storage.mid, 6) == Decimal("0.002778")  # as recorded of an offer
    usual = job_cost(job, Tariff(hour_usd=Decimal(1), storage_usd_gb_month=Decimal("0.73")), Speeds())
    assert usual is not None
    assert usual.storage.mid == Decimal("0.01")


def test_a_machine_that_is_taken_away_costs_its_storage_while_it_stands_still() -> None:
    tariff = Tariff(hour_usd=Decimal(1), storage_usd_gb_month=Decimal("0.72"), month_hours=720)
    job = Job(hours=Decimal(1), storage_gb=Decimal(100), interruptions=3, restart_hours=Decimal(0))
    short, long = (
        job_cost(msgspec.structs.replace(job, paused_hours=Decimal(hours)), tariff, Speeds()) for hours in (0, 5)
    )
    assert short is not None
    assert long is not None
    assert (short.paused_storage, short.interrupted) == (Decimal(0), short.total)
    assert long.paused_storage == Decimal("1.5")  # 3 times 5 h at 0.1 USD/h, and no rent
    assert long.interrupted.mid == long.total.mid + Decimal("1.5")
    assert long.total == short.total  # uninterrupted it costs what it costs


def test_storage_that_is_dearer_on_a_machine_that_stands_still_is_reckoned_so() -> None:
    job = Job(hours=Decimal(1), storage_gb=Decimal(73), interruptions=1, restart_hours=Decimal(0))
    tariff = Tariff(
        hour_usd=Decimal(0), storage_usd_gb_month=Decimal("0.10"), paused_storage_usd_gb_month=Decimal("0.20")
    )
    found = job_cost(job, tariff, Speeds())
    assert found is not None
    assert found.storage.mid == Decimal("0.01")
    assert found.paused_storage == Decimal("0.02")


def test_electricity_is_kilowatts_times_the_price_of_a_kilowatt_hour() -> None:
    assert electricity_usd_per_hour(Decimal(350), Decimal("0.30")) == Decimal("0.105")


def test_a_device_has_paid_off_when_the_rent_saved_is_its_price() -> None:
    assert break_even_hours(Decimal(700), Decimal("0.25"), Decimal("0.05")) == 3500
    assert break_even_hours(Decimal(700), Decimal("0.25"), Decimal("0.05"), Decimal("0.5")) == Decimal(700) / Decimal(
        "0.075"
    )


def test_a_device_whose_electricity_costs_more_than_the_rent_never_pays_off() -> None:
    assert break_even_hours(Decimal(700), Decimal("0.05"), Decimal("0.05")) is None


@given(
    price=st.decimals(min_value="0.001", max_value=100, places=4),
    tokens=st.integers(1, 10**9),
    speed=st.floats(0.1, 1e5),
    interruptions=st.integers(0, 50),
)
def test_a_job_costs_what_its_hours_cost_and_never_less_for_being_interrupted(
    price: Decimal, tokens: int, speed: float, interruptions: int
) -> None:
    rate = Rate(speed * 0.8, speed, speed * 1.2)
    job = Job(tokens_out=tokens, interruptions=interruptions)
    found = job_cost(job, Tariff(hour_usd=price), Speeds(write=rate))
    each = usd_per_million(price, rate)
    assert found is not None
    assert each is not None
    assert found.interrupted.mid >= found.total.mid
    assert found.total.mid == pytest.approx(each.mid * tokens / 10**6, rel=Decimal("1e-9"))
