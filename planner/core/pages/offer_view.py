"""An offer as text for scripts and for people."""

from decimal import Decimal

from planner.core.costs.cost import JobCost, Spread
from planner.core.costs.offers import Offer

PROVIDERS = {
    "aws": "AWS", "azure": "Azure", "cloudrift": "CloudRift", "coreweave": "CoreWeave",
    "digitalocean": "DigitalOcean", "gcp": "GCP", "genesis-cloud": "Genesis Cloud", "gpuhub": "GPUHub",
    "gpuhunt": "gpuhunt's catalog", "jarvis-labs": "Jarvis Labs", "oci": "OCI", "packet-ai": "packet.ai",
    "runpod": "RunPod", "runpod-rest": "RunPod (REST)", "sfcompute": "SF Compute", "tensordock": "TensorDock",
    "thunder-compute": "Thunder Compute", "vast": "Vast.ai",
}  # fmt: skip
"""Names as the providers write them, where capital letters do not do."""
TIERS_SHORT = {"on-demand": "demand", "spot": "Spot", "community": "Comm.", "marketplace": "Market"}
TIERS = {"on-demand": "On-demand", "spot": "Spot", "community": "Community", "marketplace": "Marketplace"}


def provider_name(name: str) -> str:
    """A provider's name for people."""
    return PROVIDERS.get(name, name.capitalize())


def usd(amount: Decimal) -> str:
    """Money for people: cents from one dollar on, up to three decimals below, two digits of less than a cent."""
    if amount >= 1:
        return f"${amount:,.2f}"
    if amount >= Decimal("0.01"):
        cents = f"${amount:.3f}"
        return cents.removesuffix("0")
    return f"${amount:.2g}" if amount else "$0"


def usd_range(spread: Spread) -> str:
    """`$1.94 (1.62-2.43)`; the middle alone where the ends look the same."""
    low, high = usd(spread.low).removeprefix("$"), usd(spread.high).removeprefix("$")
    return usd(spread.mid) if low == high else f"{usd(spread.mid)} ({low}-{high})"


def number(amount: Decimal | None) -> float | None:
    """Money for scripts: the nearest binary number, with no more digits than it was given."""
    return None if amount is None else float(round(amount, 9))


def spread_view(spread: Spread | None) -> dict[str, float | None] | None:
    """Low, mid and high for scripts."""
    if spread is None:
        return None
    return {"low": number(spread.low), "mid": number(spread.mid), "high": number(spread.high)}


def offer_view(offer: Offer, per_million: Spread | None = None, job: JobCost | None = None) -> dict[str, object]:
    """An offer for scripts (docs/json.md): prices as given, unknown as null."""
    quote = offer.quote
    return {
        "provider": quote.provider,
        "tier": quote.tier,
        "plan": quote.plan,
        "interruptible": quote.interruptible,
        "gpu": offer.gpu,
        "gpu_raw": quote.gpu_raw,
        "device": offer.device,
        "gpu_count": quote.gpu_count,
        "vram_each_gib": offer.vram_each_gib,
        "price_gpu_hour_usd": number(offer.price_gpu_hour_usd),
        "price_hour_usd": number(quote.price_hour_usd),
        "usd_per_million_tokens": None if per_million is None else number(per_million.mid),
        "usd_per_million_tokens_range": spread_view(per_million),
        "job": None if job is None else job_view(job),
        "region": quote.region,
        "instance": quote.instance,
        "reliability": quote.reliability,
        "verified": quote.verified,
        "stock": quote.stock,
        "inet_down_mbps": quote.inet_down_mbps,
        "inet_up_mbps": quote.inet_up_mbps,
        "storage_usd_gb_month": number(quote.storage_usd_gb_month),
        "paused_storage_usd_gb_month": number(quote.paused_storage_usd_gb_month),
        "month_hours": quote.month_hours,
        "ingress_usd_gb": number(quote.ingress_usd_gb),
        "egress_usd_gb": number(quote.egress_usd_gb),
        "observed_at": quote.observed_at,
        "source": quote.source,
        "staleness": offer.staleness,
        "flags": list(offer.flags),
    }


def job_view(job: JobCost) -> dict[str, object]:
    """A job's cost for scripts; hours and USD."""
    return {
        "hours": spread_view(job.hours),
        "download_hours": number(job.download_hours),
        "load_hours": number(job.load_hours),
        "work_hours": spread_view(job.work_hours),
        "time_usd": spread_view(job.time),
        "storage_usd": spread_view(job.storage),
        "traffic_usd": number(job.traffic),
        "total_usd": spread_view(job.total),
        "interrupted_usd": spread_view(job.interrupted),
        "paused_storage_usd": number(job.paused_storage),
        "unknown": list(job.unknown),
    }
