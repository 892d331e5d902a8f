"""`planner prices`: what it prints for people and scripts, from the cache and from the shipped snapshot."""

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from planner.catalog.prices import load_snapshot
from planner.cli.market import device_table, find_market
from planner.cli.session import Session
from planner.config import load_config
from planner.prices.provider import Wanted
from planner.prices.vast import CLASSES_MB
from tests.cli.conftest import Planner
from tests.cli.kept_prices import keep, lium
from tests.prices.price_server import Fault, PriceServer

SNAPSHOT = load_snapshot()
FIELDS = {
    "provider", "tier", "interruptible", "gpu", "gpu_raw", "gpu_count", "vram_each_gib", "price_gpu_hour_usd",
    "price_hour_usd", "usd_per_million_tokens", "region", "reliability", "observed_at", "source", "staleness",
    "flags",
}  # fmt: skip


def test_the_contract_of_the_document_holds(planner: Planner) -> None:
    outcome = planner("prices", "--vram", "24", "--offline", "--json")
    assert outcome.code == 0
    document = outcome.json
    assert {"as_of", "offers", "providers"} <= set(document)
    assert document["schema"] == 1
    for offer in document["offers"]:
        assert set(offer) >= FIELDS
        assert offer["vram_each_gib"] >= 24
        assert offer["staleness"] == "snapshot"
        assert offer["observed_at"] <= document["as_of"]
        assert offer["price_hour_usd"] == pytest.approx(offer["price_gpu_hour_usd"] * offer["gpu_count"])
    prices = [offer["price_gpu_hour_usd"] for offer in document["offers"]]
    assert prices == sorted(prices)
    assert all(set(line) == {"name", "status", "age_s", "note"} for line in document["providers"])
    assert {line["status"] for line in document["providers"]} <= {"snapshot", "none"}


def test_memory_is_that_of_one_gpu_or_of_all_together(planner: Planner) -> None:
    each = planner("prices", "--vram", "48", "--offline", "--json").json["offers"]
    total = planner("prices", "--vram-total", "300", "--offline", "--json").json["offers"]
    assert min(offer["vram_each_gib"] for offer in each) == 48
    assert all(offer["vram_each_gib"] * offer["gpu_count"] >= 300 for offer in total)
    assert min(offer["vram_each_gib"] for offer in total) < 300


@pytest.mark.parametrize("width", ["80", "100", "200"])
@pytest.mark.parametrize("more", [(), ("--model", "bge-m3", "--no-here"), ("--gpu", "H100", "--all")], ids=str)
def test_every_row_has_its_date_and_no_line_is_too_long(
    planner: Planner, monkeypatch: pytest.MonkeyPatch, width: str, more: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    outcome = planner("prices", "--vram", "24", "--offline", *more)
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= int(width)
    head = next(index for index, line in enumerate(lines) if line.startswith("  GPU"))
    rows = [line for line in lines[head + 1 :] if line.startswith("  ") and "$" in line][:20]
    assert len(rows) == 20
    assert all(" 2026-0" in row for row in rows)
    assert "Snapshot of" in outcome.out


def test_the_same_question_has_the_same_answer(planner: Planner) -> None:
    first = planner("prices", "--vram", "24", "--offline", "--json", "--model", "bge-m3").json
    second = planner("prices", "--vram", "24", "--offline", "--json", "--model", "bge-m3").json
    assert first["offers"] == second["offers"]


def test_the_answer_without_a_model_needs_neither_requests_nor_the_models(tmp_path: Path) -> None:
    code = (
        "import sys; from planner.cli.app import run; code = run(['prices', '--vram', '24', '--offline', '--json'])\n"
        "heavy = {'requests', 'urllib3', 'textual', 'huggingface_hub', 'numpy', 'gguf', 'planner.core.pairs.pair',"
        " 'planner.probe.host', 'zipfile'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    assert done.stderr.strip() == "0 []"
    assert json.loads(done.stdout)["offers"]


def test_fresh_and_stale_prices_say_their_age_and_leave_no_dated_row_of_their_provider(planner: Planner) -> None:
    keep(lium("0.01", age_s=600), age_s=600)
    keep(
        lium("0.02", age_s=7200, provider="vast"), provider="vast", age_s=7200,
        parts=tuple(f"{low}-{high}:{kind}" for low, high in CLASSES_MB for kind in ("on-demand", "bid")),
    )  # fmt: skip
    document = planner("prices", "--offline", "--json").json
    ages = {offer["provider"]: offer["staleness"] for offer in document["offers"][:2]}
    assert ages == {"lium": "fresh", "vast": "stale"}
    assert [offer["staleness"] for offer in document["offers"] if offer["provider"] == "vast"] == ["stale"]
    lines = {line["name"]: line for line in document["providers"]}
    assert (lines["lium"]["status"], lines["vast"]["status"], lines["runpod"]["status"]) == (
        "fresh",
        "stale",
        "snapshot",
    )
    assert 590 <= lines["lium"]["age_s"] <= 700
    text = planner("prices", "--offline").out
    assert "10 min" in text
    assert "2 h" in text


def test_prices_older_than_a_day_give_way_to_the_snapshot(planner: Planner) -> None:
    keep(lium("0.01", age_s=90_000, provider="vast"), provider="vast", age_s=90_000)
    offers = planner("prices", "--provider", "vast", "--offline", "--json").json["offers"]
    assert {offer["staleness"] for offer in offers} == {"snapshot"}
    assert 0.01 not in {offer["price_hour_usd"] for offer in offers}


def test_a_gpu_nobody_knows_is_shown_under_its_own_name(planner: Planner) -> None:
    keep(lium("0.01", age_s=60, gpu="Frobnicator 9"))
    offer = planner("prices", "--offline", "--json").json["offers"][0]
    assert (offer["gpu"], offer["gpu_raw"]) == (None, "Frobnicator 9")
    assert "Frobnicator 9" in planner("prices", "--offline").out


def test_with_a_model_offers_that_hold_it_are_sorted_by_the_price_of_its_tokens(planner: Planner) -> None:
    outcome = planner("prices", "--model", "Qwen3-8B:Q4_K_M", "--offline", "--json")
    document = outcome.json
    prices = [offer["usd_per_million_tokens"] for offer in document["offers"]]
    assert prices == sorted(prices)
    assert all(price > 0 for price in prices)
    assert document["left_out"] > 0  # cards of 4 GiB
    assert document["models"] == [{"model": "Qwen/Qwen3-8B", "variant": "Q4_K_M"}]
    assert document["own"] is None  # nothing of this machine unless asked for
    first = document["offers"][0]
    spread = first["usd_per_million_generated"]
    assert spread["low"] < spread["mid"] < spread["high"]
    expected = first["price_hour_usd"] / (first["tg"]["mid"] * 3600 / 1e6)
    assert first["usd_per_million_tokens"] == pytest.approx(expected, rel=1e-6)


def test_an_embedder_is_priced_by_tokens_embedded_and_a_pair_by_both(planner: Planner) -> None:
    alone = planner("prices", "--model", "bge-m3", "--offline", "--json", "-n", "1").json["offers"][0]
    assert alone["usd_per_million_generated"] is None
    assert alone["usd_per_million_tokens"] == alone["usd_per_million_embedded"]["mid"]
    pair = planner(
        "prices", "--model", "bge-m3", "--model", "Qwen3-8B:Q4_K_M", "--offline", "--json", "-n", "1"
    ).json["offers"][0]
    assert pair["usd_per_million_tokens"] == pair["usd_per_million_generated"]["mid"]
    assert pair["usd_per_million_embedded"]["mid"] > 0


def test_a_job_is_priced_with_download_storage_and_interruptions(planner: Planner) -> None:
    outcome = planner(
        "prices",
        "--model",
        "Qwen3-8B:Q4_K_M",
        "--tokens-out",
        "1000000",
        "--interruptions",
        "3",
        "--offline",
        "--json",
    )
    document = outcome.json
    job = document["offers"][0]["job"]
    assert job["total_usd"]["mid"] == pytest.approx(
        job["time_usd"]["mid"] + job["storage_usd"]["mid"] + job["traffic_usd"]
    )
    assert job["interrupted_usd"]["mid"] > job["total_usd"]["mid"]
    inputs = document["inputs"]
    assert inputs["download_gb"] == pytest.approx(5.03, abs=0.1)
    assert inputs["storage_gb"] == pytest.approx(inputs["download_gb"] + 10)
    assert (inputs["tokens_out"], inputs["utilisation"], inputs["network_mbps"]) == (1_000_000, 1.0, 500.0)
    assert inputs["given"] == ["interruptions", "tokens_out"]
    planned = [
        offer["job"]["interrupted_usd" if offer["interruptible"] else "total_usd"]["mid"]
        for offer in document["offers"]
    ]
    assert planned == sorted(planned)


def test_all_that_was_reckoned_with_is_printed_with_the_options_that_change_it(planner: Planner) -> None:
    text = " ".join(
        planner(
            "prices", "--model", "Qwen3-8B:Q4_K_M", "--tokens-out", "1000000", "--device", "RTX 3090",
            "--device-price", "700", "--kwh-price", "0.35", "--offline",
        ).out.split()
    )  # fmt: skip
    for words in (
        "(--parallel)", "(--utilisation)", "(--download-gb)", "(--storage-gb)", "(--network-mbps)", "(assumed)",
        "(--paused-hours)", "(--restart-hours)", "(--document-tokens)", "64.0 GiB of host memory", "cached in F16",
        "730 h", "350 W", "$0.35 a kWh", "Your own: GeForce RTX 3090", "bought for $700.00 it",
    ):  # fmt: skip
        assert words in text
    assert "(--tokens-out)" not in text  # it was given


def test_a_device_of_ones_own_that_waits_is_paid_for_too(planner: Planner) -> None:
    asked = (
        "prices", "--model", "Qwen3-8B:Q4_K_M", "--device", "RTX 3090", "--device-price", "700", "--tokens-out",
        "1000000", "--hours", "100", "--offline",
    )  # fmt: skip
    own = planner(*asked, "--utilisation", "0.25", "--json").json["own"]
    assert (own["idle_watts"], own["idle_usd_hour"]) == (35, pytest.approx(0.007))
    assert own["idle_source"].startswith("assumed: a tenth")
    mean = 0.25 * 0.07 + 0.75 * 0.007
    expected = mean / 0.25 / (own["tg"]["mid"] * 3600 / 1e6)
    assert own["usd_per_million_generated"]["mid"] == pytest.approx(expected, rel=1e-6)
    work_h = 1e6 / own["tg"]["mid"] / 3600
    assert own["job_usd"]["mid"] == pytest.approx(0.07 * work_h + 0.007 * (100 - work_h), rel=1e-6)
    said = planner(*asked, "--idle-watts", "80", "--json").json["own"]
    assert (said["idle_watts"], said["idle_source"]) == (80, "--idle-watts")
    text = " ".join(planner(*asked).out.split())
    assert "waiting: $0.0070 an hour, 35 W (assumed: a tenth of its power at work; --idle-watts)" in text


def test_a_rental_that_is_taken_away_is_paid_for_its_storage_meanwhile(planner: Planner) -> None:
    keep(lium("0.10", age_s=60, tier="spot", interruptible=True, storage_usd_gb_month=Decimal("7.30")))
    asked = (
        "prices", "--model", "Qwen3-8B:Q4_K_M", "--provider", "lium", "--hours", "10", "--storage-gb", "10",
        "--interruptions", "2", "--offline",
    )  # fmt: skip
    once, long = (planner(*asked, *more, "--json").json for more in ((), ("--paused-hours", "10")))
    assert once["inputs"]["paused_hours"] == 1
    costs = [document["offers"][0]["job"]["paused_storage_usd"] for document in (once, long)]
    assert costs == [pytest.approx(0.2), pytest.approx(2.0)]  # 0.1 USD an hour for 10 GB
    job = long["offers"][0]["job"]
    assert job["interrupted_usd"]["mid"] > job["total_usd"]["mid"] + 2
    assert "before that 1 h with storage alone paid (--paused-hours)" in " ".join(planner(*asked).out.split())


def test_a_device_of_ones_own_stands_beside_the_rentals(planner: Planner) -> None:
    document = planner(
        "prices", "--model", "Qwen3-8B:Q4_K_M", "--device", "RTX 3090", "--watts", "250", "--device-price", "700",
        "--offline", "--json",
    ).json  # fmt: skip
    own = document["own"]
    assert (own["watts"], own["kwh_usd"], own["kwh_assumed"]) == (250, 0.2, True)
    assert own["electricity_usd_hour"] == pytest.approx(0.05)
    assert own["verdict"] == "fits"
    assert own["usd_per_million_generated"]["mid"] == pytest.approx(0.05 / (own["tg"]["mid"] * 3600 / 1e6), rel=1e-6)
    for offer in document["offers"][:20]:
        saved = offer["price_hour_usd"] * own["tg"]["mid"] / offer["tg"]["mid"] - 0.05
        expected = None if saved <= 0 else pytest.approx(700 / saved, rel=1e-6)
        assert offer["break_even_hours"] == expected


@pytest.mark.parametrize(
    ("arguments", "code", "reference"),
    [
        (("--gpu", "Frobnicator"), 2, "unknown-gpu"),
        (("--vram", "many"), 2, "usage"),
        (("--vram", "-1"), 2, "usage"),
        (("--max-price", "0"), 2, "usage"),
        (("--max-price", "nan"), 2, "usage"),
        (("--max-price", "1e99"), 2, "usage"),
        (("--provider", "nobody"), 2, "unknown-provider"),
        (("--tier", "cheap"), 2, "usage"),
        (("--sort", "tokens"), 2, "order-without-model"),
        (("--sort", "job"), 2, "order-without-job"),
        (("--tokens-out", "5"), 2, "job-without-model"),
        (("--model", "Qwen3-8B", "--documents", "5"), 2, "job-without-model"),
        (("--model", "bge-m3", "--model", "bge-m3"), 2, "two-of-a-role"),
        (("--model", "no-such-model"), 2, "unknown-model"),
        (("--model", "Qwen3-8B:Q9"), 2, "unknown-quant"),
        (("--refresh",), 2, "refresh-offline"),
        (("--where",), 2, "where-without-model"),
        (("--utilisation", "0"), 2, "usage"),
        (("--utilisation", "1.1"), 2, "usage"),
        (("--vram", "4000"), 3, "no-offers"),
        (("--model", "DeepSeek-R1", "--gpu", "RTX 3090"), 3, "nothing-fits"),
        (("--device", "Frobnicator"), 2, "unknown-gpu"),
        (("--device", "RTX 3090", "--watts", "20", "--idle-watts", "30"), 2, "contradiction"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_be_answered_is_said(
    planner: Planner, arguments: tuple[str, ...], code: int, reference: str
) -> None:
    outcome = planner("prices", *arguments, "--offline", "--json")
    assert (outcome.code, outcome.json["error"]["reference"]) == (code, reference)
    assert outcome.json["error"]["message"]
    assert outcome.json["error"]["hint"]


def test_a_gpu_is_found_by_any_of_its_names(planner: Planner) -> None:
    plain = planner("prices", "--gpu", "RTX 4090", "--offline", "--json").json["offers"]
    slug = planner("prices", "--gpu", "rtx-4090", "--offline", "--json").json["offers"]
    assert plain == slug
    assert {offer["gpu"] for offer in plain} == {"rtx-4090"}
    forms = planner("prices", "--gpu", "H100", "--offline", "--json").json["offers"]
    assert {offer["gpu"] for offer in forms} == {"h100", "h100-pcie", "h100-sxm", "h100-nvl"}


def test_the_best_of_a_kind_is_no_outlier_where_there_is_another(planner: Planner) -> None:
    asked = ("prices", "--gpu", "RTX 5090", "--provider", "vast", "--tier", "spot", "--offline")
    assert "O outlier" in planner(*asked, "--all").out
    listed = planner(*asked).out
    assert "RTX 5090 " in listed
    assert "outlier" not in listed


# Where should this run?


def test_one_table_has_devices_and_rentals_by_what_tokens_cost(planner: Planner) -> None:
    document = planner(
        "prices", "--where", "--model", "bge-m3", "--model", "Qwen3-8B:Q4_K_M", "--device", "RTX 3090", "--offline",
        "--json",
    ).json  # fmt: skip
    places = document["places"]
    assert {place["kind"] for place in places} == {"here", "device", "rental"}
    costs = [place["usd_per_million_generated"] for place in places]
    known = [cost["mid"] for cost in costs if cost is not None]
    assert known == sorted(known)
    assert costs[len(known) :] == [None] * (len(costs) - len(known))
    (mine,) = [place for place in places if place["kind"] == "here"]
    assert mine["name"] == "GeForce RTX 3090 (24.0 GiB)"
    assert mine["hour_usd"] == pytest.approx(0.35 * 0.2)
    assert sum(place["kind"] == "rental" for place in places) == len(document["offers"]) == 10


def test_what_waits_costs_more_a_token_wherever_it_stands(planner: Planner) -> None:
    asked = ("prices", "--where", "--model", "Qwen3-8B:Q4_K_M", "--device", "RTX 3090", "--offline", "--json")
    busy, half = (planner(*asked, *more).json["places"] for more in ((), ("--utilisation", "0.5")))

    def cost(places: list[Any], **wanted: str) -> float:
        place = next(p for p in places if all(p[name] == value for name, value in wanted.items()))
        return float(place["usd_per_million_generated"]["mid"])

    for owned in ({"kind": "here"}, {"kind": "device", "name": "RTX 3090 24 GB"}):
        assert cost(half, **owned) == pytest.approx(1.1 * cost(busy, **owned), rel=1e-5)
    assert cost(half, kind="rental") == pytest.approx(2 * cost(busy, kind="rental"), rel=1e-5)


def test_the_table_fits_a_terminal_and_names_what_costs_are_made_of(
    planner: Planner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = planner("prices", "--where", "--model", "bge-m3", "--model", "Qwen3-8B", "--no-here", "--offline")
    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(" to own " in line for line in lines) > 5
    assert sum(" to rent " in line and "2026-0" in line for line in lines) == 10
    assert "--kwh-price" in outcome.out


# The rentals on other pages


@pytest.mark.parametrize("command", ["show", "need"])
def test_a_models_page_has_the_cheapest_rentals_that_hold_it(planner: Planner, command: str) -> None:
    rentals = planner(command, "Qwen3-8B:Q4_K_M", "--json").json["rentals"]
    offers = rentals["offers"]
    assert len(offers) == 5
    assert SNAPSHOT is not None
    assert rentals["as_of"] == SNAPSHOT.as_of
    hours = [offer["price_hour_usd"] for offer in offers]
    assert hours == sorted(hours)
    assert all(offer["vram_each_gib"] * offer["gpu_count"] >= 6 for offer in offers)
    assert all(offer["usd_per_million_tokens"] > 0 for offer in offers)
    doubts = {"outlier", "no_discount", "gpu_only"}
    assert not any(doubts & set(offer["flags"]) for offer in offers)
    text = planner(command, "Qwen3-8B:Q4_K_M").out
    assert "Cheapest rentals that hold Q4_K_M whole" in text
    assert "2026-05-24" in text


def test_a_page_for_people_has_what_was_collected_lately_and_a_document_what_is_always_the_same(
    planner: Planner,
) -> None:
    before = planner("show", "bge-m3", "--json").out
    keep(lium("0.03", age_s=60, gpu="RTX 3060", vram_each_gib=12.0))
    assert planner("show", "bge-m3", "--json").out == before
    assert "Lium" in planner("show", "bge-m3", "--no-here").out


def test_a_speed_that_is_wanted_counts_for_rentals_too(planner: Planner) -> None:
    offers = planner("need", "Qwen3-8B:Q4_K_M", "--min-speed", "100", "--json").json["rentals"]["offers"]
    assert offers
    assert all(offer["rate"]["mid"] >= 100 for offer in offers)


def test_a_model_of_which_nothing_is_known_has_no_rentals(planner: Planner) -> None:
    assert planner("show", "text-embedding-3-large", "--json").json["rentals"] is None


def test_a_number_of_gpus_may_stand_before_their_name(planner: Planner) -> None:
    offers = planner("prices", "--gpu", "8x H100", "--offline", "--json").json["offers"]
    assert {offer["gpu_count"] for offer in offers} == {8}
    assert "(8x H100)" in planner("prices", "--gpu", "8x H100", "--offline").out


# The market itself, with providers


@pytest.fixture
def server() -> Any:
    found = PriceServer()
    yield found
    found.close()


def test_providers_that_answer_come_first_and_the_snapshot_fills_the_rest(server: PriceServer) -> None:
    session = Session(config=load_config(), quiet=True)
    server.fail("/graphql", Fault(404, always=True))
    market = find_market(
        session, device_table(session), Wanted(), ask=True, sources=server.providers("vast", "runpod", "lium")
    )
    by_provider: dict[str, set[str]] = {}
    for offer in market.offers:
        by_provider.setdefault(offer.quote.provider, set()).add(offer.staleness)
    assert by_provider["vast"] == {"fresh"}
    assert by_provider["runpod"] == {"snapshot"}
    assert by_provider["modal"] == {"snapshot"}
    assert by_provider["lium"] == {"snapshot"}  # it says itself that its list is of September
    lines = {origin.name: origin for origin in market.origins}
    assert "interface may have changed" in lines["runpod"].note
    assert lines["runpod"].status == "snapshot"


def test_nobody_is_asked_for_providers_that_are_not_wanted(server: PriceServer) -> None:
    session = Session(config=load_config(), quiet=True)
    find_market(
        session, device_table(session), Wanted(), ask=True, only=("lium",), sources=server.providers("vast", "lium")
    )
    assert {seen.path for seen in server.seen} == {"/lium"}


def test_without_asking_the_market_opens_no_connection(server: PriceServer) -> None:
    session = Session(config=load_config(), quiet=True)
    market = find_market(session, device_table(session), Wanted(), ask=False, sources=server.providers())
    assert server.seen == []
    assert SNAPSHOT is not None
    assert len(market.offers) == len(SNAPSHOT.offers)
