"""The rentals on a model's page: the same figures as `planner prices` has, and what they rest on."""

from typing import Any

import pytest

from planner.core.costs.offers import DOUBTFUL
from tests.cli.conftest import Planner

ASKED: list[tuple[str, tuple[str, ...]]] = [
    ("Qwen3-8B:Q4_K_M", ()),
    ("Qwen3-8B:Q4_K_M", ("--context", "32768")),
    ("bge-m3", ()),
    ("gpt-oss-120b", ()),
]
IDENTITY = (
    "provider", "tier", "plan", "gpu_raw", "vram_each_gib", "gpu_count", "price_hour_usd", "region", "instance",
)  # fmt: skip


def by_identity(offers: list[dict[str, Any]]) -> dict[tuple[object, ...], dict[str, Any]]:
    return {tuple(offer[name] for name in IDENTITY): offer for offer in offers}


@pytest.mark.parametrize("page", ["show", "need"])
@pytest.mark.parametrize(("model", "more"), ASKED, ids=str)
def test_a_pages_rentals_cost_what_planner_prices_says(
    planner: Planner, page: str, model: str, more: tuple[str, ...]
) -> None:
    block = planner(page, model, *more, "--json", "--offline").json["rentals"]
    prices = planner("prices", "--model", model, *more, "--sort", "total", "--json", "--offline").json
    same = by_identity(prices["offers"])
    assert len(block["offers"]) == 5
    for identity, offer in by_identity(block["offers"]).items():
        known = same[identity]
        assert offer["rate"] == (known["tg"] or known["embed"])
        assert offer["usd_per_million_tokens_range"] == known["usd_per_million_tokens_range"]
    cheapest = next(offer for offer in prices["offers"] if not DOUBTFUL & set(offer["flags"]))
    assert block["offers"][0]["price_hour_usd"] == cheapest["price_hour_usd"]


def test_what_is_asked_of_need_holds_for_its_rentals_too(planner: Planner) -> None:
    asked = ("Qwen3-8B:Q4_K_M", "--context", "40960", "--parallel", "4")
    full = planner("need", *asked, "--json").json["rentals"]
    small = planner("need", *asked, "--kv-type", "q4_0", "--json").json["rentals"]
    assert (full["context"], full["parallel"], full["kv_type"]) == (40960, 4, "f16")
    assert small["kv_type"] == "q4_0"
    assert small["offers"][0]["vram_each_gib"] < full["offers"][0]["vram_each_gib"]
    prices = planner(
        "prices", "--model", asked[0], *asked[1:], "--kv-type", "q4_0", "--sort", "total", "--json", "--offline"
    ).json
    assert prices["inputs"]["kv_type"] == "q4_0"
    same = by_identity(prices["offers"])
    assert all(same[identity]["tg"] == offer["rate"] for identity, offer in by_identity(small["offers"]).items())


@pytest.mark.parametrize("page", ["show", "need"])
def test_what_the_rentals_rest_on_is_said(planner: Planner, page: str) -> None:
    text = " ".join(planner(page, "Qwen3-8B:Q4_K_M", "--context", "16384").out.split())
    assert "A context of 16,384 tokens cached in F16, 1 answer at a time, beside 64.0 GiB of host memory" in text
    assert "storage and traffic not counted" in text
    assert "planner prices --model" in text
    embedder = " ".join(planner(page, "bge-m3").out.split())
    assert "A context of 8,192 tokens, beside 64.0 GiB" in embedder
