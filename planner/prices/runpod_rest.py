"""RunPod's REST interface, version 2: `GET https://api.runpod.io/v2/catalog/gpus`, with a key; it has no spot prices.

Prices are USD per hour and GPU, memory GB per GPU.
"""

from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlencode

from planner.core.costs.offers import Quote
from planner.prices.conditional import conditions, unchanged, validators_of
from planner.prices.parsing import Row, iso, parse_json, part, price, real, rows, text, unreadable
from planner.prices.provider import Asking, Part, Wanted
from planner.prices.runpod_graphql import MONTH_HOURS, PAUSED_STORAGE_USD_GB_MONTH, STORAGE_USD_GB_MONTH

URL = "https://api.runpod.io/v2/catalog/gpus"


class RunPodRest:
    """The two clouds are the parts: availability is that of the cloud asked about."""

    name = "runpod-rest"
    key_name = "RUNPOD_API_KEY"
    workers = 2
    requests_a_minute = None
    instead_of = "runpod"

    def __init__(self, url: str = URL) -> None:
        self._url = url

    def parts(self, wanted: Wanted) -> tuple[str, ...]:
        """Both clouds, less those of tiers that are not wanted."""
        clouds = {"secure": "on-demand", "community": "community"}
        return tuple(cloud for cloud, tier in clouds.items() if not wanted.tiers or {tier, cloud} & {*wanted.tiers})

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """One cloud."""
        query = urlencode({"include": "AVAILABILITY", "product": "POD", "count": 1, "cloud": part.upper()})
        answer = client.get(f"{self._url}?{query}", headers=conditions(before), secret=f"Bearer {key}")
        if (same := unchanged(answer, before, now)) is not None:
            return same
        tree = parse_json(answer.body, "RunPod")
        quotes = tuple(
            quote
            for row in _gpus(tree)
            if (quote := _quote(row, part, observed_at=iso(now), url=self._url)) is not None
        )
        return Part(fetched_at=now, quotes=quotes, validators=validators_of(answer))


def _gpus(tree: object) -> Iterator[Row]:
    found = part(tree, "gpus")
    if not isinstance(found, list):
        raise unreadable("RunPod", "a list of GPUs")
    yield from rows(found)


def _quote(row: Row, cloud: str, *, observed_at: str, url: str) -> Quote | None:
    name, cost = text(row.get("id")) or text(row.get("name")), price(part(row, "price", cloud))
    available = text(row.get("availability"))
    if name is None or cost is None or available == "NONE" or row.get(cloud) is False:
        return None
    return Quote(
        provider="runpod",
        tier="community" if cloud == "community" else "on-demand",
        plan=cloud,
        interruptible=False,
        gpu_raw=name,
        gpu_count=1,
        vram_each_gib=real(row.get("memory")),
        price_hour_usd=cost,
        observed_at=observed_at,
        source=url,
        stock=None if available is None else available.capitalize(),
        storage_usd_gb_month=STORAGE_USD_GB_MONTH,
        paused_storage_usd_gb_month=PAUSED_STORAGE_USD_GB_MONTH,
        month_hours=MONTH_HOURS,
        ingress_usd_gb=Decimal(0),
        egress_usd_gb=Decimal(0),
        flags=() if available else ("stock_unknown",),
    )
