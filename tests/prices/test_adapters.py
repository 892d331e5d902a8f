"""What each provider's answer becomes: units, tiers, stock, and what is unknown."""

import json
import zlib
from decimal import Decimal
from typing import Any

import pytest

from planner.catalog.loader import Catalog
from planner.catalog.location import data_dir
from planner.core.costs.offers import Filters, Offer, Quote, make_offers, ordered, wanted_offers
from planner.core.pages.offer_view import TIERS, provider_name, usd
from planner.prices.collect import Collected
from planner.prices.provider import Wanted
from planner.prices.vast import CLASSES_MB, ROW_CAP
from tests.prices.conftest import NOW, Collect
from tests.prices.price_server import AWS_ROWS, CSV_HEAD, Fault, PriceServer, sample

SPECS = Catalog(models=(), folder=data_dir()).devices


def offers_of(found: Collected) -> tuple[Offer, ...]:
    return make_offers([(quote, "fresh") for quote in found.quotes], SPECS)


def only(found: Collected, **wanted: object) -> Quote:
    (quote,) = [q for q in found.quotes if all(getattr(q, name) == value for name, value in wanted.items())]
    return quote


# Vast.ai


def test_vast_prices_are_of_the_whole_offer_and_without_storage(gather: Collect) -> None:
    quote = only(gather("vast"), gpu_raw="RTX 3090", tier="on-demand")
    assert quote.price_hour_usd == Decimal("0.32")  # dph_base, not dph_total
    assert quote.storage_usd_gb_month == Decimal("0.2")
    assert quote.month_hours == 720
    assert (quote.ingress_usd_gb, quote.egress_usd_gb) == (Decimal("0.03"), Decimal("0.03"))
    assert (quote.inet_down_mbps, quote.inet_up_mbps) == (807.6, 727.5)
    assert quote.reliability == 0.9993718
    assert quote.region == "Norway"
    assert quote.vram_each_gib == 24.0
    assert quote.verified is True


def test_vast_storage_for_an_hour_is_what_the_record_says() -> None:
    recorded = sample("vast_bundles.json")["offers"][1]
    hour = 10 * Decimal(str(recorded["storage_cost"])) / 720
    assert abs(hour - Decimal(str(recorded["storage_total_cost"]))) < Decimal("1e-9")


def test_an_interruptible_offer_of_vast_costs_its_least_bid(gather: Collect) -> None:
    quote = only(gather("vast"), gpu_raw="RTX 4090", tier="spot")
    assert (quote.price_hour_usd, quote.interruptible) == (Decimal("0.2"), True)


def test_several_gpus_of_vast_share_the_price(server: PriceServer, gather: Collect) -> None:
    server.vast = [{**server.vast[0], "num_gpus": 4, "gpu_total_ram": 4 * 24564, "dph_base": 1.2}]
    (offer,) = offers_of(gather("vast", wanted=Wanted(tiers=("on-demand",))))
    assert (offer.quote.gpu_count, offer.quote.price_hour_usd) == (4, Decimal("1.2"))
    assert offer.price_gpu_hour_usd == Decimal("0.3")
    assert (offer.vram_each_gib, offer.vram_total_gib) == (24.0, 96.0)


def test_vast_is_asked_for_a_class_of_memory_at_a_time_and_only_for_those_wanted(
    server: PriceServer, gather: Collect
) -> None:
    gather("vast", wanted=Wanted(min_vram_gib=24, tiers=("spot",)))
    asked = [seen.json for seen in server.asked("/vast")]
    assert [(body["gpu_ram"]["gte"], body["gpu_ram"]["lt"]) for body in asked] == list(CLASSES_MB[2:])
    assert {body["type"] for body in asked} == {"bid"}
    assert all(body["order"] == [["dph_base", "asc"]] for body in asked)
    assert "authorization" not in server.seen[0].headers  # a wrong key would be answered with 404


def many_of(server: PriceServer, count: int) -> list[dict[str, Any]]:
    return [{**server.vast[0], "id": number, "dph_base": 0.2 + number / 1000} for number in range(count)]


def test_a_full_page_of_vast_is_followed_by_the_next_and_then_marked_incomplete(
    server: PriceServer, gather: Collect
) -> None:
    server.vast = many_of(server, 300)
    found = gather("vast", wanted=Wanted(min_vram_gib=20, tiers=("on-demand",)))
    pages = [seen.json for seen in server.asked("/vast") if seen.json["gpu_ram"]["gte"] == 17500]
    floors = [page.get("dph_base") for page in pages]
    assert floors == [None, {"gte": pytest.approx(0.263)}, {"gte": pytest.approx(0.326)}]
    assert len(found.quotes) == 3 * ROW_CAP - 2  # the first of a page was the last of the one before
    assert all("incomplete" in quote.flags for quote in found.quotes)
    assert "incomplete" in found.sources[0].note


def test_the_pages_of_vast_end_where_there_is_no_more(server: PriceServer, gather: Collect) -> None:
    server.vast = many_of(server, 100)
    found = gather("vast", wanted=Wanted(min_vram_gib=20, tiers=("on-demand",)))
    assert len(found.quotes) == 100
    assert all(not quote.flags for quote in found.quotes)


def test_all_of_vast_is_never_more_requests_than_a_minute_allows(server: PriceServer, gather: Collect) -> None:
    server.vast = [
        {**row, "gpu_ram": low + 1, "id": 1000 * low + row["id"]}
        for low, _ in CLASSES_MB
        for row in many_of(server, 80)
    ]
    gather("vast")
    assert len(server.asked("/vast")) == 10


def test_two_questions_within_a_minute_are_no_more_requests_than_one_minute_allows(
    server: PriceServer, gather: Collect
) -> None:
    server.vast = [
        {**row, "gpu_ram": low + 1, "id": 1000 * low + row["id"]}
        for low, _ in CLASSES_MB
        for row in many_of(server, 80)
    ]
    gather("vast", wanted=Wanted(min_vram_gib=40, tiers=("spot",)))
    first = len(server.asked("/vast"))
    assert first == 4  # two classes, two pages each
    second = gather("vast", now=NOW + 20)
    assert len(server.asked("/vast")) == 10
    assert "allows 10 requests a minute" in second.sources[0].note
    assert second.sources[0].status == "partial"
    assert second.sources[0].missing == 2  # of ten parts two were known, and six could be asked for
    again = gather("vast", now=NOW + 40, refresh=True)
    assert len(server.asked("/vast")) == 10
    assert again.quotes == second.quotes
    assert gather("vast", now=NOW + 90).sources[0].missing == 0
    assert len(server.asked("/vast")) <= 20


def test_the_first_page_of_vast_counts_where_the_next_fails(server: PriceServer, gather: Collect) -> None:
    server.vast = many_of(server, 80)
    server.fail("/vast", Fault(), Fault(404))
    found = gather("vast", wanted=Wanted(min_vram_gib=20, tiers=("on-demand",)))
    assert len(found.quotes) == ROW_CAP
    assert all("incomplete" in quote.flags for quote in found.quotes)


def test_a_page_of_vast_that_is_not_full_is_complete(server: PriceServer, gather: Collect) -> None:
    found = gather("vast")
    assert all(not quote.flags for quote in found.quotes)
    assert len(server.asked("/vast")) == 2 * len(CLASSES_MB) <= 10  # requests a minute


@pytest.mark.parametrize(
    "change",
    [
        {"dph_base": "0.32", "num_gpus": "1", "gpu_ram": "24576"},
        {"cpu_cores": None, "geolocation": None, "external": None, "dph_total": None},
        {"storage_cost": None, "inet_down": None, "inet_up_cost": None, "reliability2": None},
    ],
    ids=["strings", "nulls", "unknown costs"],
)
def test_a_field_of_vast_that_is_null_or_text_costs_nothing_else(
    server: PriceServer, gather: Collect, change: dict[str, object]
) -> None:
    server.vast = [{**server.vast[1], **change}]
    (quote,) = gather("vast", wanted=Wanted(tiers=("on-demand",))).quotes
    assert (quote.price_hour_usd, quote.gpu_count) == (Decimal("0.32"), 1)
    if "storage_cost" in change:
        assert (quote.storage_usd_gb_month, quote.inet_down_mbps, quote.egress_usd_gb) == (None, None, None)


@pytest.mark.parametrize(
    "change",
    [{"dph_base": 0}, {"dph_base": None}, {"dph_base": "NaN"}, {"dph_base": -1}, {"num_gpus": None}, {"gpu_name": ""},
     {"rentable": False}, {"num_gpus": True}, {"dph_base": 1e400}],
    ids=str,
)  # fmt: skip
def test_what_is_no_offer_of_vast_is_dropped(server: PriceServer, gather: Collect, change: dict[str, object]) -> None:
    server.vast = [{**server.vast[1], **change}]
    assert gather("vast", wanted=Wanted(tiers=("on-demand",))).quotes == ()


def test_a_cost_of_vast_that_is_negative_is_not_known(server: PriceServer, gather: Collect) -> None:
    server.vast = [{**server.vast[1], "storage_cost": -1, "inet_down_cost": -0.5, "inet_up_cost": 0}]
    (quote,) = gather("vast", wanted=Wanted(tiers=("on-demand",))).quotes
    assert (quote.storage_usd_gb_month, quote.ingress_usd_gb, quote.egress_usd_gb) == (None, None, Decimal(0))


def test_vast_may_answer_with_one_offer_instead_of_a_list(server: PriceServer, gather: Collect) -> None:
    body = json.dumps({"offers": sample("vast_bundles.json")["offers"][0]}).encode()
    server.fail("/vast", Fault(body=body, always=True))
    assert {quote.gpu_raw for quote in gather("vast").quotes} == {"RTX 4090"}


def test_a_row_of_the_mirror_is_understood_too(server: PriceServer, gather: Collect) -> None:
    row = {**sample("vast_mirror.json")["offers"][0], "rentable": True}
    server.vast = [row]
    (spot, firm) = sorted(gather("vast").quotes, key=lambda quote: quote.price_hour_usd)
    assert (spot.tier, firm.tier) == ("spot", "on-demand")
    assert (firm.verified, firm.price_hour_usd) == (False, Decimal("0.10533333333333333"))


# RunPod


def test_runpod_prices_are_per_gpu_and_its_spot_is_called_what_it_is(gather: Collect) -> None:
    found = gather("runpod")
    firm = {quote.plan: quote.price_hour_usd for quote in found.quotes if not quote.interruptible}
    assert firm == {"secure": Decimal("1.89"), "community": Decimal("1.59")}
    spot = only(found, tier="spot")
    assert (spot.plan, spot.price_hour_usd) == ("community", Decimal("0.89"))
    assert {quote.tier for quote in found.quotes} == {"on-demand", "community", "spot"}
    assert all(quote.flags == ("stock_unknown",) for quote in found.quotes)


def gpu_type(**changes: Any) -> dict[str, Any]:
    lowest = {"minimumBidPrice": 0.13, "uninterruptablePrice": 0.13, "stockStatus": "High", "availableGpuCounts": [1]}
    return {
        "id": "NVIDIA GeForce RTX 3070",
        "displayName": "RTX 3070",
        "memoryInGb": 8,
        "secureCloud": False,
        "communityCloud": True,
        "securePrice": 0,
        "communityPrice": 0.13,
        "secureSpotPrice": 0,
        "communitySpotPrice": 0.13,
        "secure": None,
        "community": lowest,
        **changes,
    }


def test_a_price_of_runpod_without_stock_is_no_offer(server: PriceServer, gather: Collect) -> None:
    gone = {"minimumBidPrice": None, "uninterruptablePrice": None, "stockStatus": None}
    server.gpu_types = [
        gpu_type(community=None),
        gpu_type(community=gone),
        gpu_type(id="AMD Instinct MI300X OAM", memoryInGb=192, communityPrice=0.5, community=gone),
        gpu_type(id="H200 NVL", communitySpotPrice=0.5, communityPrice=3.0, community={"stockStatus": ""}),
    ]
    assert gather("runpod").quotes == ()


def test_the_placeholder_of_runpod_is_dropped_where_stock_is_not_known(server: PriceServer, gather: Collect) -> None:
    row = gpu_type(communityPrice=0.5, communitySpotPrice=0.5)
    del row["community"], row["secure"]
    server.gpu_types = [row]
    assert gather("runpod").quotes == ()


def test_the_numbers_of_gpus_that_runpod_has_are_offers_of_their_own(server: PriceServer, gather: Collect) -> None:
    lowest = {"stockStatus": "Low", "availableGpuCounts": [1, 2, 3, 4, 5, "x", None]}
    server.gpu_types = [gpu_type(community=lowest, communitySpotPrice=None)]
    found = {quote.gpu_count: quote.price_hour_usd for quote in gather("runpod").quotes}
    assert found == {1: Decimal("0.13"), 2: Decimal("0.26"), 4: Decimal("0.52")}


def test_the_form_of_runpods_documentation_is_understood(server: PriceServer, gather: Collect) -> None:
    documented = sample("runpod_graphql.json")
    server.gpu_types = [*documented["one"]["data"]["gpuTypes"], *documented["stock_high"]["data"]["gpuTypes"]]
    (quote,) = gather("runpod").quotes
    assert (quote.gpu_raw, quote.tier, quote.price_hour_usd) == (
        "NVIDIA GeForce RTX 3090",
        "community",
        Decimal("0.3"),
    )


def test_errors_beside_data_are_a_note_and_errors_alone_a_failure(server: PriceServer, gather: Collect) -> None:
    both = {"data": {"gpuTypes": [gpu_type()]}, "errors": [{"message": "Something went wrong"}]}
    alone = {"data": None, "errors": [{"message": "Something went wrong"}]}
    server.fail("/graphql", Fault(body=json.dumps(both).encode()), Fault(body=json.dumps(alone).encode()))
    first = gather("runpod")
    assert len(first.quotes) == 2
    assert first.sources[0].note == "says: Something went wrong"
    second = gather("runpod", refresh=True)
    assert "Something went wrong" in second.sources[0].note
    assert second.quotes == first.quotes  # what was collected before


def test_runpods_newer_interface_needs_the_key_and_has_both_clouds(server: PriceServer, gather: Collect) -> None:
    found = gather("runpod-rest", keys={"RUNPOD_API_KEY": server.key})
    prices = {(quote.provider, quote.tier): quote.price_hour_usd for quote in found.quotes}
    assert prices == {("runpod", "on-demand"): Decimal("0.44"), ("runpod", "community"): Decimal("0.31")}
    assert {quote.stock for quote in found.quotes} == {"High"}
    assert {(q.storage_usd_gb_month, q.paused_storage_usd_gb_month) for q in found.quotes} == {
        (Decimal("0.10"), Decimal("0.20"))
    }
    assert all("product=POD" in seen.path for seen in server.asked("/v2"))


def test_without_a_key_the_newer_interface_is_not_asked(server: PriceServer, gather: Collect) -> None:
    (source,) = gather("runpod-rest").sources
    assert (source.status, source.note) == ("none", "not asked: there is no RUNPOD_API_KEY")
    assert server.seen == []


def test_a_wrong_key_is_said_and_costs_nobody_else(gather: Collect) -> None:
    found = gather("runpod-rest", "lium", keys={"RUNPOD_API_KEY": "wrong"})
    notes = {source.name: source.note for source in found.sources}
    assert "refused the request (401)" in notes["runpod-rest"]
    assert notes["lium"] == ""
    assert found.quotes


def test_what_is_not_available_in_the_newer_interface_is_no_offer(server: PriceServer, gather: Collect) -> None:
    server.rest["gpus"][0]["availability"] = "NONE"
    assert gather("runpod-rest", keys={"RUNPOD_API_KEY": server.key}).quotes == ()


def test_the_newer_interface_replaces_the_olders_prices_but_not_its_spot(
    server: PriceServer, gather: Collect
) -> None:
    server.gpu_types = [gpu_type()]
    found = gather("runpod", "runpod-rest", keys={"RUNPOD_API_KEY": server.key})
    assert [quote.gpu_raw for quote in found.quotes if quote.tier == "spot"] == ["NVIDIA GeForce RTX 3070"]
    assert {quote.gpu_raw for quote in found.quotes if quote.tier != "spot"} == {"NVIDIA GeForce RTX 4090"}


# Lium


def test_a_node_of_lium_is_offered_whole_where_it_cannot_be_shared(gather: Collect) -> None:
    found = gather("lium")
    assert only(found, gpu_raw="A100-SXM4-80GB").gpu_count == 8
    assert only(found, gpu_raw="A100-SXM4-80GB").price_hour_usd == Decimal("9.84")
    shared = {quote.gpu_count: quote.price_hour_usd for quote in found.quotes if quote.gpu_raw == "H200"}
    assert shared == {1: Decimal("3.99"), 5: Decimal("19.95")}
    spot = only(found, tier="spot")
    assert (spot.interruptible, spot.region) == (True, "Minneapolis, US")
    assert spot.observed_at == "2026-09-10T07:37:02Z"


def test_a_node_of_lium_without_enough_free_gpus_is_no_offer(server: PriceServer, gather: Collect) -> None:
    for node in server.lium["nodes"]:
        node["available_gpu_count"] = node["min_rentable_gpu_count"] - 1
    assert gather("lium").quotes == ()


def test_a_provider_is_asked_whether_anything_has_changed(server: PriceServer, gather: Collect) -> None:
    keys = {"RUNPOD_API_KEY": server.key}
    first = gather("lium", "runpod-rest", keys=keys)
    second = gather("lium", "runpod-rest", keys=keys, refresh=True)
    for path in ("/lium", "/v2"):
        asked = [seen.headers.get("if-none-match") is not None for seen in server.asked(path)]
        assert asked == [False] * (len(asked) // 2) + [True] * (len(asked) // 2)
    assert second.quotes == first.quotes
    assert {source.status for source in second.sources} == {"fresh"}
    server.lium["nodes"] = server.lium["nodes"][:1]
    assert len(gather("lium", refresh=True).quotes) < len([q for q in first.quotes if q.provider == "lium"])


def test_a_server_without_tags_is_asked_by_the_time_it_named(server: PriceServer, gather: Collect) -> None:
    server.tags, server.last_modified = False, "Sun, 22 Nov 2026 11:30:00 GMT"
    first = gather("lium")
    assert gather("lium", refresh=True).quotes == first.quotes
    assert [seen.headers.get("if-modified-since") for seen in server.asked("/lium")] == [None, server.last_modified]


def test_a_server_that_gives_nothing_to_ask_by_is_asked_plainly(server: PriceServer, gather: Collect) -> None:
    server.tags = False
    gather("lium")
    gather("lium", refresh=True)
    assert not any(name.startswith("if-") for seen in server.asked("/lium") for name in seen.headers)


# The CSV catalog


def test_the_csv_catalog_has_prices_of_whole_instances(gather: Collect) -> None:
    found = gather("gpuhunt")
    firm = only(found, gpu_raw="L4", interruptible=False)
    assert (firm.provider, firm.price_hour_usd, firm.region) == ("aws", Decimal("0.8048"), "us-east-1")
    assert only(found, gpu_raw="L4", interruptible=True).price_hour_usd == Decimal("0.3542")
    whole = only(found, gpu_raw="H100")
    assert (whole.gpu_count, whole.price_hour_usd, whole.instance) == (8, Decimal("55.04"), "p5.48xlarge")
    assert {quote.observed_at for quote in found.quotes} == {"2026-11-22"}  # the version's day
    assert len(found.quotes) == 3  # instances without a GPU are none
    assert "7 of 8 parts are missing" in found.sources[0].note  # the server has one cloud


def test_the_time_of_the_file_is_preferred_to_the_day_of_its_version(server: PriceServer, gather: Collect) -> None:
    server.csv_headers = {"Last-Modified": "Sun, 22 Nov 2026 11:30:00 GMT"}
    assert {quote.observed_at for quote in gather("gpuhunt").quotes} == {"2026-11-22T11:30:00Z"}


def test_an_unchanged_version_of_the_catalog_is_not_fetched_again(server: PriceServer, gather: Collect) -> None:
    first = gather("gpuhunt")
    second = gather("gpuhunt", refresh=True)
    assert len([seen for seen in server.seen if seen.path.endswith("catalog.zip")]) == 1
    assert second.quotes == first.quotes


@pytest.mark.parametrize(
    "body",
    [b"", b"PK\x03\x04 no archive", b"<html>", zlib.compress(b"x")],
    ids=["empty", "broken", "page", "other"],
)
def test_an_archive_that_is_none_costs_that_cloud_only(server: PriceServer, gather: Collect, body: bytes) -> None:
    server.csv["gcp"] = CSV_HEAD + AWS_ROWS
    server.fail("/csv/gcp/20261122-42/catalog.zip", Fault(status=200, body=body or b" ", always=True))
    found = gather("gpuhunt")
    assert {quote.provider for quote in found.quotes} == {"aws"}
    assert "a readable file of gcp" in found.sources[0].note


# The five rows of the page that this was made after


def test_the_five_cheapest_rows_are_those_of_the_page(server: PriceServer, gather: Collect) -> None:
    base = server.vast[0]
    server.vast = [
        {**base, "id": 1, "gpu_name": "RTX 5070 Ti", "gpu_ram": 16303, "dph_base": 0.16, "min_bid": 0.11},
        {**base, "id": 2, "gpu_name": "RTX 5090", "gpu_ram": 32607, "dph_base": 0.36, "min_bid": 0.1333},
        {**base, "id": 3, "gpu_name": "RTX 4090", "gpu_ram": 24564, "dph_base": 0.29, "min_bid": 0.1334},
    ]
    server.gpu_types = [gpu_type()]
    offers = wanted_offers(offers_of(gather("vast", "runpod")), Filters(min_vram_gib=5), SPECS)
    names = {spec.slug: spec.name for spec in SPECS}
    shown = [
        f"{names[offer.device or '']} · {provider_name(offer.quote.provider)} · {TIERS[offer.quote.tier]} · "
        f"{offer.vram_each_gib:g} GB · {usd(round(offer.price_gpu_hour_usd, 2))}"
        for offer in ordered(offers)[:5]
    ]
    assert shown == [
        "GeForce RTX 5070 Ti · Vast.ai · Spot · 16 GB · $0.11",
        "GeForce RTX 3070 · RunPod · Community · 8 GB · $0.13",
        "GeForce RTX 3070 · RunPod · Spot · 8 GB · $0.13",
        "GeForce RTX 5090 · Vast.ai · Spot · 32 GB · $0.13",
        "GeForce RTX 4090 · Vast.ai · Spot · 24 GB · $0.13",
    ]
    flags = {(offer.quote.provider, offer.quote.tier): offer.flags for offer in offers}
    assert flags["runpod", "spot"] == ("no_discount",)
    assert flags["runpod", "community"] == ()
    assert flags["vast", "spot"] == ()


def test_an_unknown_gpu_stays_visible_by_its_memory(server: PriceServer, gather: Collect) -> None:
    server.vast = [{**server.vast[0], "gpu_name": "Frobnicator 9"}]
    offers = wanted_offers(offers_of(gather("vast")), Filters(min_vram_gib=24), SPECS)
    assert {(offer.gpu, offer.quote.gpu_raw, offer.vram_each_gib) for offer in offers} == {
        (None, "Frobnicator 9", 24.0)
    }
