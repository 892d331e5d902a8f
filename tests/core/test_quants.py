import pytest

from planner.catalog.loader import load
from planner.core.quants import (
    FILE_BITS_PER_WEIGHT,
    bits_per_weight,
    canonical,
    perplexity_increase,
)


def test_the_figures_are_those_of_the_catalog() -> None:
    table = load().quants
    for entry in table.file_types:
        assert entry.quant in FILE_BITS_PER_WEIGHT
        if entry.bits_per_weight_8b is not None:
            assert bits_per_weight(entry.quant) == entry.bits_per_weight_8b
        if entry.perplexity_increase is not None:
            assert perplexity_increase(entry.quant) * 6.2332 == pytest.approx(entry.perplexity_increase)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("q4_k_m", "Q4_K_M"),
        ("UD-Q4_K_XL", "Q4_K_M"),
        ("MXFP4_MOE", "MXFP4"),
        ("Q5_K_L", "Q5_K_M"),
        ("Q3_K_XL", "Q3_K_M"),
    ],
)
def test_vendor_names_fall_back_to_their_base_type(name: str, base: str) -> None:
    assert canonical(name) == base


def test_fewer_bits_lose_more() -> None:
    order = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"]
    losses = [perplexity_increase(quant) for quant in order]
    assert losses == sorted(losses)
