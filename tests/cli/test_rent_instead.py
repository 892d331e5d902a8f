"""Where nothing fits, the cheapest rental that does is named."""

import re

from planner.units import GIB
from tests.cli.conftest import Planner

ASKED = ("recommend", "--ram", "4", "--min-speed", "900", "--context", "16384", "--role", "generation")


def test_an_impossible_budget_ends_with_what_may_be_rented(planner: Planner) -> None:
    outcome = planner("recommend", "--ram", "0.2", "--json")
    assert outcome.code == 3
    error = outcome.json["error"]
    assert error["reference"] == "nothing-fits"
    assert re.search(r"Rented, \S.* \+ \S.* would do: .+ at .+ \(.+\), \$[\d.]+/h on 20\d\d-\d\d-\d\d", error["hint"])
    assert planner("recommend", "--ram", "0.2", "--json").out == outcome.out
    assert error["hint"] in planner("recommend", "--ram", "0.2").err


def test_no_rental_that_the_market_has_for_less_would_do(planner: Planner) -> None:
    """Every kind of machine that is cheaper is planned for, in a process of its own question."""
    hint = planner(*ASKED, "--json").json["error"]["hint"]
    price = float(re.findall(r"\$([\d.]+)/h", hint)[0])
    offers = planner("prices", "--offline", "--all", "--limit", "100000", "--json").json["offers"]
    cheaper = {
        (offer["device"], offer["vram_each_gib"], offer["gpu_count"])
        for offer in offers
        if offer["price_hour_usd"] < price - 0.005
        and offer["device"]
        and offer["vram_each_gib"]
        and not {"outlier", "no_discount", "vram_differs", "gpu_only"} & set(offer["flags"])
    }
    assert cheaper
    for device, gib, count in cheaper:
        machine = ("--gpu", f"{count}x {device}", "--vram", str(gib), "--ram", "64")
        assert planner("recommend", *machine, *ASKED[3:], "--json").code == 3


def test_the_models_that_are_named_run_on_the_rental_as_was_asked(planner: Planner) -> None:
    hint = planner(*ASKED, "--json").json["error"]["hint"]
    name, quant, gpu = re.findall(r"Rented, (\S+) (\S+) would do: (.+?) at", hint)[0]
    found = planner("recommend", "--gpu", gpu, "--ram", "64", *ASKED[3:], "--json").json
    assert found["hardware"]["devices"][0]["memory_total_bytes"] >= GIB
    generation = found["recommendations"][0]["generation"]
    assert (generation["model"].partition("/")[2], generation["variant"]) == (name, quant)
    assert generation["estimate"]["throughput"]["tg"]["mid"] >= 900


def test_nothing_is_named_where_no_rental_would_do(planner: Planner) -> None:
    for wish in (("--min-speed", "1e9"), ("--max-download", "1MB")):
        error = planner("recommend", "--vram", "8", *wish, "--json").json["error"]
        assert error["reference"] == "nothing-fits"
        assert "Rented" not in error["hint"]
