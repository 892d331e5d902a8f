"""Prices: what the table shows, what its filters leave, where to run, how providers did, and every key."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from planner.core.costs.offers import Offer
from planner.errors import CatalogError
from planner.tui.app import PlannerApp
from planner.tui.data.offer_filter import Choice, find
from planner.tui.data.price_explain import explain_offer
from planner.tui.data.price_words import provider_lines, where_words
from planner.tui.data.prices import Inputs, Listing, read_amount, read_market, reckon
from planner.tui.marks import ASCII
from planner.tui.screens.explain import Explain
from planner.tui.screens.offer import OfferScreen
from planner.tui.screens.price_inputs import PriceInputs
from planner.tui.widgets.filter_line import FilterLine
from planner.tui.widgets.row_table import RowTable
from tests.tui.conftest import planned, screen_text, until
from tests.tui.world import PLANS, World
from tests.tui.world_prices import Prices, listing, reckoned

Snap = Callable[[App[Any]], None]


@pytest.fixture
def prices() -> Prices:
    """The market, as each test may change it."""
    return Prices()


def make_app(world: World, prices: Prices, **options: Any) -> PlannerApp:
    """The app at its prices."""
    return PlannerApp(prices.with_(world.services), page="prices", **options)


async def settled(pilot: Pilot[None]) -> None:
    """Until the providers were asked and costs were reckoned."""
    await planned(pilot)
    await until(pilot, lambda: "11 offers, newest of" in screen_text(pilot.app), "the offers")
    await planned(pilot)


def gpus(app: PlannerApp) -> list[str]:
    """The rows that are seen, each as one text."""
    lines = screen_text(app).splitlines()
    top = next(number for number, line in enumerate(lines) if line.split()[:2] == ["GPU", "GiB"])
    rows = []
    for line in lines[top + 1 :]:
        if line.startswith("─") or not line.strip():
            break
        rows.append(" ".join(line.split()))
    return rows


# --- pure ----------------------------------------------------------------------------------------------------------


def rows_of(choice: Choice, found: Listing | None = None) -> list[Offer]:
    """The offers that a choice leaves, in order."""
    market = listing() if found is None else found
    return [row.offer for row, _ in find(reckoned(market, PLANS[0], None, Inputs()), market, choice).rows]


def test_only_what_holds_the_pair_is_listed_until_all_is_asked_for() -> None:
    held = rows_of(Choice())
    assert all((offer.vram_each_gib or 0) > 12 for offer in held)
    everything = rows_of(Choice(holds=False, every=True))
    assert len(everything) == 11
    assert {offer.quote.gpu_raw for offer in everything} - {offer.quote.gpu_raw for offer in held} == {
        "RTX 3060 12GB",
        "A Card Nobody Knows",
    }


def test_the_best_of_each_kind_stands_for_the_others() -> None:
    market = listing()
    found = find(reckoned(market, PLANS[0], None, Inputs()), market, Choice(provider="vast", tier="marketplace"))
    assert [(row.offer.quote.price_hour_usd, others) for row, others in found.rows] == [(Decimal("0.34"), 1)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(vram="48"), {"h100-sxm-80gb"}),
        (Choice(price="0.50"), {"rtx-4090"}),
        (Choice(search="norway"), {"rtx-4090"}),
        (Choice(search="h100 LAMBDA"), {"h100-sxm-80gb"}),
        (Choice(search="h100 norway"), set()),
    ],
)
def test_filters_and_the_search_narrow_the_list(choice: Choice, expected: set[str]) -> None:
    assert {offer.device for offer in rows_of(choice)} == expected


def test_orders_put_the_best_first_and_the_unknown_last() -> None:
    by_tokens = rows_of(Choice(holds=False, every=True))
    assert by_tokens[0].quote.provider == "salad"
    assert {offer.device for offer in by_tokens[-2:]} == {"rtx-3060-12gb", None}
    assert rows_of(Choice(order="vram", holds=False))[0].quote.gpu_count == 8
    assert rows_of(Choice(order="reliability"))[0].quote.reliability == 0.9962


def test_a_choice_survives_being_kept_and_what_makes_no_sense_does_not() -> None:
    choice = Choice(vram="24", tier="spot", price="1", order="vram", holds=False, search="x")
    assert Choice.read(choice.kept()) == Choice(vram="24", tier="spot", price="1", order="vram", holds=False)
    assert Choice.read({"vram": "7", "order": 3, "tier": ["spot"], "holds": "no", "else": 1}) == Choice()
    assert Choice.read([1]) == Choice()
    inputs = Inputs(kwh_usd=Decimal("0.31"), device_usd=Decimal(700))
    assert Inputs.read(inputs.kept()) == inputs
    assert Inputs.read({"kwh_usd": "nan", "watts": -3, "utilisation": "2"}) == Inputs()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0.2", "0.2"), ("$700", "700"), ("0,31", "0.31"), ("0", None), ("-1", None), ("nan", None), ("much", None)],
)
def test_amounts_are_read_as_people_type_them(text: str, expected: str | None) -> None:
    assert read_amount(text, most=Decimal(1000)) == (None if expected is None else Decimal(expected))


def test_each_source_has_a_line_and_a_failure_says_why() -> None:
    lines = {line.name: line for line in provider_lines(listing())}
    assert lines["Vast.ai"].fresh
    assert lines["RunPod"].failed
    assert "did not answer within 5 s" in lines["RunPod"].words
    assert "stale, 7 h" in lines["RunPod"].words
    assert not lines["RunPod (REST)"].failed
    assert lines["Lium"].failed
    assert "5 offers of 4 providers, seen 2026-07-20" in lines["Snapshot"].words


def test_the_answer_names_the_cheaper_place_and_when_buying_has_paid_off() -> None:
    situation, market = World().situation, listing()
    names = market.names
    words = where_words(reckoned(market, PLANS[0], situation, Inputs()), names)
    assert words[0].startswith("Here: $0.216 per million tokens ($0.07 an hour) of electricity.")
    assert "RTX 4090, Vast.ai spot" in words[0]
    assert "72 to 112 here, 104 to 162 there" in words[1]
    dear = where_words(reckoned(market, PLANS[0], situation, Inputs(kwh_usd=Decimal(2))), names)
    assert dear[0].startswith("The cheapest tokens are for rent")
    # 700 / (0.34 * 90 / 130 - 0.07)
    bought = where_words(reckoned(market, PLANS[0], situation, Inputs(device_usd=Decimal(700))), names)
    assert "Bought for $700.00 it has paid off after 4,233 h (176 days) of use" in bought[-1]
    assert where_words(reckoned(market, None, None, Inputs()), names) == [
        "There is no pair to compare places for yet."
    ]


def test_the_real_market_and_the_real_estimates_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from planner.catalog.loader import load
    from planner.tui.data.machine import Situation, plan_pairs
    from tests.tui.world import HARDWARE

    monkeypatch.setenv("PLANNER_OFFLINE", "1")
    catalog = load()
    situation = Situation(HARDWARE, catalog.models, (), catalog.speed, catalog)
    market = read_market(ask=True)
    assert market.offline
    assert not market.asked
    plan = plan_pairs(situation)[0]
    found = reckon(market, plan, situation, Inputs(kwh_usd=Decimal("0.3"), watts=Decimal(400)))
    assert len(found.rows) == len(market.market.offers)
    assert any(row.running is not None and row.per_million is not None for row in found.rows)
    assert {"here", "device", "rental"} == {place.kind for place in found.places}
    assert found.own is not None
    assert found.own.hour_usd == Decimal("0.12")
    row = next(row for row in found.rows if row.per_million is not None)
    headings = [part.heading for part in explain_offer(row, market, found, situation).parts]
    assert headings[:2] == ["price", "a million tokens written"]
    assert sum(heading.endswith("there: speed") for heading in headings) == 2


# --- the page ------------------------------------------------------------------------------------------------------


async def test_dated_prices_are_shown_at_once_and_the_answers_of_the_providers_after_them(
    world: World, prices: Prices
) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert prices.asked == [{"refresh": False}]
        text = screen_text(app)
        assert "11 offers, newest of 2026-11-25; 2 sources did not answer" in text
        assert "Where should this run?" in text
        rows = gpus(app)
        assert rows[0] == "▸ RTX 4090 24 Salad Spot $0.20 $0.20 $0.427 104 to 162 2026-07-20 GPU only"
        assert rows[1].startswith("RTX 4090 24 Vast.ai Spot $0.21 $0.21 $0.449 104 to 162 7 min ago")
        assert any("6 h ago" in row or "7 h ago" in row for row in rows)


async def test_offline_nobody_is_asked_and_a_refresh_says_so(world: World, prices: Prices) -> None:
    prices.before = listing(asked=False, offline=True)
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: "Offline mode is on" in screen_text(app), "the note")
        assert not prices.asked


async def test_filters_have_a_key_each_and_are_remembered(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("t", "t")
        assert all("Spot" in row for row in gpus(app))
        await pilot.press("T")
        assert all("On-demand" in row for row in gpus(app))
        await pilot.press("x", "h", "a", "s")
        rows = gpus(app)
        assert len(rows) == 11
        assert rows[0].startswith("▸ RTX 3060 12 Salad Spot $0.06 $0.06 too small")
        assert app.remembered.get("prices.filters", {"order": ""})["order"] == "price"
        await pilot.press("m", "o", "v")
        assert "None of 11 offers matches." in screen_text(app)
        await pilot.press("x")
        assert len(gpus(app)) > 3


async def test_the_mouse_changes_filters_and_orders_and_points_at_rows(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.click(FilterLine, offset=(4, 0))
        await until(pilot, lambda: "memory 8 GiB up" in screen_text(app), "the filter")
        await pilot.click(RowTable, offset=(50, 0))
        await until(pilot, lambda: "by $ per hour" in screen_text(app), "the order")
        await pilot.click(RowTable, offset=(20, 3))
        await until(pilot, lambda: gpus(app)[2].startswith("▸"), "the third row")


async def test_searching_narrows_while_typing_and_escape_undoes_it(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("slash", *"h100")
        assert gpus(app)[0].startswith("▸ H100 SXM")
        assert all("H100" in row for row in gpus(app))
        await pilot.press("enter")
        assert isinstance(app.focused, RowTable)
        await pilot.press("escape")
        assert app.screen.query_one(Input).value == ""
        assert any("RTX 4090" in row for row in gpus(app))


async def test_nothing_that_holds_the_pair_says_which_keys_help(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("slash", *"3060")
        text = screen_text(app)
        assert "None of the 1 that match holds this pair whole." in text
        assert "h shows them all the same" in text


async def test_enter_shows_everything_that_is_known_of_an_offer(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("slash", *"marketplace", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, OfferScreen), "the offer")
        text = screen_text(app)
        for words in (
            "Norway",
            "812 Mbit/s down, 640 Mbit/s up",
            "99.62%",
            "https://prices.example.org",
            "104 to 162 written",
        ):
            assert words in text
        await pilot.press("escape")
        assert not isinstance(app.screen, OfferScreen)


async def test_e_shows_the_arithmetic_of_a_price(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Explain), "the explanation")
        await planned(pilot)
        text = screen_text(app)
        assert "RTX 4090, Salad spot" in text
        assert "mid  $0.20 / (130 * 3600) * 10^6 = $0.427" in text
        assert "mid  $0.07 / (90 * 3600) * 10^6 = $0.216" in text


async def test_another_pair_is_reckoned_with_and_named(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        count = len(prices.reckoned)
        await pilot.press("p")
        await until(pilot, lambda: "writer-14b" in screen_text(app), "the second pair")
        assert len(prices.reckoned) == count + 1
        await pilot.press("P")
        await until(pilot, lambda: "writer-8b" in screen_text(app), "the first pair")


async def test_the_pair_is_the_one_that_was_looked_at_on_home(world: World, prices: Prices) -> None:
    app = PlannerApp(prices.with_(world.services))
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await pilot.press("down", "4")
        await settled(pilot)
        await until(pilot, lambda: "pair 2 of 3" in screen_text(app), "the second pair")
        await pilot.press("1", "down", "4")
        await until(pilot, lambda: "pair 3 of 3" in screen_text(app), "the third pair")
        await pilot.press("p", "1", "4")
        await until(pilot, lambda: "pair 1 of 3" in screen_text(app), "what was chosen here")


async def test_costs_are_entered_checked_used_and_remembered(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, PriceInputs), "the form")
        await pilot.press(*"much", "enter")
        assert "“much” is not a number above 0" in screen_text(app)
        await pilot.press("ctrl+u", *"0.40", "down", "down", *"700", "enter")
        await until(pilot, lambda: prices.reckoned[-1] == Inputs(Decimal("0.40"), None, Decimal(700)), "the costs")
        await until(pilot, lambda: "paid off after" in screen_text(app), "the column")
        assert app.remembered.get("prices.inputs", {}) == {"kwh_usd": "0.40", "device_usd": "700"}
        await pilot.press("i", "escape")
        assert not isinstance(app.screen, PriceInputs)


async def test_a_refresh_asks_again_and_keeps_the_row_that_was_pointed_at(world: World, prices: Prices) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        first = next(row for row in gpus(app) if row.startswith("▸"))
        await pilot.press("down", "down")
        await until(
            pilot, lambda: first not in gpus(app) and app.screen.query_one(RowTable).highlighted == 2, "a row"
        )
        before = next(row for row in gpus(app) if row.startswith("▸"))
        await pilot.press("r")
        await until(pilot, lambda: prices.asked[-1] == {"refresh": True}, "the request")
        await settled(pilot)
        await until(pilot, lambda: before in gpus(app), "the row")  # its costs come after it
        assert app.screen.query_one(RowTable).highlighted == 2


async def test_a_catalog_that_cannot_be_read_is_said_and_tried_again(world: World, prices: Prices) -> None:
    prices.error = CatalogError("devices.json is broken.", hint="Mend it.")
    app = make_app(world, prices)
    async with app.run_test(size=(120, 40)) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "devices.json is broken. Mend it." in screen_text(app), "the problem")
        prices.error = None
        await pilot.press("r")
        await settled(pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (60, 15)], ids="{0[0]}x{0[1]}".format)
async def test_a_picture_of_the_prices(world: World, prices: Prices, snap: Snap, size: tuple[int, int]) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=size) as pilot:
        await planned(pilot)
        await until(pilot, lambda: "RTX 4090" in screen_text(app), "the offers")
        await planned(pilot)
        snap(app)


async def test_a_picture_of_the_prices_without_unicode(world: World, prices: Prices, snap: Snap) -> None:
    app = make_app(world, prices, marks=ASCII)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        snap(app)


async def test_a_picture_of_an_offer_and_one_of_the_form(world: World, prices: Prices, snap: Snap) -> None:
    app = make_app(world, prices)
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, OfferScreen), "the offer")
        snap(app)
        await pilot.press("escape", "i")
        await until(pilot, lambda: isinstance(app.screen, PriceInputs), "the form")
        snap(app)
