"""What work costs: per million tokens, for a job, in electricity at home, and against buying a device.

Money is USD as `Decimal`, never rounded here; hours are hours of the clock. A speed has a range, and so has all that
follows from it: the `low` of a cost belongs to the `high` of a speed.
"""

from decimal import Decimal

import msgspec

from planner.core.memory.estimate import Rate

MILLION = Decimal(10**6)
SECONDS_PER_HOUR = Decimal(3600)
USUAL_MONTH_HOURS = 730
"""365 days of 24 hours by 12: what a month of storage is reckoned as where the provider does not say (Vast: 720)."""


class Spread(msgspec.Struct, frozen=True):
    """A figure with its 80 % interval."""

    low: Decimal
    mid: Decimal
    high: Decimal

    def plus(self, amount: Decimal) -> "Spread":
        """The same with an amount added to all three."""
        return Spread(self.low + amount, self.mid + amount, self.high + amount)

    def times(self, factor: Decimal) -> "Spread":
        """The same times a factor."""
        return Spread(self.low * factor, self.mid * factor, self.high * factor)


NOTHING = Spread(Decimal(0), Decimal(0), Decimal(0))


class Speeds(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens per second: `write` generated, `read` of prompts, `embed` of documents; None where not known.

    With several answers at a time `write` is that of all together.
    """

    write: Rate | None = None
    read: Rate | None = None
    embed: Rate | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work. Sizes in GB (10^9 bytes), `document_tokens` of each document, `network_mbps` in Mbit/s.

    `hours` it is kept at least, None for no longer than the work takes. `interruptions` of a rental that may be taken
    away: each costs `restart_hours` and loading the model again, and before that the storage of `paused_hours` in
    which the machine is somebody else's; work that is lost is not counted. `utilisation` is the share of the paid
    time in which tokens flow. `network_mbps` holds where the offer does not say its own.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    documents: int = 0
    document_tokens: int = 512
    download_gb: Decimal = Decimal(0)
    storage_gb: Decimal = Decimal(0)
    egress_gb: Decimal = Decimal(0)
    hours: Decimal | None = None
    interruptions: int = 0
    restart_hours: Decimal = Decimal("0.1")
    paused_hours: Decimal = Decimal(1)
    load_gb_per_s: Decimal = Decimal("0.5")
    network_mbps: Decimal = Decimal(500)
    utilisation: Decimal = Decimal(1)


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What time, storage and traffic cost at a provider; None where it does not say.

    `paused_storage_usd_gb_month` is that of a machine that stands still, where it differs.
    """

    hour_usd: Decimal
    storage_usd_gb_month: Decimal | None = None
    paused_storage_usd_gb_month: Decimal | None = None
    month_hours: int | None = None
    ingress_usd_gb: Decimal | None = None
    egress_usd_gb: Decimal | None = None
    network_mbps: Decimal | None = None


class JobCost(msgspec.Struct, frozen=True, kw_only=True):
    """What a job takes and costs. `hours` are paid; `unknown` names what is not in the sum because nobody says it.

    `interrupted` is the total with the interruptions of the job, `paused_storage` its part for storage while the
    machine is somebody else's.
    """

    download_hours: Decimal
    load_hours: Decimal
    work_hours: Spread
    hours: Spread
    time: Spread
    storage: Spread
    traffic: Decimal
    total: Spread
    interrupted: Spread
    paused_storage: Decimal
    unknown: tuple[str, ...]


def exact(value: float) -> Decimal:
    """A measured or estimated number as the decimal it is printed as."""
    return Decimal(repr(float(value)))


def usd_per_million(hour_usd: Decimal, rate: Rate | None, utilisation: Decimal = Decimal(1)) -> Spread | None:
    """USD per million tokens: USD per hour / (tokens per second * 3600 / 10^6) / utilisation."""
    if rate is None or rate.low <= 0 or utilisation <= 0:
        return None

    def at(tokens_per_s: float) -> Decimal:
        return hour_usd * MILLION / (exact(tokens_per_s) * SECONDS_PER_HOUR) / utilisation

    return Spread(at(rate.high), at(rate.mid), at(rate.low))


def hours_for(tokens: int, rate: Rate | None, utilisation: Decimal = Decimal(1)) -> Spread | None:
    """Hours that so many tokens take; none for no tokens, None where the speed is not known."""
    if tokens == 0:
        return NOTHING
    if rate is None or rate.low <= 0 or utilisation <= 0:
        return None

    def at(tokens_per_s: float) -> Decimal:
        return tokens / exact(tokens_per_s) / SECONDS_PER_HOUR / utilisation

    return Spread(at(rate.high), at(rate.mid), at(rate.low))


def download_hours(size_gb: Decimal, network_mbps: Decimal) -> Decimal:
    """Hours for a download: GB * 8000 / (Mbit/s * 3600). 5 GB at 100 Mbit/s are 0.111 h."""
    return size_gb * 8000 / (network_mbps * SECONDS_PER_HOUR)


def work_hours(job: Job, speeds: Speeds) -> Spread | None:
    """Hours that the tokens of a job take, one kind after the other; None where a speed is not known."""
    parts = (
        hours_for(job.tokens_in, speeds.read, job.utilisation),
        hours_for(job.tokens_out, speeds.write, job.utilisation),
        hours_for(job.documents * job.document_tokens, speeds.embed, job.utilisation),
    )
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return Spread(
        sum((part.low for part in known), Decimal(0)),
        sum((part.mid for part in known), Decimal(0)),
        sum((part.high for part in known), Decimal(0)),
    )


def job_cost(job: Job, tariff: Tariff, speeds: Speeds) -> JobCost | None:
    """What a job costs at a tariff. None where it has tokens whose speed is not known.

    hours = download + loading + work, at least those it is kept; USD = hours * USD/h
    + GB * USD/GB/month * hours / hours per month + GB in and out * USD/GB. An interruption adds (restart + loading)
    * (USD/h + storage per hour) + the hours that it stands still * storage per hour.
    """
    work = work_hours(job, speeds)
    if work is None:
        return None
    unknown = []
    said = tariff.network_mbps if tariff.network_mbps is not None and tariff.network_mbps > 0 else None
    if job.download_gb and said is None:
        unknown.append("network speed")
    download = download_hours(job.download_gb, said or job.network_mbps)
    load = job.download_gb / job.load_gb_per_s / SECONDS_PER_HOUR
    least = job.hours or Decimal(0)
    needed = work.plus(download + load)
    hours = Spread(max(least, needed.low), max(least, needed.mid), max(least, needed.high))
    gb_months = job.storage_gb / Decimal(tariff.month_hours or USUAL_MONTH_HOURS)
    storage_hour = gb_months * (tariff.storage_usd_gb_month or 0)
    paused_hour = storage_hour
    if tariff.paused_storage_usd_gb_month is not None:
        paused_hour = gb_months * tariff.paused_storage_usd_gb_month
    if job.storage_gb and tariff.storage_usd_gb_month is None:
        unknown.append("storage")
    traffic = Decimal(0)
    for size, each in ((job.download_gb, tariff.ingress_usd_gb), (job.egress_gb, tariff.egress_usd_gb)):
        if size and each is None:
            unknown.append("traffic")
        traffic += size * (each or 0)
    time, storage = hours.times(tariff.hour_usd), hours.times(storage_hour)
    total = Spread(time.low + storage.low, time.mid + storage.mid, time.high + storage.high).plus(traffic)
    again = job.interruptions * (job.restart_hours + load) * (tariff.hour_usd + storage_hour)
    paused = job.interruptions * job.paused_hours * paused_hour
    return JobCost(
        download_hours=download,
        load_hours=load,
        work_hours=work,
        hours=hours,
        time=time,
        storage=storage,
        traffic=traffic,
        total=total,
        interrupted=total.plus(again + paused),
        paused_storage=paused,
        unknown=tuple(dict.fromkeys(unknown)),
    )


def electricity_usd_per_hour(watts: Decimal, kwh_usd: Decimal) -> Decimal:
    """USD for an hour at so many watts: W / 1000 * USD/kWh."""
    return watts / 1000 * kwh_usd


def break_even_hours(
    device_usd: Decimal, rent_usd_per_hour: Decimal, own_usd_per_hour: Decimal, speed_ratio: Decimal = Decimal(1)
) -> Decimal | None:
    """Hours of use after which a bought device has cost less than renting; None: never.

    device price / (rent for what it does in an hour - its own electricity for that hour). `speed_ratio` is its speed
    over that of the rental: a device half as fast saves half a rented hour. No resale value, no other costs.
    """
    saved = rent_usd_per_hour * speed_ratio - own_usd_per_hour
    return device_usd / saved if saved > 0 else None
