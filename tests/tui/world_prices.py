"""A rental market that never changes: three GPUs, six providers, prices of three ages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import msgspec

from planner.core.costs.cost import Job, Speeds
from planner.core.costs.market import Market, Origin
from planner.core.costs.offers import Offer, Quote, Staleness, make_offers
from planner.core.costs.own_device import KWH_USD, Own
from planner.core.costs.priced import Priced, Pricing
from planner.core.costs.running import Load, Running
from planner.core.costs.where import by_cost, own_place, place
from planner.core.machines.hardware import DeviceKind, DeviceSpec, Vendor
from planner.core.memory.estimate import Rate, Verdict
from planner.core.pairs.recommendation import Recommendation
from planner.tui.data.machine import Situation
from planner.tui.data.prices import Inputs, Listing, Reckoning, load_of, shortlist
from planner.tui.services import Services

NOW_S = 1_795_600_000.0  # 2026-11-25T09:46:40Z


def spec(slug: str, name: str, memory_gib: float, bandwidth_gbps: float) -> DeviceSpec:
    """A GPU of a maker there is, because names are looked up by maker."""
    return DeviceSpec(
        slug=slug,
        name=name,
        vendor=Vendor.NVIDIA,
        kind=DeviceKind.DISCRETE,
        memory_gib=memory_gib,
        memory_bandwidth_gbps=bandwidth_gbps,
        fp32_tflops=80.0,
        fp16_tflops=160.0,
        source={},
        tdp_w=450.0,
    )


SPECS = (
    spec("rtx-3060-12gb", "GeForce RTX 3060 12 GB", 12.0, 360.0),
    spec("rtx-4090", "GeForce RTX 4090", 24.0, 1008.0),
    spec("h100-sxm-80gb", "H100 SXM 80 GB", 80.0, 3350.0),
)


def quote(provider: str, gpu: str, vram: float, price: str, **changes: Any) -> Quote:
    """A quote, dated unless it says otherwise."""
    fields: dict[str, Any] = {
        "tier": "on-demand",
        "interruptible": False,
        "gpu_count": 1,
        "observed_at": "2026-07-20",
        "source": "https://prices.example.org",
        **changes,
    }
    return Quote(provider=provider, gpu_raw=gpu, vram_each_gib=vram, price_hour_usd=Decimal(price), **fields)


LATE = "2026-11-25T09:40:00Z"
EARLIER = "2026-11-25T03:00:00Z"
_AGES: Mapping[str, Staleness] = {LATE: "fresh", EARLIER: "stale"}


def vast(price: str, **changes: Any) -> Quote:
    """A minutes old RTX 4090 of a marketplace."""
    return quote("vast", "RTX 4090", 24, price, **{"tier": "marketplace", "observed_at": LATE, **changes})


def runpod(gpu: str, vram: float, price: str, **changes: Any) -> Quote:
    """One that was seen some hours ago."""
    return quote("runpod", gpu, vram, price, observed_at=EARLIER, **changes)


_SPOT = {"tier": "spot", "interruptible": True}
QUOTES = (
    vast(
        "0.34",
        region="Norway",
        reliability=0.9962,
        inet_down_mbps=812.0,
        inet_up_mbps=640.0,
        verified=True,
        storage_usd_gb_month=Decimal("0.15"),
    ),
    vast("0.39", region="Texas, US", reliability=0.97),
    vast("0.21", region="Norway", reliability=0.9962, **_SPOT),
    runpod("RTX 4090", 24, "0.69", plan="secure", stock="high"),
    runpod("RTX 4090", 24, "0.34", tier="community", flags=("stock_unknown",)),
    runpod("H100 SXM", 80, "2.99", plan="secure", region="eu-west-1"),
    quote("lambda", "H100 SXM", 80, "26.32", gpu_count=8, region="us-east-1"),
    quote("coreweave", "H100 SXM", 80, "4.76", flags=("gpu_only",)),
    quote("salad", "RTX 3060 12GB", 12, "0.06", flags=("gpu_only",), **_SPOT),
    quote("salad", "RTX 4090", 24, "0.20", flags=("gpu_only",), **_SPOT),
    quote("hyperstack", "A Card Nobody Knows", 48, "0.50", region="Canada"),
)
ORIGINS = (
    Origin(name="vast", status="fresh", age_s=400),
    Origin(name="runpod", status="stale", age_s=24400, note="did not answer within 5 s"),
    Origin(name="runpod-rest", status="none", age_s=None, note="not asked: there is no RUNPOD_API_KEY"),
    Origin(name="lium", status="none", age_s=None, note="The name lium.io could not be looked up"),
    Origin(name="gpuhunt", status="snapshot", age_s=11_000_000),
)


def listing(*, asked: bool = True, offline: bool = False, quotes: Sequence[Quote] = QUOTES) -> Listing:
    """The market; before anybody was asked everything is dated."""
    aged = [(one, _AGES.get(one.observed_at, "snapshot") if asked else _DATED) for one in quotes]
    offers = make_offers(aged, SPECS)
    market = Market(
        offers=offers,
        origins=ORIGINS if asked else tuple(replace_origin(origin) for origin in ORIGINS),
        as_of=max((offer.quote.observed_at for offer in offers), default=None),
        snapshot_note="On marketplaces dated prices may be wrong by a factor of 2." if offers else "",
    )
    return Listing(market, SPECS, NOW_S, asked, offline)


_DATED: Staleness = "snapshot"


def replace_origin(origin: Origin) -> Origin:
    """How it stands before anybody was asked."""
    return msgspec.structs.replace(origin, status="snapshot", age_s=11_000_000, note="")


RATES = {"rtx-3060-12gb": 40.0, "rtx-4090": 130.0, "h100-sxm-80gb": 210.0}


def running(mid: float, verdict: Verdict = Verdict.FITS) -> Running:
    """A pair that writes so many tokens per second, and embeds a hundred times as many."""
    write, embed = Rate(low=mid * 0.8, mid=mid, high=mid * 1.25), Rate(low=mid * 60, mid=mid * 100, high=mid * 150)
    return Running((), verdict, Speeds(write=write, read=embed, embed=embed))


class Held:
    """Stands for the estimator: a pair that needs more than 12 GiB."""

    def __init__(self, load: Load) -> None:
        self.load = load

    def on(self, offer: Offer) -> Running | None:
        """By the GPU alone."""
        if offer.device is None or (offer.vram_each_gib or 0) <= 12:
            return None
        return running(RATES[offer.device])


def reckoned(found: Listing, plan: Recommendation | None, situation: Situation | None, inputs: Inputs) -> Reckoning:
    """As the real one does, with speeds that are given."""
    if plan is None:
        return Reckoning(tuple(Priced(offer=offer) for offer in found.market.offers), inputs=inputs)
    load = load_of(plan)
    own = None
    if situation is not None:
        own = Own(
            name="Acme GPU 24 (24.0 GiB)",
            running=running(90.0),
            watts=inputs.watts or Decimal(350),
            watts_source="as entered" if inputs.watts else "data sheet",
            kwh_usd=inputs.kwh_usd or KWH_USD,
            kwh_assumed=inputs.kwh_usd is None,
            price_usd=inputs.device_usd,
            idle_watts=Decimal(35),
        )
    pricing = Pricing(load=load, rented=Held(load), job=Job(utilisation=inputs.utilisation), own=own)  # type: ignore[arg-type]  # the part of it that is used
    held, _ = pricing.priced(found.market.offers)
    by_offer = {id(row.offer): row for row in held}
    rented = [
        place("rental", "", row.running, row.offer.quote.price_hour_usd, offer=row.offer)
        for row in shortlist(held)
        if row.running is not None
    ]
    mine = None if own is None else own_place(own)
    owned = place("device", "RTX 3090 24 GB", running(95.0), Decimal("0.07"), watts=Decimal(350))
    places = by_cost([*([] if mine is None else [mine]), owned, *rented])
    rows = tuple(by_offer.get(id(offer)) or Priced(offer=offer) for offer in found.market.offers)
    return Reckoning(rows, tuple(places), own, load, inputs)


@dataclass
class Prices:
    """What the page sees; change it during a test."""

    before: Listing = field(default_factory=lambda: listing(asked=False))
    after: Listing = field(default_factory=listing)
    error: Exception | None = None
    asked: list[Mapping[str, bool]] = field(default_factory=list)
    reckoned: list[Inputs] = field(default_factory=list)

    def market(self, *, ask: bool, refresh: bool = False) -> Listing:
        """The services' function."""
        if ask:
            self.asked.append({"refresh": refresh})
        if self.error is not None:
            raise self.error
        return self.after if ask else self.before

    def reckon(
        self, found: Listing, plan: Recommendation | None, situation: Situation | None, inputs: Inputs
    ) -> Reckoning:
        """The services' function."""
        self.reckoned.append(inputs)
        return reckoned(found, plan, situation, inputs)

    def with_(self, services: Services) -> Services:
        """The services of a world, with this market."""
        return replace(services, market=self.market, reckon=self.reckon)
