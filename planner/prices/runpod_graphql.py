"""RunPod's older interface: `POST https://api.runpod.io/graphql`, without a key; announced to end in early 2027.

Prices are USD per hour and GPU, memory GB per GPU. A price is no stock: a cloud whose `stockStatus` is null has none,
and what is not in stock often shows a placeholder of $0.50. The “spot” prices are mostly the community's own.
"""

from collections.abc import Iterator
from decimal import Decimal

from planner.core.costs.offers import Quote, Tier
from planner.prices.one_request import OneRequest
from planner.prices.parsing import Row, iso, parse_json, part, price, real, rows, text, unreadable, whole
from planner.prices.provider import Asking, Part

URL = "https://api.runpod.io/graphql"
_LOWEST = "{ minimumBidPrice uninterruptablePrice stockStatus availableGpuCounts }"
QUERY = f"""query {{ gpuTypes {{
  id displayName memoryInGb secureCloud communityCloud
  securePrice communityPrice secureSpotPrice communitySpotPrice
  secure: lowestPrice(input: {{gpuCount: 1, secureCloud: true}}) {_LOWEST}
  community: lowestPrice(input: {{gpuCount: 1, secureCloud: false}}) {_LOWEST}
}} }}"""
_TIERS: dict[str, Tier] = {"secure": "on-demand", "community": "community"}
_OTHER = {"secure": "communityCloud", "community": "secureCloud"}
_NOT_ASKED = object()
_PLACEHOLDER = Decimal("0.5")
_COUNTS = frozenset({1, 2, 4, 8})
STORAGE_USD_GB_MONTH = Decimal("0.10")
"""Container disk and running volume, by RunPod's documentation of August 2026; traffic costs nothing."""
PAUSED_STORAGE_USD_GB_MONTH = Decimal("0.20")
"""The volume of a machine that stands still, by the same."""
MONTH_HOURS = 730


class RunPodGraphQL(OneRequest):
    """All GPU types in one request."""

    name = "runpod"

    def __init__(self, url: str = URL) -> None:
        super().__init__(url)

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """Both clouds, with their spot prices."""
        answer = parse_json(client.post(self._url, {"query": QUERY, "variables": {}}).body, "RunPod")
        quotes = tuple(
            quote for row in _gpu_types(answer) for quote in quotes_of(row, observed_at=iso(now), url=self._url)
        )
        return Part(fetched_at=now, quotes=quotes, note=_complaint(answer))


def _gpu_types(answer: object) -> Iterator[Row]:
    found = part(answer, "data", "gpuTypes")
    if not isinstance(found, list):
        complaint = _complaint(answer)
        raise unreadable("RunPod", "a list of GPU types" + (f" and says: {complaint}" if complaint else ""))
    yield from rows(found)


def _complaint(answer: object) -> str:
    """The first of the errors that come with an answer of 200."""
    first = next(rows(part(answer, "errors") or []), {})
    return text(first.get("message")) or ""


def quotes_of(row: Row, *, observed_at: str, url: str) -> Iterator[Quote]:
    """The offers of one GPU type: each cloud's price and its interruptible price, where there is stock."""
    name = text(row.get("id")) or text(row.get("displayName"))
    if name is None:
        return
    for cloud, usual in _TIERS.items():
        if row.get(f"{cloud}Cloud") is False:
            continue
        lowest = row.get(cloud, row.get("lowestPrice", _NOT_ASKED))
        stock = _stock(lowest)
        if stock is None:
            continue
        firm, spot = price(row.get(f"{cloud}Price")), price(row.get(f"{cloud}SpotPrice"))
        if isinstance(lowest, dict) and (cloud in row or row.get(_OTHER[cloud]) is False):
            firm = firm or price(lowest.get("uninterruptablePrice"))
            spot = spot or price(lowest.get("minimumBidPrice"))
        tiers: tuple[tuple[Decimal | None, Tier], ...] = ((firm, usual), (spot, "spot"))
        for cost, tier in tiers:
            if cost is None or (not stock and cost == _PLACEHOLDER):
                continue
            for count in _counts(lowest):
                yield Quote(
                    provider="runpod",
                    tier=tier,
                    plan=cloud,
                    interruptible=tier == "spot",
                    gpu_raw=name,
                    gpu_count=count,
                    vram_each_gib=real(row.get("memoryInGb")),
                    price_hour_usd=cost * count,
                    observed_at=observed_at,
                    source=url,
                    stock=stock or None,
                    storage_usd_gb_month=STORAGE_USD_GB_MONTH,
                    paused_storage_usd_gb_month=PAUSED_STORAGE_USD_GB_MONTH,
                    month_hours=MONTH_HOURS,
                    ingress_usd_gb=Decimal(0),
                    egress_usd_gb=Decimal(0),
                    flags=() if stock else ("stock_unknown",),
                )


def _stock(lowest: object) -> str | None:
    """Stock in words, empty where the answer does not tell, None where there is none."""
    if lowest is _NOT_ASKED:
        return ""
    if not isinstance(lowest, dict):
        return None
    if "stockStatus" not in lowest:
        return ""
    return text(lowest["stockStatus"])


def _counts(lowest: object) -> list[int]:
    """How many GPUs can be had together: those said of the usual numbers, one where nothing is."""
    said = lowest.get("availableGpuCounts") if isinstance(lowest, dict) else None
    found = {whole(item) for item in said} if isinstance(said, list) else set()
    return sorted(count for count in found if count is not None and count in _COUNTS) or [1]
