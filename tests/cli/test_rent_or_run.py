"""`planner recommend` with prices: what renting and running a plan cost, and that nobody is asked unasked."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.cli.planning import plan, planned_hardware
from planner.cli.rent_or_run import Costs, cost_texts, find_costs
from planner.cli.session import Session
from planner.config import load_config
from planner.core.costs.rent_or_run import load_of
from planner.core.machines.overrides import Overrides
from planner.core.memory.workload import Workload
from planner.prices.provider import Provider
from planner.units import GIB
from tests.cli.conftest import Planner
from tests.cli.kept_prices import keep, lium
from tests.prices.price_server import Fault, PriceServer

HOUR = 3600.0


def test_each_plan_has_its_cheapest_rental_and_its_electricity(planner: Planner) -> None:
    document = planner("recommend", "--gpu", "RTX 3060 12 GB", "--with-prices", "--offline", "--json").json
    for item in document["recommendations"]:
        rental, own = item["rent_or_run"]["rental"], item["rent_or_run"]["own"]
        rate = item["generation"]["estimate"]["throughput"]["tg"]
        assert own["tg"] == rate
        assert own["electricity_usd_hour"] == pytest.approx(0.170 * 0.20)
        assert own["usd_per_million_generated"]["mid"] == pytest.approx(0.034 / (rate["mid"] * 3600 / 1e6), rel=1e-6)
        expected = rental["price_hour_usd"] / (rental["tg"]["mid"] * 3600 / 1e6)
        assert rental["usd_per_million_generated"]["mid"] == pytest.approx(expected, rel=1e-6)
        assert rental["vram_each_gib"] * rental["gpu_count"] * GIB > item["memory"]["total_bytes"] / 2
        assert not {"outlier", "no_discount", "vram_differs", "gpu_only"} & set(rental["flags"])
    prices = document["prices"]
    assert {"as_of", "considered", "providers", "host_memory_bytes", "utilisation"} == set(prices)
    assert {line["status"] for line in prices["providers"]} <= {"snapshot", "none"}
    embedder = planner(
        "recommend",
        "--gpu",
        "RTX 3060 12 GB",
        "--role",
        "embedding",
        "--with-prices",
        "--offline",
        "--json",
        "-n",
        "1",
    ).json["recommendations"][0]["rent_or_run"]
    assert embedder["rental"]["usd_per_million_tokens"] == embedder["rental"]["usd_per_million_embedded"]["mid"]
    assert embedder["own"]["usd_per_million_embedded"]["mid"] > 0


def test_the_document_is_the_same_whatever_was_collected(planner: Planner) -> None:
    before = planner("recommend", "--vram", "8", "--json")
    keep(lium("0.12", age_s=60), age_s=60)
    after = planner("recommend", "--vram", "8", "--json")
    assert after.out == before.out
    assert "rent_or_run" not in after.json["recommendations"][0]


def test_people_see_fresh_prices_without_asking_for_them(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    asked = ("recommend", "--gpu", "RTX 3060 12 GB", "-n", "2")
    assert "rent:" not in planner(*asked).out
    keep(lium("0.12", age_s=600), age_s=600)
    text = planner(*asked).out
    assert max(map(len, text.splitlines())) <= 80
    flat = " ".join(text.split())
    assert flat.count("rent: RTX 3090 at Lium (on-demand) $0.12/h, $") == 2
    assert "seen 10 min ago; yours: $0.034/h of electricity, $" in flat
    assert "$0.20 a kWh (assumed) at 170 W" in flat
    assert "tokens generated, 1 answer at a time, tokens all the time" in flat
    explained = planner(*asked, "--explain").out
    assert " $ rent: RTX 3090 at Lium" in explained
    assert max(map(len, explained.splitlines())) <= 80


def test_prices_of_hours_ago_are_shown_only_where_they_are_asked_for(planner: Planner) -> None:
    keep(lium("0.12", age_s=2 * HOUR), age_s=2 * HOUR)
    assert "rent:" not in planner("recommend", "--vram", "12", "-n", "1").out
    text = " ".join(planner("recommend", "--vram", "12", "-n", "1", "--with-prices", "--offline").out.split())
    assert "RTX 3090 at Lium (on-demand) $0.12/h" in text
    assert "seen 2 h ago" in text


def test_a_machine_whose_power_nobody_knows_has_no_electricity(planner: Planner) -> None:
    asked = ("recommend", "--vram", "12", "-n", "1", "--with-prices", "--offline")
    assert "yours: electricity not known" in " ".join(planner(*asked).out.split())
    own = planner(*asked, "--json").json["recommendations"][0]["rent_or_run"]["own"]
    assert (own["watts"], own["electricity_usd_hour"], own["usd_per_million_generated"]) == (None, None, None)


def test_a_rental_reaches_the_speed_that_was_asked_for_and_where_none_does_it_is_said() -> None:
    session = session_of(Overrides(gpu="RTX 4090"))
    plans = plan(session, Workload(limit=1))

    def found(speed: float) -> Costs:
        costs = find_costs(session, plans, session.hardware, Workload(min_speed=speed), ask=True, sources=())
        assert costs is not None
        return costs

    rental = found(100).by_rank[1].rental
    assert rental is not None
    assert rental.running is not None
    assert rental.running.speeds.write is not None
    assert rental.running.speeds.write.mid >= 100
    nothing = found(1e6)
    assert nothing.by_rank[1].rental is None
    assert "rent: none of 4" in cost_texts(nothing)[1]


@pytest.mark.parametrize("form", ["md", "csv"])
def test_there_are_no_prices_in_the_forms_that_have_no_place_for_them(planner: Planner, form: str) -> None:
    outcome = planner("recommend", "--vram", "8", "--with-prices", "--format", form)
    assert outcome.code == 2
    assert "--with-prices has no form" in outcome.err


def session_of(overrides: Overrides) -> Session:
    return Session(config=load_config(), overrides=overrides)


def costs_of(sources: tuple[Provider, ...], *, ask: bool) -> Costs | None:
    session, workload = session_of(Overrides(vram=(12 * GIB,))), Workload(limit=1)
    plans = plan(session, workload)
    return find_costs(session, plans, planned_hardware(session, live=False), workload, ask=ask, sources=sources)


@pytest.fixture
def server() -> Iterator[PriceServer]:
    found = PriceServer()
    found.lium["generated_at"] = None  # now, and not when it was recorded
    yield found
    found.close()


def test_nobody_is_asked_unless_it_is_wished(server: PriceServer) -> None:
    assert costs_of(server.providers(), ask=False) is None
    assert server.seen == []
    keep(lium("0.12", age_s=60), age_s=60)
    kept = costs_of(server.providers(), ask=False)
    assert kept is not None
    assert kept.by_rank[1].rental is not None
    assert server.seen == []


def test_what_is_asked_for_comes_before_dated_prices(server: PriceServer) -> None:
    found = costs_of(server.providers("lium", "runpod"), ask=True)
    assert {seen.path for seen in server.seen} == {"/lium", "/graphql"}
    assert found is not None
    rental = found.by_rank[1].rental
    assert rental is not None
    assert rental.offer.staleness == "fresh"  # though a dated one is cheaper
    assert min(offer.quote.price_hour_usd for offer in found.market.offers) < rental.offer.quote.price_hour_usd


def test_where_nobody_answers_dated_prices_stand_in_and_it_is_said(
    server: PriceServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail("/lium", Fault(404, always=True))
    found = costs_of(server.providers("lium"), ask=True)
    assert "lium: 127.0.0.1 refused the request (404)" in capsys.readouterr().err
    assert found is not None
    rental = found.by_rank[1].rental
    assert rental is not None
    assert rental.offer.staleness == "snapshot"


def test_a_rental_runs_what_the_plan_runs() -> None:
    session = session_of(Overrides(vram=(8 * GIB,)))
    (found,) = plan(session, Workload(limit=1, kv_type="q8_0", context=4096, parallel=2))
    load = load_of(found)
    assert load.settings == tuple(choice.settings for choice in found.choices)
    assert (load.context, load.parallel, load.kv_type) == (4096, 2, "q8_0")


def test_recommending_with_prices_that_are_kept_imports_nothing_for_the_network(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    code = (
        "import sys; from tests.cli.kept_prices import keep, lium; keep(lium('0.12', age_s=60), age_s=60)\n"
        "from planner.cli.app import run; code = run(['recommend', '--vram', '12', '-n', '1'])\n"
        "heavy = {'requests', 'urllib3', 'textual', 'huggingface_hub', 'numpy', 'gguf', 'socket', 'ssl'}\n"
        "print(code, sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "rent: RTX 3090" in done.stdout
    assert done.stderr.strip().splitlines()[-1] == "0 []"
