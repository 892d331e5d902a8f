"""Prices in the cache, as if they had been collected."""

import time
from decimal import Decimal
from typing import Any

from planner.config import load_config
from planner.core.costs.offers import Quote
from planner.prices.cache import Cached, write_cache
from planner.prices.parsing import iso
from planner.prices.provider import Part


def lium(price: str, *, age_s: float, gpu: str = "RTX 3090", **changes: Any) -> Quote:
    fields = {
        "provider": "lium",
        "tier": "on-demand",
        "interruptible": False,
        "gpu_count": 1,
        "vram_each_gib": 24.0,
        "observed_at": iso(time.time() - age_s),
        "source": "https://example.org",
        **changes,
    }
    return Quote(gpu_raw=gpu, price_hour_usd=Decimal(price), **fields)


def keep(*quotes: Quote, age_s: float = 0.0, provider: str = "lium", parts: tuple[str, ...] = ("all",)) -> None:
    """Put quotes into the cache as if they had been collected that long ago."""
    at = time.time() - age_s
    found = {part: Part(fetched_at=at, quotes=quotes if index == 0 else ()) for index, part in enumerate(parts)}
    write_cache(load_config().cache_dir, provider, Cached(parts=found))
