"""A rental offer: what a provider says (`Quote`), what it is to us (`Offer`), which are wanted and in which order.

Prices are USD as `Decimal` and are never rounded here. None means unknown.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from planner.core.costs.offer_names import recognised, rental_index, snapped_gib, wanted_gpus
from planner.core.machines.device_names import NameIndex
from planner.core.machines.hardware import DeviceSpec

Tier = Literal["on-demand", "spot", "community", "marketplace"]
Staleness = Literal["fresh", "stale", "snapshot"]
Order = Literal["price", "total", "vram", "reliability", "provider"]

FRESH_S = 3600
"""Prices are collected hourly where they are collected at all; younger than this they count as current."""
STALE_S = 24 * 3600
"""Up to this age a price is shown with its age; older ones are history."""
OUTLIER_SHARE = Decimal("0.25")
"""Below this share of the median of the same GPU a price is probably no price (2 H100 for a $0.34 bid each)."""
_FEWEST_FOR_A_MEDIAN = 4
DOUBTFUL = frozenset({"outlier", "no_discount", "vram_differs", "gpu_only"})
"""Flags of offers that stand in no short list: they cannot be compared, or probably not be had."""


class Quote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a provider says about one thing for rent, in our units, with the GPU's name as it was given.

    `price_hour_usd` is USD per hour for all GPUs of it, `vram_each_gib` memory of one GPU, `plan` the provider's own
    word for the tier. `storage_usd_gb_month` is billed on `month_hours` hours a month, `paused_storage_usd_gb_month`
    that of a machine that stands still, where it differs; traffic per GB (10^9 bytes), rates in Mbit/s.
    `reliability` is between 0 and 1. `observed_at` is ISO 8601 UTC, or a day.
    """

    provider: str
    tier: Tier
    interruptible: bool
    gpu_raw: str
    gpu_count: int
    vram_each_gib: float | None
    price_hour_usd: Decimal
    observed_at: str
    source: str
    plan: str | None = None
    instance: str | None = None
    region: str | None = None
    reliability: float | None = None
    verified: bool | None = None
    stock: str | None = None
    inet_down_mbps: float | None = None
    inet_up_mbps: float | None = None
    storage_usd_gb_month: Decimal | None = None
    paused_storage_usd_gb_month: Decimal | None = None
    month_hours: int | None = None
    ingress_usd_gb: Decimal | None = None
    egress_usd_gb: Decimal | None = None
    flags: tuple[str, ...] = ()


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A quote with its GPU recognised and its age judged.

    `gpu` is a short name that keeps form factor and size where prices differ by them, None for a GPU that is not
    known; `device` the row of the device table to estimate with (the slowest where the name leaves several open).
    `vram_each_gib` is the size of the label where the figure given is near it, else as given (modified cards).
    """

    quote: Quote
    gpu: str | None
    device: str | None
    vram_each_gib: float | None
    staleness: Staleness
    flags: tuple[str, ...]

    @property
    def price_gpu_hour_usd(self) -> Decimal:
        """USD per hour and GPU."""
        return self.quote.price_hour_usd / self.quote.gpu_count

    @property
    def vram_total_gib(self) -> float | None:
        """Memory of all its GPUs together."""
        return None if self.vram_each_gib is None else self.vram_each_gib * self.quote.gpu_count

    @property
    def same_gpu(self) -> tuple[str, float | None]:
        """What has to be equal for two prices to be compared."""
        return self.gpu or self.quote.gpu_raw.casefold(), self.vram_each_gib


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Which offers are wanted; a field that is None or empty asks nothing.

    `min_vram_gib` is memory of one GPU, `min_vram_total_gib` of all together, `max_price` USD per GPU and hour.
    An offer that does not say what is asked for is left out.
    """

    min_vram_gib: float | None = None
    min_vram_total_gib: float | None = None
    gpu: str | None = None
    gpu_count: int | None = None
    providers: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    region: str | None = None
    max_price: Decimal | None = None
    min_reliability: float | None = None


def is_usable(quote: Quote) -> bool:
    """Whether a quote can be an offer at all: a finite positive price, a GPU."""
    price = quote.price_hour_usd
    return price.is_finite() and price > 0 and quote.gpu_count >= 1 and bool(quote.gpu_raw.strip())


def make_offers(quotes: Iterable[tuple[Quote, Staleness]], specs: Sequence[DeviceSpec]) -> tuple[Offer, ...]:
    """Offers of quotes; what is no offer is dropped, what looks wrong among them all is flagged (`compared`)."""
    return compared(single_offers(quotes, specs))


def single_offers(quotes: Iterable[tuple[Quote, Staleness]], specs: Sequence[DeviceSpec]) -> list[Offer]:
    """Offers of quotes, each looked at alone; what is no offer is dropped.

    Flags: `vram_differs`, another memory than the data sheet's; `form_factor_open`, the name does not say which of
    several forms it is.
    """
    index = rental_index(specs)
    return [_offer(quote, staleness, index) for quote, staleness in quotes if is_usable(quote)]


def compared(offers: Sequence[Offer]) -> tuple[Offer, ...]:
    """The offers of a market, flagged where they stand out among each other.

    Flags: `no_discount`, interruptible and not cheaper than the same GPU uninterrupted at the same provider;
    `outlier`, less than a quarter of that GPU's median.
    """
    firm = _cheapest_firm(offers)
    medians = _medians(offers)
    made = []
    for offer in offers:
        flags = offer.flags
        price = offer.price_gpu_hour_usd
        bar = firm.get((offer.quote.provider, *offer.same_gpu))
        if offer.quote.interruptible and bar is not None and price >= bar:
            flags += ("no_discount",)
        middle = medians.get(offer.same_gpu)
        if middle is not None and price < OUTLIER_SHARE * middle:
            flags += ("outlier",)
        made.append(
            offer if flags is offer.flags else msgspec.structs.replace(offer, flags=tuple(dict.fromkeys(flags)))
        )
    return tuple(made)


def _offer(quote: Quote, staleness: Staleness, index: NameIndex) -> Offer:
    named = recognised(quote.gpu_raw, quote.vram_each_gib, index)
    vram = snapped_gib(quote.vram_each_gib, named.memory_gib)
    flags = list(quote.flags)
    if named.form_open:
        flags.append("form_factor_open")
    if vram is not None and named.memory_gib is not None and vram != named.memory_gib:
        flags.append("vram_differs")
    return Offer(
        quote=quote,
        gpu=named.slug,
        device=named.device,
        vram_each_gib=vram,
        staleness=staleness,
        flags=tuple(dict.fromkeys(flags)),
    )


def _cheapest_firm(offers: Iterable[Offer]) -> dict[tuple[object, ...], Decimal]:
    """The least price per GPU and hour that is not interruptible, by provider and GPU."""
    found: dict[tuple[object, ...], Decimal] = {}
    for offer in offers:
        if not offer.quote.interruptible:
            key = (offer.quote.provider, *offer.same_gpu)
            found[key] = min(found.get(key, offer.price_gpu_hour_usd), offer.price_gpu_hour_usd)
    return found


def _medians(offers: Iterable[Offer]) -> dict[tuple[object, ...], Decimal]:
    """Median price per GPU and hour over all providers and tiers, where there are enough to speak of one."""
    prices: dict[tuple[object, ...], list[Decimal]] = {}
    for offer in offers:
        prices.setdefault(offer.same_gpu, []).append(offer.price_gpu_hour_usd)
    return {key: _median(found) for key, found in prices.items() if len(found) >= _FEWEST_FOR_A_MEDIAN}


def _median(values: list[Decimal]) -> Decimal:
    ranked, half = sorted(values), len(values) // 2
    return ranked[half] if len(values) % 2 else (ranked[half - 1] + ranked[half]) / 2


def wanted_offers(offers: Iterable[Offer], filters: Filters, specs: Sequence[DeviceSpec]) -> tuple[Offer, ...]:
    """The offers that pass. Raises UsageError `unknown-gpu` for a GPU that neither the table nor an offer has."""
    offers = tuple(offers)
    of_gpu = None
    if filters.gpu is not None:
        of_gpu = wanted_gpus(filters.gpu, specs, offered={offer.quote.gpu_raw for offer in offers})
    region = None if filters.region is None else filters.region.casefold()

    def passes(offer: Offer) -> bool:
        quote = offer.quote
        return (
            _at_least(offer.vram_each_gib, filters.min_vram_gib)
            and _at_least(offer.vram_total_gib, filters.min_vram_total_gib)
            and _at_least(quote.reliability, filters.min_reliability)
            and (filters.max_price is None or offer.price_gpu_hour_usd <= filters.max_price)
            and (filters.gpu_count is None or quote.gpu_count == filters.gpu_count)
            and (not filters.providers or quote.provider in filters.providers)
            and (not filters.tiers or bool({quote.tier, quote.plan} & set(filters.tiers)))
            and (region is None or _in_region(quote.region, region))
            and (of_gpu is None or of_gpu(quote.gpu_raw, offer.device))
        )

    return tuple(offer for offer in offers if passes(offer))


def _at_least(value: float | None, least: float | None) -> bool:
    return least is None or (value is not None and value >= least)


def _in_region(region: str | None, wanted: str) -> bool:
    """A region is named by any of its parts ("Texas, US"), or by how it begins ("eu" of "eu-west-1")."""
    if region is None:
        return False
    parts = [part.strip().casefold() for part in region.split(",")]
    return any(part == wanted or part.startswith((f"{wanted}-", f"{wanted}_")) for part in parts) or (
        len(wanted) > 2 and wanted in region.casefold()
    )


_FALLBACK = Decimal("Infinity")


def ordered(
    offers: Iterable[Offer], order: Order = "price", *, cost: Callable[[Offer], Decimal | None] | None = None
) -> tuple[Offer, ...]:
    """The offers, best first: by `cost` where given (None last), else as asked; ties by price, then by name."""

    def key(offer: Offer) -> tuple[object, ...]:
        quote, price = offer.quote, offer.price_gpu_hour_usd
        first: object = price
        if cost is not None:
            found = cost(offer)
            first = _FALLBACK if found is None else found
        elif order == "total":
            first = quote.price_hour_usd
        elif order == "vram":
            first = -(offer.vram_total_gib or 0.0)
        elif order == "reliability":
            first = -(quote.reliability if quote.reliability is not None else -1.0)
        elif order == "provider":
            first = quote.provider
        # Of two alike the one that is not taken away comes first, then the one with fewer GPUs.
        return (
            first, price, quote.interruptible, quote.gpu_count, quote.provider, offer.gpu or quote.gpu_raw,
            quote.plan or "", quote.region or "", quote.instance or "", quote.observed_at,
        )  # fmt: skip

    return tuple(sorted(offers, key=key))


def judged(age_s: float) -> Staleness:
    """What an age in seconds makes of a price."""
    if age_s < FRESH_S:
        return "fresh"
    return "stale" if age_s < STALE_S else "snapshot"
