"""Where should this run? This machine, devices one could have, and rentals, by what a million tokens cost there."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from planner.core.costs.cost import Speeds, Spread, usd_per_million
from planner.core.costs.offers import Offer
from planner.core.costs.own_device import Own, idle_watts_of, mean_hour_usd, watts_of
from planner.core.costs.priced import Priced, Pricing
from planner.core.costs.renting import running_on
from planner.core.costs.running import Load, Running
from planner.core.fits.device_grid import COMMON_DEVICES
from planner.core.machines.hardware import DeviceSpec
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.estimate import Verdict
from planner.core.speed.calibration import GENERIC, Calibration
from planner.units import GIB


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A place to run a load. `hour_usd` is rent, or electricity alone for what one owns (None: watts not known).

    An hour of which only a part is work costs the same rent, and less electricity. `name` is empty for a rental,
    which has its `offer`.
    """

    kind: Literal["here", "device", "rental"]
    name: str
    running: Running
    hour_usd: Decimal | None
    generated: Spread | None
    embedded: Spread | None
    watts: Decimal | None = None
    offer: Offer | None = None

    @property
    def verdict(self) -> Verdict:
        """Whole on its devices, or partly on the CPU."""
        return self.running.verdict

    @property
    def speeds(self) -> Speeds:
        """Tokens per second."""
        return self.running.speeds

    @property
    def per_million(self) -> Spread | None:
        """USD per million tokens generated, without a generator of tokens embedded."""
        return self.generated or self.embedded


def place(
    kind: Literal["here", "device", "rental"],
    name: str,
    running: Running,
    hour_usd: Decimal | None,
    *,
    watts: Decimal | None = None,
    offer: Offer | None = None,
    utilisation: Decimal = Decimal(1),
) -> Place:
    """A place with what a million tokens cost there, at `hour_usd` for an hour of which `utilisation` is work."""
    speeds = running.speeds
    return Place(
        kind=kind,
        name=name,
        running=running,
        hour_usd=hour_usd,
        generated=None if hour_usd is None else usd_per_million(hour_usd, speeds.write, utilisation),
        embedded=None if hour_usd is None else usd_per_million(hour_usd, speeds.embed, utilisation),
        watts=watts,
        offer=offer,
    )


def own_place(own: Own, utilisation: Decimal = Decimal(1)) -> Place | None:
    """One's own machine; None where the load does not run there."""
    if own.running is None or own.running.verdict is Verdict.NO_FIT:
        return None
    hour = own.mean_hour_usd(utilisation)
    return place("here", own.name, own.running, hour, watts=own.watts, utilisation=utilisation)


def device_places(
    load: Load,
    specs: Sequence[DeviceSpec],
    *,
    kwh_usd: Decimal,
    utilisation: Decimal = Decimal(1),
    calibration: Calibration = GENERIC,
) -> list[Place]:
    """The devices that many people have, those on which the load runs."""
    known = {spec.slug for spec in specs}
    found = []
    for device in COMMON_DEVICES:
        if device.slug is not None and device.slug not in known:
            continue
        hardware = virtual_hardware(Overrides(gpu=device.slug, ram_bytes=device.ram_gib * GIB), specs)
        running = running_on(load, hardware, calibration=calibration)
        if running is None or running.verdict is Verdict.NO_FIT:
            continue
        watts, _ = watts_of(hardware)
        hour = mean_hour_usd(watts, idle_watts_of(watts), kwh_usd, utilisation)
        found.append(place("device", device.label, running, hour, watts=watts, utilisation=utilisation))
    return found


def by_cost(places: Iterable[Place]) -> list[Place]:
    """The cheapest per million tokens first; what is not known last, in the order given."""

    def key(item: Place) -> tuple[bool, Decimal]:
        spread = item.per_million
        return spread is None, Decimal(0) if spread is None else spread.mid

    return sorted(places, key=key)


def places(
    pricing: Pricing,
    rows: Iterable[Priced],
    specs: Sequence[DeviceSpec],
    *,
    kwh_usd: Decimal,
    calibration: Calibration = GENERIC,
) -> list[Place]:
    """One's own device, common ones and the rentals given, the cheapest per token first; none without a load."""
    if pricing.load is None:
        return []
    share = pricing.job.utilisation
    found = device_places(pricing.load, specs, kwh_usd=kwh_usd, utilisation=share, calibration=calibration)
    mine = None if pricing.own is None else own_place(pricing.own, share)
    rented = [
        place("rental", "", row.running, row.offer.quote.price_hour_usd, offer=row.offer, utilisation=share)
        for row in rows
        if row.running is not None
    ]  # fmt: skip
    return by_cost([*([] if mine is None else [mine]), *found, *rented])
