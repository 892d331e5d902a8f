"""A device of one's own beside a rental: what an hour of it costs in electricity, and when buying it has paid off."""

from decimal import Decimal

import msgspec

from planner.core.cost import (
    Job,
    Speeds,
    Spread,
    break_even_hours,
    electricity_usd_per_hour,
    exact,
    usd_per_million,
    work_hours,
)
from planner.core.hardware import Hardware
from planner.core.model import Role
from planner.core.running import Running

KWH_USD = Decimal("0.20")
"""Assumed price of a kilowatt-hour: between the usual of the USA and of western Europe (recalled)."""


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A device of one's own, and the load on it (`running`, None without one).

    `watts` under load is None where neither the table nor the user says; `price_usd` is what buying it would cost,
    None where it is there already.
    """

    name: str
    running: Running | None
    watts: Decimal | None
    watts_source: str
    kwh_usd: Decimal
    kwh_assumed: bool
    price_usd: Decimal | None

    @property
    def hour_usd(self) -> Decimal | None:
        """Electricity of an hour under load."""
        return None if self.watts is None else electricity_usd_per_hour(self.watts, self.kwh_usd)

    @property
    def speeds(self) -> Speeds:
        """Of the load on it; empty without one."""
        return Speeds() if self.running is None else self.running.speeds

    def per_million(self, role: Role) -> Spread | None:
        """Electricity for a million tokens generated, or embedded."""
        rate = self.speeds.write if role is Role.GENERATION else self.speeds.embed
        return None if self.hour_usd is None else usd_per_million(self.hour_usd, rate)

    def job_usd(self, job: Job) -> Spread | None:
        """Electricity for the work of a job; None where a speed or the watts are not known."""
        hours, hour = work_hours(job, self.speeds), self.hour_usd
        return None if hours is None or hour is None else hours.times(hour)


def paid_off(own: Own, hour_usd: Decimal, rented: Speeds | None, role: Role | None) -> Decimal | None:
    """Hours of its own work after which a bought device has cost less than a rental of `hour_usd`; None: never.

    Where both speeds are known a slower device replaces less of the rental's time; electricity that is not known
    counts as nothing.
    """
    if own.price_usd is None:
        return None
    ratio = Decimal(1)
    if role is not None and rented is not None:
        name = "write" if role is Role.GENERATION else "embed"
        mine, theirs = getattr(own.speeds, name), getattr(rented, name)
        if mine is None or theirs is None or theirs.mid <= 0:
            return None
        ratio = exact(mine.mid) / exact(theirs.mid)
    return break_even_hours(own.price_usd, hour_usd, own.hour_usd or Decimal(0), ratio)


def watts_of(hardware: Hardware) -> tuple[Decimal | None, str]:
    """What its GPUs draw at most together, by the driver's limit or the data sheet; None where one does not say."""
    usable = [device for device in hardware.devices if device.usable]
    watts = [device.power_limit_w or device.told_tdp_w for device in usable]
    known = [exact(value) for value in watts if value is not None]
    if not known or len(known) < len(usable):
        return None, "not known: give it with --watts"
    return sum(known, Decimal(0)), "the GPU's power by driver or data sheet, the computer around it not counted"
