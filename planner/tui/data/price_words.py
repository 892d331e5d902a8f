"""What the pages about money say in sentences: where to run a pair, how each provider did. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from planner.core.costs.market import Origin
from planner.core.costs.offers import Offer
from planner.core.costs.own_device import Own, paid_off
from planner.core.costs.where import Place
from planner.core.memory.estimate import Rate, Verdict
from planner.core.models.model import Role
from planner.core.pages.offer_view import TIERS, provider_name, usd
from planner.core.pages.offer_words import age_words, gpu_words
from planner.prices.registry import BRINGS
from planner.tui.data.prices import Listing, Reckoning
from planner.units import format_rate


@dataclass(frozen=True)
class ProviderLine:
    """One source of prices. `failed`: it was to be asked and could not be."""

    name: str
    words: str
    failed: bool
    fresh: bool


def sources() -> tuple[str, ...]:
    """Who is asked."""
    return tuple(provider_name(name) for name in BRINGS)


def provider_lines(listing: Listing) -> list[ProviderLine]:
    """A line for each source that is asked; the many that only dated rows know are one line."""
    asked = [origin for origin in listing.market.origins if origin.name in BRINGS]
    lines = [_line(origin, asked=listing.asked) for origin in asked]
    dated = [offer.quote.observed_at[:10] for offer in listing.market.offers if offer.staleness == "snapshot"]
    if dated:
        count = len({offer.quote.provider for offer in listing.market.offers if offer.staleness == "snapshot"})
        words = f"{len(dated)} offers of {count} providers, seen {min(dated)} to {max(dated)}"
        lines.append(ProviderLine("Snapshot", words, failed=False, fresh=False))
    return lines


def _line(origin: Origin, *, asked: bool) -> ProviderLine:
    age = "" if origin.age_s is None else age_words(origin.age_s)
    state = {
        "fresh": f"fresh, {age or 'now'}".replace("fresh, now", "fresh, just now"),
        "partial": f"in part, {age}",
        "stale": f"stale, {age}",
        "snapshot": "dated prices",
        "none": "no prices",
    }.get(origin.status, origin.status)
    idle = origin.note.startswith("not asked")
    words = f"{state}; {origin.note}" if origin.note else state if asked or age else f"{state}; not asked yet"
    return ProviderLine(
        provider_name(origin.name), words, failed=bool(origin.note) and not idle and origin.status != "fresh",
        fresh=origin.status == "fresh",
    )  # fmt: skip


def place_name(place: Place, names: dict[str, str]) -> str:
    """`this machine`, a device, or `RTX 3090, Vast.ai marketplace`."""
    return place.name if place.offer is None else offer_name(place.offer, names)


def offer_name(offer: Offer, names: dict[str, str]) -> str:
    """`RTX 3090, Vast.ai marketplace`."""
    quote = offer.quote
    return f"{gpu_words(offer, names)}, {provider_name(quote.provider)} {TIERS[quote.tier].lower()}"


def where_words(reckoning: Reckoning, names: dict[str, str]) -> list[str]:
    """The answer in sentences, the one that matters first."""
    if reckoning.load is None:
        return ["There is no pair to compare places for yet."]
    here = next((place for place in reckoning.places if place.kind == "here"), None)
    rental = next((place for place in reckoning.places if place.kind == "rental"), None)
    if rental is None:
        return ["No rental that is known holds this pair whole."]
    words = list(_answer(here, rental, place_name(rental, names)))
    if reckoning.own is not None and reckoning.own.price_usd is not None:
        words.append(_bought(reckoning, names))
    return words


def _answer(here: Place | None, rental: Place, name: str) -> Iterator[str]:
    rent = _costs(rental)
    if here is None:
        yield f"This machine does not hold it. The cheapest tokens for rent: {name}, {rent}."
        return
    if here.per_million is None:
        yield f"Here it costs its electricity, and the power is not known (i enters it). For rent: {name}, {rent}."
    elif rental.per_million is not None and here.per_million.mid <= rental.per_million.mid:
        times = rental.per_million.mid / here.per_million.mid
        yield f"Here: {_costs(here)} of electricity. The cheapest rental takes {_times(times)}: {name}, {rent}."
    else:
        yield f"The cheapest tokens are for rent: {name}, {rent}. Here: {_costs(here)} of electricity."
    speeds = [(_speed(here), "here"), (_speed(rental), "there")]
    part = " (with layers on the CPU)" if here.verdict is Verdict.OFFLOAD else ""
    if all(rate is not None for rate, _ in speeds):
        said = [f"{range_words(rate)} {where}" for rate, where in speeds if rate is not None]
        yield f"Tokens per second: {said[0]}{part}, {said[1]}."


def _bought(reckoning: Reckoning, names: dict[str, str]) -> str:
    own = reckoning.own
    assert own is not None
    assert own.price_usd is not None
    rentals = [place for place in reckoning.places if place.offer is not None]
    firm = [place for place in rentals if place.offer is not None and not place.offer.quote.interruptible]
    best = (firm or rentals)[0]
    hours = break_even(own, best, reckoning)
    against = f"{place_name(best, names)} at {usd(best.hour_usd or Decimal(0))} an hour"
    if hours is None:
        return f"Bought for {usd(own.price_usd)} it never pays off against {against}."
    return f"Bought for {usd(own.price_usd)} it has paid off after {hours_words(hours)} of use, against {against}."


def break_even(own: Own, place: Place, reckoning: Reckoning) -> Decimal | None:
    """Hours of use after which buying this machine has cost less than that rental; None: never, or no price given."""
    if place.hour_usd is None:
        return None
    role = Role.GENERATION if place.speeds.write is not None else Role.EMBEDDING
    return paid_off(own, place.hour_usd, place.speeds, role, reckoning.inputs.utilisation)


def hours_words(hours: Decimal) -> str:
    """`5,200 h (217 days)`."""
    days = hours / 24
    return f"{hours:,.0f} h" if days < 3 else f"{hours:,.0f} h ({days:,.0f} days)"


def electricity_words(own: Own | None) -> str:
    """What one's own electricity was reckoned with."""
    if own is None:
        return ""
    kwh = f"{usd(own.kwh_usd)} a kWh{' (assumed)' if own.kwh_assumed else ''}"
    if own.hour_usd is None:
        return f"Electricity at {kwh}; this machine's power is not known. i: enter both."
    power = f"{float(own.watts or 0):g} W ({own.watts_source})"
    return f"Electricity: {usd(own.hour_usd)} an hour, {power} at {kwh}. i: change it, or say what buying it costs."


def range_words(rate: Rate | None) -> str:
    """`25 to 55`, tokens per second."""
    return "" if rate is None else f"{format_rate(rate.low)} to {format_rate(rate.high)}"


def _speed(place: Place) -> Rate | None:
    return place.speeds.write or place.speeds.embed


def _costs(place: Place) -> str:
    hour = "" if place.hour_usd is None else f"{usd(place.hour_usd)} an hour"
    if place.per_million is None:
        return hour
    return f"{usd(place.per_million.mid)} per million tokens" + (f" ({hour})" if hour else "")


def _times(times: Decimal) -> str:
    return "about as much" if times < Decimal("1.15") else f"{times:.1f} times as much"
