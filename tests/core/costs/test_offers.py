"""Offers among each other: what is flagged, which are wanted, in which order, and what dated rows add."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from planner.catalog.loader import Catalog
from planner.catalog.location import data_dir
from planner.catalog.prices import load_snapshot
from planner.core.costs.market import Origin, combined, origins_of
from planner.core.costs.offers import Filters, Offer, Quote, Staleness, judged, make_offers, ordered, wanted_offers
from planner.core.pages.offer_view import offer_view, usd

SPECS = Catalog(models=(), folder=data_dir()).devices


def quote(price: str, gpu: str = "RTX 4090", **changes: Any) -> Quote:
    fields = {
        "provider": "vast",
        "tier": "on-demand",
        "interruptible": False,
        "gpu_count": 1,
        "vram_each_gib": 24.0,
        "observed_at": "2026-11-22T12:00:00Z",
        "source": "https://example.org",
        **changes,
    }
    return Quote(gpu_raw=gpu, price_hour_usd=Decimal(price), **fields)


def spot(price: str, gpu: str = "RTX 4090", **changes: Any) -> Quote:
    return quote(price, gpu, **{"tier": "spot", "interruptible": True, **changes})


def made(*quotes: Quote, staleness: Staleness = "fresh") -> tuple[Offer, ...]:
    return make_offers([(item, staleness) for item in quotes], SPECS)


def test_an_interruptible_price_that_is_no_lower_is_no_discount() -> None:
    same, lower, elsewhere, other = made(
        spot("0.30"), spot("0.20"), spot("0.30", provider="lium"), spot("0.30", "RTX 3090"), quote("0.30")
    )[:4]
    assert same.flags == ("no_discount",)
    assert lower.flags == elsewhere.flags == other.flags == ()


def test_a_quarter_of_the_median_is_an_outlier_where_there_is_a_median() -> None:
    usual = [quote(f"2.0{n}", "H100 PCIE", vram_each_gib=80.0) for n in range(5)]
    bid = spot("0.683", "H100 PCIE", vram_each_gib=80.0, gpu_count=2)
    assert made(*usual, bid)[-1].flags == ("outlier",)
    assert made(*usual[:2], bid)[-1].flags == ()


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_what_is_no_price_is_dropped(price: str) -> None:
    assert made(quote(price), quote("0.3", gpu_count=0)) == ()


def test_a_modified_card_keeps_its_own_memory() -> None:
    (offer,) = made(quote("0.5", vram_each_gib=49140 / 1024))
    assert (offer.gpu, offer.vram_each_gib, offer.flags) == ("rtx-4090", 48.0, ("vram_differs",))


def test_memory_that_nobody_gives_is_that_of_the_gpu_where_it_is_known() -> None:
    known, unknown = made(quote("1", vram_each_gib=None), quote("1", "Frobnicator", vram_each_gib=None))
    assert (known.vram_each_gib, unknown.vram_each_gib) == (24.0, None)


def names(filters: Filters, *quotes: Quote) -> list[str]:
    return [offer.quote.source for offer in wanted_offers(made(*quotes), filters, SPECS)]


def test_filters_ask_of_each_gpu_or_of_all_together() -> None:
    one = quote("1", "L40S", vram_each_gib=46068 / 1024, source="one")
    four = quote("1", vram_each_gib=24564 / 1024, gpu_count=4, source="four")
    silent = quote("1", "Frobnicator", vram_each_gib=None, source="silent")
    every = (one, four, silent)
    assert names(Filters(min_vram_gib=24), *every) == ["one", "four"]
    assert names(Filters(min_vram_gib=48), *every) == ["one"]
    assert names(Filters(min_vram_total_gib=96), *every) == ["four"]
    assert names(Filters(max_price=Decimal("0.25")), *every) == ["four"]
    assert names(Filters(), *every) == ["one", "four", "silent"]


def test_filters_on_provider_tier_region_and_reliability() -> None:
    here = quote("1", region="Texas, US", reliability=0.99, source="here")
    there = spot("1", region="eu-west-1", provider="aws", source="there")
    secure = quote("1", provider="runpod", plan="secure", source="secure")
    every = (here, there, secure)
    assert names(Filters(region="us"), *every) == ["here"]
    assert names(Filters(region="texas"), *every) == ["here"]
    assert names(Filters(region="eu"), *every) == ["there"]
    assert names(Filters(min_reliability=0.9), *every) == ["here"]
    assert names(Filters(tiers=("spot",)), *every) == ["there"]
    assert names(Filters(tiers=("secure",)), *every) == ["secure"]
    assert names(Filters(tiers=("on-demand",)), *every) == ["here", "secure"]
    assert names(Filters(providers=("aws", "runpod")), *every) == ["there", "secure"]


def test_prices_are_compared_before_they_are_rounded() -> None:
    offers = made(quote("0.1334"), quote("0.1333"), quote("0.4", gpu_count=4))
    assert [offer.quote.price_hour_usd for offer in ordered(offers)] == [
        Decimal("0.4"),
        Decimal("0.1333"),
        Decimal("0.1334"),
    ]
    assert [offer.quote.gpu_count for offer in ordered(offers, "total")] == [1, 1, 4]
    assert [offer.quote.gpu_count for offer in ordered(offers, "vram")] == [4, 1, 1]


def test_at_the_same_price_what_is_not_taken_away_comes_first() -> None:
    assert [offer.quote.tier for offer in ordered(made(spot("0.13"), quote("0.13")))] == ["on-demand", "spot"]


def test_a_cost_decides_the_order_and_the_unknown_comes_last() -> None:
    offers = made(quote("1", source="a"), quote("2", source="b"), quote("3", source="c"))
    costs = {"a": None, "b": Decimal(9), "c": Decimal(1)}
    found = ordered(offers, cost=lambda offer: costs[offer.quote.source])
    assert [offer.quote.source for offer in found] == ["c", "b", "a"]


def test_the_order_does_not_depend_on_who_answered_first() -> None:
    quotes = [quote("0.2", region=str(n)) for n in range(6)]
    assert ordered(made(*quotes)) == ordered(made(*reversed(quotes)))


def test_an_hour_is_fresh_and_a_day_is_the_most_that_counts() -> None:
    assert [judged(age) for age in (0, 3599, 3600, 86399, 86400)] == ["fresh", "fresh", "stale", "stale", "snapshot"]


def test_money_is_shown_with_three_decimals_below_a_dollar_and_two_above() -> None:
    shown = {
        "0.11": "$0.11",
        "0.1333": "$0.133",
        "0.07": "$0.07",
        "2.689": "$2.69",
        "1": "$1.00",
        "0.00030": "$0.00030",
    }
    assert {text: usd(Decimal(text)) for text in shown} == shown


def test_dated_rows_fill_what_nobody_said_lately() -> None:
    dated = [quote("0.9", source="dated vast"), quote("0.8", provider="modal", source="dated modal")]
    recent: list[tuple[Quote, Staleness]] = [(quote("0.3", "RTX 3090", source="recent"), "fresh")]
    whole = combined(recent, dated, SPECS, complete={"vast"})
    assert {offer.quote.source: offer.staleness for offer in whole} == {"recent": "fresh", "dated modal": "snapshot"}
    part = combined(recent, dated, SPECS, complete=set())
    assert {offer.quote.source for offer in part} == {"recent", "dated vast", "dated modal"}
    covered = combined([(quote("0.3", source="recent"), "stale")], dated, SPECS, complete=set())
    assert {offer.quote.source for offer in covered} == {"recent", "dated modal"}


def test_a_source_that_gave_nothing_says_that_dated_rows_stand_in() -> None:
    offers = made(quote("1"), quote("1", provider="modal"), staleness="snapshot")
    sources = [
        Origin(name="vast", status="none", age_s=None, note="gone"),
        Origin(name="lium", status="none", age_s=None),
    ]
    found = origins_of(offers, sources, brings={"vast": ("vast",), "lium": ("lium",)}, ages_s={"vast": 5, "modal": 7})
    assert [(line.name, line.status, line.age_s, line.note) for line in found] == [
        ("vast", "snapshot", 5, "gone"),
        ("lium", "none", None, ""),
        ("modal", "snapshot", 7, ""),
    ]


def test_a_view_has_numbers_and_null_for_what_is_not_known() -> None:
    (offer,) = made(quote("0.1", gpu_count=3))
    view = offer_view(offer)
    assert view["price_hour_usd"] == 0.1
    assert view["price_gpu_hour_usd"] == 0.033333333
    assert view["region"] is None
    msgspec.json.encode(view)


def test_every_row_of_the_shipped_snapshot_has_its_day_and_its_source() -> None:
    snapshot = load_snapshot()
    assert snapshot is not None
    assert len(snapshot.offers) > 400
    assert all(item.observed_at in snapshot.sources for item in snapshot.offers)
    assert all(item.source for item in snapshot.offers)
    offers = make_offers([(item, "snapshot") for item in snapshot.offers], SPECS)
    assert [offer.quote.gpu_raw for offer in offers if offer.gpu is None] == []
    spots = [offer for offer in offers if offer.quote.provider == "runpod" and offer.quote.tier == "spot"]
    assert spots
    assert all("no_discount" in offer.flags for offer in spots)
