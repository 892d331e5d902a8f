"""What is found out about plans once they stand: costs only from kept prices, changes of each plan."""

import pytest

from planner.catalog.loader import Catalog
from planner.catalog.location import data_dir
from planner.core.models.model import Role
from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.extras import find_extras
from planner.tui.data.machine import Situation, plan_pairs
from tests.cli.kept_prices import keep, lium
from tests.core.shapes import BERT_LARGE, LLAMA_8B, gpu, machine, make_model

_MODELS = (
    make_model("finder", BERT_LARGE, 335_000_000, role=Role.EMBEDDING, quants={"F16": 670_000_000}, context=512),
    make_model(
        "writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000, "Q8_0": 8_540_000_000}, context=8192
    ),
)


@pytest.fixture
def situation() -> Situation:
    """A card of 10 GiB and two models."""
    catalog = Catalog(_MODELS, folder=data_dir())
    return Situation(machine(gpu(0, 10.0)), _MODELS, catalog=catalog)


@pytest.fixture
def plans(situation: Situation) -> tuple[Recommendation, ...]:
    """Its plans."""
    return plan_pairs(situation)


def test_a_price_seen_a_while_ago_is_shown_with_its_age(
    situation: Situation, plans: tuple[Recommendation, ...]
) -> None:
    keep(lium("0.19", age_s=600), lium("0.04", age_s=600, gpu="GTX 1060 6GB", vram_each_gib=6.0), age_s=600)
    rent, yours = find_extras(situation, plans).costs[plans[0].command]
    assert (rent.kind, rent.hour, rent.seen) == ("rent", "$0.19", "10 min ago")
    assert "RTX 3090 at Lium" in rent.where
    assert rent.million.startswith("$")
    assert yours.kind == "yours"


def test_without_kept_prices_nothing_is_said_of_costs(
    situation: Situation, plans: tuple[Recommendation, ...]
) -> None:
    assert find_extras(situation, plans).costs == {}


def test_where_no_rental_holds_a_plan_it_is_said(situation: Situation, plans: tuple[Recommendation, ...]) -> None:
    keep(lium("0.02", age_s=60, gpu="GTX 1050 Ti", vram_each_gib=1.0), age_s=60)
    rent = find_extras(situation, plans).costs[plans[0].command][0]
    assert rent.hour == "" or rent.seen.startswith("20"), "an old price stands in, dated, or none"
