"""An offer in the words of a table: GPU, age, marks. Pure."""

import re

from planner.core.costs.cost import Spread
from planner.core.costs.offers import Offer
from planner.core.pages.offer_view import usd, usd_range

FLAGS = {
    "no_discount": (
        "D",
        "no discount",
        "interruptible and not cheaper than the same GPU without; no reason for it",
    ),
    "outlier": ("O", "outlier", "less than a quarter of this GPU's median price; probably cannot be had"),
    "incomplete": ("I", "incomplete", "the provider has more offers than it lists"),
    "gpu_only": ("G", "GPU only", "processor and memory of the machine are billed on top"),
    "vram_differs": ("M", "memory", "another size than the card was sold with; modified, or a mistake of the list"),
    "form_factor_open": ("F", "form", "PCIe, SXM or NVL is not said; speeds are those of the slowest"),
    "stock_unknown": ("S", "stock", "nothing is said about whether it can be had"),
    "interruptible_assumed": ("A", "assumed", "that it can be taken away; the provider's page does not say"),
}
"""By flag: its letter, its word, what it means."""


_SIZE = re.compile(r" \d+ GB$")


def seen_words(offer: Offer, age_s: float | None) -> str:
    """When a price was seen: minutes or hours ago, or the day."""
    if offer.staleness == "snapshot" or age_s is None:
        return offer.quote.observed_at[:10]
    return age_words(age_s)


def age_words(age_s: float) -> str:
    """`now`, `12 min`, `3 h`, `125 days`."""
    if age_s < 90:
        return "now"
    if age_s < 5400:
        return f"{age_s / 60:.0f} min"
    return f"{age_s / 3600:.0f} h" if age_s < 48 * 3600 else f"{age_s / 86400:.0f} days"


def gpu_words(offer: Offer, names: dict[str, str]) -> str:
    """`2x RTX 3090`: the table's name of the GPU, the provider's own where it is not known."""
    count = f"{offer.quote.gpu_count}x " if offer.quote.gpu_count > 1 else ""
    if offer.device is None or offer.device not in names:
        return count + offer.quote.gpu_raw
    name = _SIZE.sub("", names[offer.device]).removeprefix("GeForce ").removeprefix("Radeon Instinct ")
    if "form_factor_open" in offer.flags and offer.gpu is not None:
        name = _SIZE.sub("", offer.gpu.replace("-", " ").replace("gb", " GB")).upper()
    return count + name


def flag_words(offer: Offer) -> tuple[str, str]:
    """The flags that matter for choosing: as words, as letters where room is short."""
    found = [known for flag, known in FLAGS.items() if flag in offer.flags]
    return ", ".join(word for _, word, _ in found), "".join(letter for letter, _, _ in found)


def vram_words(offer: Offer) -> str:
    """GiB per GPU."""
    return "?" if offer.vram_each_gib is None else f"{offer.vram_each_gib:.4g}"


def spread_cell(spread: Spread | None) -> str | tuple[str, str]:
    """A cost with its range, the middle alone where room is short."""
    return "-" if spread is None else (usd_range(spread), usd(spread.mid))
