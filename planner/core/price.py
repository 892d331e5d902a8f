"""A rental offer. Collecting and comparing them is a later room; the value type is fixed now."""

from decimal import Decimal
from typing import Literal

import msgspec


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One rental. Prices in USD per hour; `vram_each_gib` per GPU; `observed_at` ISO 8601 UTC."""

    provider: str
    tier: Literal["on-demand", "spot", "community", "marketplace"]
    interruptible: bool
    gpu: str
    gpu_raw: str
    gpu_count: int
    vram_each_gib: float
    price_gpu_hour_usd: Decimal
    price_hour_usd: Decimal
    region: str | None
    reliability: float | None
    observed_at: str
    source: str
    flags: tuple[str, ...] = ()
