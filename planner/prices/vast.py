"""Vast.ai: `POST /api/v0/bundles/`, without a key, at most 64 rows an answer and about 10 requests a minute.

Prices are for the whole offer (all its GPUs), memory is MB per GPU, storage USD per GB and month of 720 h, traffic
USD per GB, rates Mbit/s. `dph_base` is without storage; `dph_total` depends on how much of it was asked for, so it is
not used. For interruptible offers the price is `min_bid`, a floor: whoever bids more takes the machine away.
"""

from collections.abc import Iterator

import msgspec

from planner.core.costs.offers import Quote, Tier
from planner.errors import RemoteError
from planner.prices.parsing import amount, iso, parse_json, part, price, real, rows, share, text, unreadable, whole
from planner.prices.provider import Asking, Part, Wanted

URL = "https://console.vast.ai/api/v0/bundles/"
ROW_CAP = 64
"""An unchanged request for 500 rows got exactly so many on nearly every recorded day."""
_LIMIT = 256
_MOST_PAGES = 3
_MONTH_HOURS = 720
CLASSES_MB = ((4000, 12500), (12500, 17500), (17500, 26000), (26000, 52000), (52000, 400000))
"""Classes of memory per GPU that are asked for one by one: up to 12, 16, 24, 48 GB, and larger."""
_TYPES: dict[str, Tier] = {"on-demand": "on-demand", "bid": "spot"}
_MB_PER_GIB = 1024
"""Drivers count in MiB and call it MB: a card of 24 GB shows 24,564 or 24,576."""


class Vast:
    """The marketplace, in parts by memory class and type."""

    name = "vast"
    key_name = None
    workers = 1
    requests_a_minute = 10
    """The limit that Vast.ai's OpenAPI file names, by address."""
    instead_of = None

    def __init__(self, url: str = URL) -> None:
        self._url = url

    def parts(self, wanted: Wanted) -> tuple[str, ...]:
        """The classes that hold GPUs of the wanted memory, the cheapest first."""
        least_mb = 0.93 * (wanted.min_vram_gib or 0) * _MB_PER_GIB
        return tuple(
            f"{low}-{high}:{kind}"
            for low, high in CLASSES_MB
            if high > least_mb
            for kind, tier in _TYPES.items()
            if not wanted.tiers or tier in wanted.tiers
        )

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """A class, page by page on the price; a page that is still full at the end leaves it incomplete.

        There are as many pages as requests are allowed, three at most. What the first had is kept if another fails.
        """
        bounds, _, kind = part.partition(":")
        low, _, high = bounds.partition("-")
        found: dict[int | str, Quote] = {}
        full, floor = True, None
        asked = 0
        for _ in range(max(1, min(_MOST_PAGES, requests))):
            asked += 1
            try:
                answer = client.post(self._url, _request(int(low), int(high), kind, floor))
            except RemoteError:
                if floor is None:
                    raise
                break
            page = list(_offers(parse_json(answer.body, "Vast.ai")))
            rows_by_id = {whole(row.get("id")) or f"{floor} {index}": row for index, row in enumerate(page)}
            new = {identity: row for identity, row in rows_by_id.items() if identity not in found}
            found |= {
                identity: quote
                for identity, row in new.items()
                if (quote := _quote(row, _TYPES[kind], observed_at=iso(now), url=self._url)) is not None
            }
            full = len(page) == ROW_CAP or len(page) >= _LIMIT
            last = max((real(row.get("dph_base")) or 0.0 for row in page), default=0.0)
            if not full or not new or last == floor:
                break
            floor = last
        quotes = tuple(found.values())
        if full:
            quotes = tuple(_incomplete(quote) for quote in quotes)
        return Part(fetched_at=now, quotes=quotes, complete=not full, requests=asked)


def _request(low_mb: int, high_mb: int, kind: str, floor: float | None) -> dict[str, object]:
    """What the site's own client sends (verified machines that can be rented), for a class of memory."""
    body: dict[str, object] = {
        "type": kind,
        "verified": {"eq": True},
        "external": {"eq": False},
        "rentable": {"eq": True},
        "gpu_ram": {"gte": low_mb, "lt": high_mb},
        "order": [["dph_base", "asc"]],
        "limit": _LIMIT,
    }
    if kind == "on-demand":
        body["rented"] = {"eq": False}
    if floor is not None:
        body["dph_base"] = {"gte": floor}
    return body


def _offers(answer: object) -> Iterator[dict[str, object]]:
    if not isinstance(answer, dict) or "offers" not in answer:
        raise unreadable("Vast.ai", "a list of offers")
    yield from rows(part(answer, "offers"))


def _quote(row: dict[str, object], tier: Tier, *, observed_at: str, url: str) -> Quote | None:
    spot = tier == "spot"
    cost = price(row.get("min_bid") if spot else row.get("dph_base"))
    if spot and cost is None and row.get("is_bid") is True:
        cost = price(row.get("dph_base"))
    name, count = text(row.get("gpu_name")), whole(row.get("num_gpus"))
    if cost is None or name is None or not count or row.get("rentable") is False:
        return None
    memory_mb = real(row.get("gpu_ram"))
    if memory_mb is None and (total := real(row.get("gpu_total_ram"))) is not None:
        memory_mb = total / count
    return Quote(
        provider="vast",
        tier=tier,
        interruptible=spot,
        gpu_raw=name,
        gpu_count=count,
        vram_each_gib=None if not memory_mb else memory_mb / _MB_PER_GIB,
        price_hour_usd=cost,
        observed_at=observed_at,
        source=url,
        instance=text(f"offer {whole(row.get('id'))}" if row.get("id") is not None else None),
        region=text(row.get("geolocation")),
        reliability=share(row.get("reliability") or row.get("reliability2")),
        verified=_verified(row),
        inet_down_mbps=real(row.get("inet_down")),
        inet_up_mbps=real(row.get("inet_up")),
        storage_usd_gb_month=amount(row.get("storage_cost")),
        month_hours=_MONTH_HOURS,
        ingress_usd_gb=amount(row.get("inet_down_cost")),
        egress_usd_gb=amount(row.get("inet_up_cost")),
    )


def _verified(row: dict[str, object]) -> bool | None:
    word = text(row.get("verification"))
    if word is not None:
        return word == "verified"
    found = row.get("verified")
    return found if isinstance(found, bool) else None


def _incomplete(quote: Quote) -> Quote:
    return msgspec.structs.replace(quote, flags=(*quote.flags, "incomplete"))
