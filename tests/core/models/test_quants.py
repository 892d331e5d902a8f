import statistics

import pytest

from planner.catalog.loader import load
from planner.core.models.quants import (
    FILE_BITS_PER_WEIGHT,
    SIZE_EXPONENT,
    LossBasis,
    bits_per_weight,
    canonical,
    loss_basis,
    perplexity_increase,
)


def test_the_figures_are_those_of_the_catalog() -> None:
    table = load().quants
    for entry in table.file_types:
        assert entry.quant in FILE_BITS_PER_WEIGHT
        if entry.bits_per_weight_8b is not None:
            assert bits_per_weight(entry.quant) == entry.bits_per_weight_8b
        if entry.perplexity_increase is not None:
            assert perplexity_increase(entry.quant) * 6.231634 == pytest.approx(entry.perplexity_increase)
            assert loss_basis(entry.quant) is LossBasis.MEASURED


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


def test_smaller_models_lose_more_by_the_power_that_the_sources_give() -> None:
    effects = load().quants.size_effect
    assert len(effects) == 12
    assert statistics.median(effect.exponent for effect in effects) == pytest.approx(SIZE_EXPONENT, abs=0.005)
    assert all(effect.exponent > 0 for effect in effects)
    losses = [perplexity_increase("Q4_K_M", billions * 10**9) for billions in (1, 8, 70)]
    assert losses == sorted(losses, reverse=True)
    assert perplexity_increase("Q4_K_M", 8_030_261_248) == pytest.approx(perplexity_increase("Q4_K_M"))


def test_sources_of_the_size_effect_are_named() -> None:
    table = load().quants
    assert {effect.source for effect in table.size_effect} <= set(table.sources)


@pytest.mark.parametrize(
    ("quant", "basis"),
    [
        ("Q4_K_M", LossBasis.MEASURED),
        ("iq3_xxs", LossBasis.MEASURED),
        ("TQ2_0", LossBasis.INTERPOLATED),
        ("TQ1_0", LossBasis.INTERPOLATED),
        ("UD-Q4_K_XL", LossBasis.ASSUMED),
        ("MXFP4", LossBasis.ASSUMED),
        ("MXFP4_MOE", LossBasis.ASSUMED),
        ("Q4_MYSTERY", LossBasis.ASSUMED),
    ],
)
def test_a_loss_says_how_it_is_known(quant: str, basis: LossBasis) -> None:
    assert loss_basis(quant) is basis


def test_an_unpublished_type_lies_between_its_neighbours_by_bits_per_weight() -> None:
    assert perplexity_increase("IQ1_M") < perplexity_increase("TQ2_0") < perplexity_increase("IQ1_S")
    assert perplexity_increase("TQ1_0") == perplexity_increase("IQ1_S")


def test_a_name_that_nobody_knows_counts_as_the_worst_four_bit_type() -> None:
    four_bit = [name for name in FILE_BITS_PER_WEIGHT if name.startswith(("Q4", "IQ4"))]
    assert perplexity_increase("Q4_MYSTERY") == max(map(perplexity_increase, four_bit))
