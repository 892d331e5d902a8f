"""Which offers of the market are wanted, and in which order. Pure; the choice is kept between runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import Decimal
from typing import Any

from planner.core.costs.offers import Filters, ordered, wanted_offers
from planner.core.costs.priced import Priced, one_of_each
from planner.core.pages.offer_view import TIERS, provider_name
from planner.core.pages.offer_words import flag_words, gpu_words
from planner.tui.data.prices import Listing, Reckoning

ORDERS: Mapping[str, str] = {
    "tokens": "$/M tokens",
    "price": "$ per GPU",
    "total": "$ per hour",
    "vram": "memory",
    "reliability": "reliability",
    "provider": "provider",
}
"""Order → its name. Prices rise, memory and reliability fall; what is not known comes last."""
VRAM_STEPS = ("", "8", "12", "16", "24", "32", "40", "48", "80", "96", "141")
PRICE_STEPS = ("", "0.20", "0.50", "1", "2", "4", "8")
TIER_STEPS = ("", *TIERS)


@dataclass(frozen=True)
class Choice:
    """Texts as they stand in the filter line, empty for any.

    `vram` is GiB of one GPU at least, `price` USD per GPU and hour at most. `holds`: only what holds the pair whole;
    `every`: not only the best of each kind.
    """

    search: str = ""
    vram: str = ""
    tier: str = ""
    provider: str = ""
    price: str = ""
    order: str = "tokens"
    holds: bool = True
    every: bool = False

    @classmethod
    def read(cls, kept: object) -> "Choice":
        """From what was kept; what does not belong there is left out."""
        if not isinstance(kept, dict):
            return cls()
        usual = cls()
        known: dict[str, Any] = {
            field.name: kept[field.name]
            for field in fields(cls)
            if type(kept.get(field.name)) is type(getattr(usual, field.name))
        }
        steps = {"vram": VRAM_STEPS, "tier": TIER_STEPS, "price": PRICE_STEPS, "order": tuple(ORDERS)}
        return cls(**{name: value for name, value in known.items() if value in steps.get(name, (value,))})

    def kept(self) -> dict[str, Any]:
        """What to keep: all but the search, which is for now."""
        return {name: value for name, value in asdict(self).items() if name != "search"}

    def having(self, name: str, value: str | bool) -> "Choice":
        """The same with another value."""
        return replace(self, **{name: value})  # type: ignore[arg-type]  # callers know the field's type


@dataclass(frozen=True)
class Found:
    """Rows with the number of others of the same kind, best first.

    `matching` of `known` offers pass the filters; `too_small` of these do not hold the pair (or nobody knows).
    """

    rows: tuple[tuple[Priced, int], ...]
    matching: int
    too_small: int
    known: int


def find(reckoning: Reckoning, listing: Listing, choice: Choice) -> Found:
    """What is wanted, in order; without a pair tokens have no price, and the order by them is that by price."""
    paired = reckoning.load is not None
    by_offer = {id(row.offer): row for row in reckoning.rows}
    filters = Filters(
        min_vram_gib=float(choice.vram) if choice.vram else None,
        providers=(choice.provider,) if choice.provider else (),
        tiers=(choice.tier,) if choice.tier else (),
        max_price=Decimal(choice.price) if choice.price else None,
    )
    passing = wanted_offers([row.offer for row in reckoning.rows], filters, listing.specs)
    rows = _searched([by_offer[id(offer)] for offer in passing], choice.search, listing.names)
    held = [row for row in rows if row.running is not None]
    shown = held if paired and choice.holds else rows
    order = choice.order if paired or choice.order != "tokens" else "price"
    offers = ordered(
        [row.offer for row in shown],
        order,  # type: ignore[arg-type]  # the order by tokens comes with `cost`
        cost=(lambda offer: _per_million(by_offer[id(offer)])) if order == "tokens" else None,
    )
    best = [by_offer[id(offer)] for offer in offers]
    listed = [(row, 0) for row in best] if choice.every else one_of_each(best)
    return Found(tuple(listed), len(rows), len(rows) - len(held) if paired else 0, len(reckoning.rows))


def providers_of(listing: Listing) -> tuple[str, ...]:
    """The steps of the filter by provider."""
    return ("", *sorted({offer.quote.provider for offer in listing.market.offers}, key=provider_name))


def step(values: Sequence[str], now: str, by: int) -> str:
    """The next (or previous) of some values, round and round."""
    return values[(values.index(now) + by) % len(values)] if now in values else values[0]


def _per_million(row: Priced) -> Decimal | None:
    return None if row.per_million is None else row.per_million.mid


def _searched(rows: Iterable[Priced], search: str, names: dict[str, str]) -> list[Priced]:
    """Those that have every word of the search somewhere."""
    words = search.casefold().split()
    if not words:
        return list(rows)
    return [row for row in rows if all(word in _text(row, names) for word in words)]


def _text(row: Priced, names: dict[str, str]) -> str:
    offer, quote = row.offer, row.offer.quote
    parts = (
        gpu_words(offer, names), quote.gpu_raw, offer.gpu, provider_name(quote.provider), quote.provider,
        TIERS[quote.tier], quote.plan, quote.region, quote.instance, flag_words(offer)[0],
    )  # fmt: skip
    return " ".join(part for part in parts if part).casefold()
