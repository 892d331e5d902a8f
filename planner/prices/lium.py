"""Lium: `GET https://lium.io/api/public/v1/nodes`, without a key, the whole inventory in one answer.

Prices are USD per hour and GPU, memory GB per GPU. A node may be for rent only as a whole.
"""

from collections.abc import Iterator

from planner.core.costs.offers import Quote
from planner.prices.conditional import conditions, unchanged, validators_of
from planner.prices.one_request import OneRequest
from planner.prices.parsing import Row, epoch, iso, parse_json, part, price, real, rows, text, unreadable, whole
from planner.prices.provider import Asking, Part

URL = "https://lium.io/api/public/v1/nodes"


class Lium(OneRequest):
    """All nodes in one request."""

    name = "lium"

    def __init__(self, url: str = URL) -> None:
        super().__init__(url)

    def fetch(
        self, part: str, client: Asking, *, now: float, before: Part | None, key: str | None, requests: int
    ) -> Part:
        """Every node with GPUs that are free; conditional where the server allows it."""
        answer = client.get(self._url, headers=conditions(before))
        if (same := unchanged(answer, before, now)) is not None:
            return same
        tree = parse_json(answer.body, "Lium")
        quotes = tuple(quote for row in _nodes(tree) for quote in _quotes(row, observed_at=_made(tree, now)))
        return Part(fetched_at=now, quotes=quotes, validators=validators_of(answer))


def _nodes(tree: object) -> Iterator[Row]:
    found = part(tree, "nodes")
    if not isinstance(found, list):
        raise unreadable("Lium", "a list of nodes")
    yield from rows(found)


def _made(tree: object, now: float) -> str:
    """When the answer was made, as it says itself; a time in the future is not believed."""
    made = epoch(text(part(tree, "generated_at")) or "")
    return iso(now if made is None or made > now else made)


def _quotes(row: Row, *, observed_at: str) -> Iterator[Quote]:
    """The fewest GPUs that can be rented of a node, and all of those that are free."""
    name, cost = text(row.get("gpu_model")), price(row.get("price_per_gpu_hour"))
    free = whole(row.get("available_gpu_count"))
    if free is None:
        free = whole(row.get("gpu_count")) or 0
    fewest = whole(row.get("min_rentable_gpu_count")) or 1
    if name is None or cost is None or free < fewest:
        return
    spot = text(row.get("tier")) == "spot"
    place = [text(row.get(field)) for field in ("city", "country_code")]
    for count in sorted({fewest, free}):
        yield Quote(
            provider="lium",
            tier="spot" if spot else "on-demand",
            plan=text(row.get("tier")),
            interruptible=spot,
            gpu_raw=name,
            gpu_count=count,
            vram_each_gib=real(row.get("gpu_memory_gb")),
            price_hour_usd=cost * count,
            observed_at=observed_at,
            source=text(row.get("rent_url")) or URL,
            region=", ".join(word for word in place if word) or None,
        )
