"""A device of one's own beside a rental: what an hour of it costs in electricity, and when buying it has paid off.

It is paid for while it waits too: a GPU that holds a model draws a part of its power without a token.
"""

from decimal import Decimal

import msgspec

from planner.core.costs.cost import (
    Job,
    Speeds,
    Spread,
    break_even_hours,
    electricity_usd_per_hour,
    exact,
    usd_per_million,
    work_hours,
)
from planner.core.costs.running import Running
from planner.core.machines.hardware import Hardware
from planner.core.models.model import Role
from planner.units import format_gib

KWH_USD = Decimal("0.20")
"""Assumed price of a kilowatt-hour: between the usual of the USA and of western Europe (recalled)."""


IDLE_SHARE = Decimal("0.1")
"""Assumed share of its power that a GPU draws while it holds a model and does nothing.

Told of llama.cpp and Ollama (ggml-org/llama.cpp issues 3717, 4598 and 25570, ollama/ollama issue 8591): 5 % of an RTX
4090, 8 % of an RTX 3060, 16 % of a V100, 20 % of a P40, 30 % of an A40.
"""
IDLE_SOURCE = "assumed: a tenth of its power at work; --idle-watts"


class Own(msgspec.Struct, frozen=True, kw_only=True):
    """A device of one's own, and the load on it (`running`, None without one).

    `watts` under load is None where neither the table nor the user says, `idle_watts` (loaded, without work) where
    nothing else is known of its power; `price_usd` is what buying it would cost, None where it is there already.
    """

    name: str
    running: Running | None
    watts: Decimal | None
    watts_source: str
    kwh_usd: Decimal
    kwh_assumed: bool
    price_usd: Decimal | None
    idle_watts: Decimal | None = None
    idle_source: str = ""

    @property
    def hour_usd(self) -> Decimal | None:
        """Electricity of an hour under load."""
        return None if self.watts is None else electricity_usd_per_hour(self.watts, self.kwh_usd)

    @property
    def idle_hour_usd(self) -> Decimal | None:
        """Electricity of an hour in which it holds the models and waits."""
        return None if self.idle_watts is None else electricity_usd_per_hour(self.idle_watts, self.kwh_usd)

    def mean_hour_usd(self, utilisation: Decimal = Decimal(1)) -> Decimal | None:
        """Electricity of an hour of which `utilisation` is work; None where a part of it is not known."""
        return mean_hour_usd(self.watts, self.idle_watts, self.kwh_usd, utilisation)

    @property
    def speeds(self) -> Speeds:
        """Of the load on it; empty without one."""
        return Speeds() if self.running is None else self.running.speeds

    def per_million(self, role: Role, utilisation: Decimal = Decimal(1)) -> Spread | None:
        """Electricity for a million tokens generated, or embedded, that of the time between them included."""
        rate = self.speeds.write if role is Role.GENERATION else self.speeds.embed
        hour = self.mean_hour_usd(utilisation)
        return None if hour is None else usd_per_million(hour, rate, utilisation)

    def job_usd(self, job: Job) -> Spread | None:
        """Electricity for a job: its work, and the rest of the time it is kept; None where a part is not known."""
        work = work_hours(msgspec.structs.replace(job, utilisation=Decimal(1)), self.speeds)
        if work is None:
            return None

        def at(busy: Decimal) -> Decimal | None:
            kept = max(job.hours or Decimal(0), busy / job.utilisation)
            hour = self.mean_hour_usd(busy / kept if kept else Decimal(1))
            return None if hour is None else kept * hour

        low, mid, high = at(work.low), at(work.mid), at(work.high)
        return None if low is None or mid is None or high is None else Spread(low, mid, high)


def mean_hour_usd(
    watts: Decimal | None, idle_watts: Decimal | None, kwh_usd: Decimal, utilisation: Decimal
) -> Decimal | None:
    """USD for an hour of which `utilisation` is work at `watts`, the rest waiting at `idle_watts`."""
    if watts is None or (idle_watts is None and utilisation < 1):
        return None
    return electricity_usd_per_hour(utilisation * watts + (1 - utilisation) * (idle_watts or 0), kwh_usd)


def paid_off(
    own: Own, hour_usd: Decimal, rented: Speeds | None, role: Role | None, utilisation: Decimal = Decimal(1)
) -> Decimal | None:
    """Hours of use after which a bought device has cost less than a rental of `hour_usd`; None: never.

    `utilisation` of these hours is work, on either. Where both speeds are known a slower device replaces less of the
    rental's time; electricity that is not known counts as nothing.
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
    return break_even_hours(own.price_usd, hour_usd, own.mean_hour_usd(utilisation) or Decimal(0), ratio)


def watts_of(hardware: Hardware) -> tuple[Decimal | None, str]:
    """What its GPUs draw at most together, by the driver's limit or the data sheet; None where one does not say."""
    usable = [device for device in hardware.devices if device.usable]
    watts = [device.power_limit_w or device.told_tdp_w for device in usable]
    known = [exact(value) for value in watts if value is not None]
    if not known or len(known) < len(usable):
        return None, "not known: give it with --watts"
    return sum(known, Decimal(0)), "the GPU's power by driver or data sheet, the computer around it not counted"


def machine_name(hardware: Hardware) -> str:
    """`2x GeForce RTX 3090 (24.0 GiB)`; without a GPU the processor."""
    usable = [device for device in hardware.devices if device.usable]
    if not usable:
        cpu, total = hardware.host.cpu, hardware.host.memory_total_bytes
        memory = "" if total is None else f", {format_gib(total)}"
        return f"the CPU ({cpu.cores_usable} cores{memory})"
    names: dict[str, int] = {}
    for device in usable:
        size = "" if device.memory_total_bytes is None else f" ({format_gib(device.memory_total_bytes)})"
        names[device.name + size] = names.get(device.name + size, 0) + 1
    return ", ".join(f"{count}x {name}" if count > 1 else name for name, count in names.items())


def idle_watts_of(watts: Decimal | None) -> Decimal | None:
    """What a device of so many watts draws while it holds a model and waits, by the usual share."""
    return None if watts is None else watts * IDLE_SHARE
