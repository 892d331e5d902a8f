"""What the costs of `planner prices` rest on, for people: every input with its default, and one's own device."""

from collections.abc import Iterator, Sequence

from planner.cli.columns import note_lines, wrapped
from planner.cli.pricing import Pricer
from planner.core.costs.cost import USUAL_MONTH_HOURS
from planner.core.costs.offers import DOUBTFUL
from planner.core.costs.own_device import Own
from planner.core.costs.priced import Priced
from planner.core.costs.renting import RENTED_RAM_BYTES
from planner.core.models.model import Role
from planner.core.pages.offer_view import provider_name, usd, usd_range
from planner.core.pages.offer_words import gpu_words
from planner.units import format_gib


def input_lines(pricer: Pricer, rows: Sequence[Priced], names: dict[str, str], width: int | None) -> Iterator[str]:
    """What was reckoned with, and one's own device beside the rentals `rows`."""
    yield ""
    yield from _inputs(pricer, width)
    if pricer.own is not None:
        yield ""
        yield from _own_lines(pricer, pricer.own, rows, names, width)


def _inputs(pricer: Pricer, width: int | None) -> Iterator[str]:
    """Everything that was reckoned with, said or assumed."""
    job, given = pricer.job, pricer.costing.given
    yield "Reckoned with"
    if pricer.load is not None:
        for model, variant in pricer.load.models:
            yield from note_lines(f"{model.id} {variant.quant}", width)
        context = "at most 8192 tokens" if pricer.load.context is None else f"{pricer.load.context:,} tokens"
        yield from note_lines(
            f"{pricer.load.parallel} answer{'s' * (pricer.load.parallel > 1)} at a time (--parallel), a context of "
            f"{context} (--context), cached in {pricer.load.kv_type.upper()} (--kv-type); ranges hold with 80 %",
            width,
        )
        ram = format_gib(RENTED_RAM_BYTES)
        yield from note_lines(f"rentals hold it whole on their GPUs, beside {ram} of host memory (assumed)", width)
    yield from note_lines(
        f"tokens flow in {float(job.utilisation) * 100:.4g} % of the time paid (--utilisation)", width
    )
    if not pricer.wants_job:
        return
    kept = "no longer than the work takes" if job.hours is None else f"{job.hours:f} h at least"
    facts = [
        ("tokens_in", f"{job.tokens_in:,} tokens of prompts", "--tokens-in"),
        ("tokens_out", f"{job.tokens_out:,} tokens generated", "--tokens-out"),
        ("documents", f"{job.documents:,} documents", "--documents"),
        ("document_tokens", f"{job.document_tokens:,} tokens each", "--document-tokens"),
        ("download_gb", f"a download of {job.download_gb:f} GB", "--download-gb"),
        ("storage_gb", f"{job.storage_gb:f} GB of disk", "--storage-gb"),
        ("egress_gb", f"{job.egress_gb:f} GB sent out", "--egress-gb"),
        ("hours", f"kept {kept}", "--hours"),
        ("interruptions", f"{job.interruptions} interruptions", "--interruptions"),
        ("restart_hours", f"{job.restart_hours:f} h to start again after each", "--restart-hours"),
        ("paused_hours", f"before that {job.paused_hours:f} h with storage alone paid", "--paused-hours"),
        ("network_mbps", f"{job.network_mbps:f} Mbit/s where the offer does not say", "--network-mbps"),
        ("", f"files load at {job.load_gb_per_s:f} GB/s (assumed)", ""),
    ]
    words = [text + ("" if name in given or not option else f" ({option})") for name, text, option in facts]
    yield from note_lines(f"the job: {', '.join(words)}. What has its option beside it was not given.", width)
    yield from note_lines(
        f"a month of storage has {USUAL_MONTH_HOURS} h where the provider does not say otherwise (Vast.ai: 720)",
        width,
    )


def _own_lines(
    pricer: Pricer, own: Own, rows: Sequence[Priced], names: dict[str, str], width: int | None
) -> Iterator[str]:
    """One's own device beside the rentals."""
    yield from wrapped(f"Your own: {own.name}", width)
    if own.hour_usd is None:
        yield from note_lines(f"electricity: not known, its power is {own.watts_source}", width)
    else:
        assumed = " (assumed: --kwh-price)" if own.kwh_assumed else ""
        power = f"{float(own.watts or 0):g} W ({own.watts_source})"
        yield from note_lines(
            f"electricity: {usd(own.hour_usd)} an hour, {power} at {usd(own.kwh_usd)} a kWh{assumed}", width
        )
    if own.idle_hour_usd is not None:
        power = f"{float(own.idle_watts or 0):g} W ({own.idle_source})"
        yield from note_lines(f"waiting: {usd(own.idle_hour_usd)} an hour, {power}", width)
    if own.running is not None:
        verdict = own.running.estimates[-1].placement
        yield from note_lines(f"{own.running.verdict.value}: {verdict.reason}", width)
        for role, word in ((Role.GENERATION, "generated"), (Role.EMBEDDING, "embedded")):
            spread = own.per_million(role, pricer.job.utilisation)
            if spread is not None:
                yield from note_lines(f"{usd_range(spread)} of electricity per million tokens {word}", width)
    elif pricer.load is not None:
        yield from note_lines("what the model takes there is not known", width)
    if pricer.wants_job and (job := own.job_usd(pricer.job)) is not None:
        yield from note_lines(f"the job: {usd_range(job)} of electricity", width)
    if own.price_usd is not None and rows:
        unpaid = ", its electricity not counted" if own.hour_usd is None else ""
        sound = [row for row in rows if not DOUBTFUL & set(row.offer.flags)] or rows
        firm = [row for row in sound if not row.offer.quote.interruptible]
        for row in dict.fromkeys([sound[0], *firm[:1]]):
            words = f"{gpu_words(row.offer, names)} at {provider_name(row.offer.quote.provider)}"
            when = (
                "never pays off"
                if row.break_even_hours is None
                else f"has paid off after {row.break_even_hours:,.0f} hours of use"
            )
            yield from note_lines(f"bought for {usd(own.price_usd)} it {when}, against {words}{unpaid}", width)
