"""Where a price per million tokens comes from: the rent, the speed, and the arithmetic between them."""

from collections.abc import Iterator
from decimal import Decimal

from planner.core.costs.cost import Spread
from planner.core.costs.priced import Priced
from planner.core.memory.estimate import Rate
from planner.core.models.model import Role
from planner.core.pages.offer_view import usd
from planner.tui.data.explain import Explanation, Part, estimate_parts
from planner.tui.data.machine import Situation
from planner.tui.data.price_words import electricity_words, offer_name
from planner.tui.data.prices import Listing, Reckoning


def explain_offer(row: Priced, listing: Listing, reckoning: Reckoning, situation: Situation | None) -> Explanation:
    """An offer: its cost per million tokens, that of this machine, and each model's memory and speed there."""
    own = reckoning.own
    parts = [Part("price", (f"{usd(row.offer.quote.price_hour_usd)} an hour, by {row.offer.quote.source}",))]
    if row.running is not None:
        speeds, share = row.running.speeds, reckoning.inputs.utilisation
        hour = row.offer.quote.price_hour_usd
        for cost, rate, what in (
            (row.generated, speeds.write, "a million tokens written"),
            (row.embedded, speeds.embed, "a million tokens embedded"),
        ):
            if cost is not None and rate is not None:
                parts.append(Part(what, tuple(_arithmetic(hour, cost, rate, share))))
    else:
        parts.append(Part("tokens", ("The pair does not fit there whole, or its GPU is not known.",), prose=True))
    if own is not None:
        role = Role.GENERATION if own.speeds.write is not None else Role.EMBEDDING
        mine, rate = own.per_million(role, reckoning.inputs.utilisation), own.speeds.write or own.speeds.embed
        mean = own.mean_hour_usd(reckoning.inputs.utilisation)
        lines = [electricity_words(own)]
        if mine is not None and rate is not None and mean is not None:
            lines += _arithmetic(mean, mine, rate, reckoning.inputs.utilisation)
        parts.append(Part("here", tuple(lines)))
    return Explanation(offer_name(row.offer, listing.names), (*parts, *_models(row, listing, reckoning, situation)))


def _arithmetic(hour_usd: Decimal, cost: Spread, rate: Rate, share: Decimal) -> Iterator[str]:
    """The three ends of the range; the cheapest belongs to the fastest."""
    yield "USD an hour / (tokens per second * 3600 s) * 10^6" + ("" if share == 1 else " / share of the time")
    also = "" if share == 1 else f" / {share:f}"
    for name, amount, speed in (
        ("low", cost.low, rate.high),
        ("mid", cost.mid, rate.mid),
        ("high", cost.high, rate.low),
    ):
        yield f"  {name:5}{usd(hour_usd)} / ({speed:g} * 3600) * 10^6{also} = {usd(amount)}"


def _models(row: Priced, listing: Listing, reckoning: Reckoning, situation: Situation | None) -> Iterator[Part]:
    from planner.core.costs.renting import RENTED_RAM_BYTES
    from planner.core.estimates.estimator import settings_for
    from planner.core.fits.fitting import shown_context
    from planner.core.machines.overrides import Overrides, virtual_hardware
    from planner.core.memory.workload import Workload
    from planner.units import GIB

    load, offer = reckoning.load, row.offer
    if load is None or row.running is None or offer.device is None or offer.vram_each_gib is None:
        return
    if situation is None or situation.catalog is None:
        return
    overrides = Overrides(
        gpu=f"{offer.quote.gpu_count}x {offer.device}",
        vram=(round(offer.vram_each_gib * GIB),),
        ram_bytes=RENTED_RAM_BYTES,
    )
    hardware = virtual_hardware(overrides, listing.specs)
    models = sorted(load.models, key=lambda item: item[0].role is Role.GENERATION)
    for (model, variant), estimate in zip(models, row.running.estimates, strict=True):
        settings = settings_for(model, Workload(parallel=load.parallel), shown_context(model, load.context))
        found = estimate_parts(
            model, variant, settings, estimate, hardware=hardware, calibration=situation.catalog.speed
        )
        for part in found:
            yield Part(f"{model.name} {variant.quant} there: {part.heading}", part.lines, part.prose)
