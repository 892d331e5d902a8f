"""Which quant is the best on a machine, and how much context it leaves room for."""

import pytest

from planner.core.fits.fitting import (
    PREDICTED_QUANTS,
    Fit,
    best_fit,
    file_bytes_of,
    fit_on,
    quant_loss,
    rate_of,
    shown_context,
    shown_variants,
    usable_context,
)
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Architecture, Commercial, Licence, Model, Role, Variant
from tests.core.shapes import LLAMA_8B, QWEN3_EMBED_06B, gpu, machine

QUANTS = ("F16", "Q8_0", "Q6_K", "Q4_K_M", "Q2_K")


def model(
    arch: Architecture | None = LLAMA_8B, quants: tuple[str, ...] = QUANTS, role: Role = Role.GENERATION
) -> Model:
    return Model(
        id="me/model",
        family="mine",
        role=role,
        parameters=8_000_000_000,
        context_length=32768,
        licence=Licence("MIT", Commercial.YES),
        architecture=arch,
        variants=tuple(Variant(quant=quant, artifacts=()) for quant in quants),
    )


def fits(subject: Model, vram_gib: float, ram_gib: float = 16, context: int = 8192) -> list[Fit]:
    hardware = machine(gpu(0, vram_gib), ram_gib=ram_gib)
    found = [fit_on(subject, variant, hardware, context) for variant in shown_variants(subject)]
    return [fit for fit in found if fit is not None]


class TestShownVariants:
    def test_the_largest_file_comes_first(self) -> None:
        shown = shown_variants(model(quants=("Q4_K_M", "F16", "Q8_0")))
        assert [variant.quant for variant in shown] == ["F16", "Q8_0", "Q4_K_M"]

    def test_a_model_without_files_is_shown_in_the_usual_types_with_predicted_sizes(self) -> None:
        shown = shown_variants(model(quants=()))
        assert tuple(variant.quant for variant in shown) == PREDICTED_QUANTS
        assert {variant.file_bytes_source for variant in shown} == {"computed"}
        assert all(variant.file_bytes for variant in shown)

    def test_without_an_architecture_there_is_nothing_to_predict(self) -> None:
        assert shown_variants(model(arch=None, quants=())) == ()
        (unsized,) = shown_variants(model(arch=None, quants=("Q8_0",)))
        assert file_bytes_of(model(arch=None), unsized) is None
        assert fit_on(model(arch=None), unsized, machine(gpu(0, 8)), 512) is None


class TestBest:
    def test_where_all_fit_the_fastest_of_the_nearly_lossless_wins(self) -> None:
        subject = model()
        found = fits(subject, 48)
        best = best_fit(subject, found)
        assert best is not None
        assert best.variant.quant == "Q6_K"
        for fit in found:
            loss, other = (quant_loss(subject, item.variant.quant) for item in (best, fit))
            rate, faster = (rate_of(subject, item.estimate) for item in (best, fit))
            assert loss is not None
            assert other is not None
            assert rate is not None
            assert faster is not None
            assert faster.mid <= rate.mid or other > loss

    def test_what_fits_whole_goes_before_what_loses_less(self) -> None:
        best = best_fit(model(), fits(model(), 6.5))
        assert best is not None
        assert (best.variant.quant, best.verdict) == ("Q4_K_M", Verdict.FITS)

    def test_where_none_fits_whole_one_that_runs_is_taken(self) -> None:
        best = best_fit(model(), fits(model(), 2, ram_gib=16))
        assert best is not None
        assert best.verdict is Verdict.OFFLOAD

    def test_where_nothing_runs_there_is_none(self) -> None:
        assert best_fit(model(), fits(model(), 0.5, ram_gib=1)) is None
        assert best_fit(model(), []) is None


class TestUsableContext:
    @pytest.mark.parametrize("vram", [6, 7, 8, 10])
    def test_is_the_longest_that_fits(self, vram: int) -> None:
        subject = model(quants=("Q4_K_M",))
        hardware = machine(gpu(0, vram))
        (variant,) = subject.variants
        found = usable_context(subject, variant, hardware)
        assert found is not None
        at, beyond = fit_on(subject, variant, hardware, found), fit_on(subject, variant, hardware, found + 256)
        assert at is not None
        assert beyond is not None
        assert at.verdict is Verdict.FITS
        assert found == subject.context_length or beyond.verdict is not Verdict.FITS

    def test_is_never_more_than_was_trained(self) -> None:
        subject = model(arch=QWEN3_EMBED_06B, quants=("Q8_0",), role=Role.EMBEDDING)
        hardware = machine(gpu(0, 80))
        assert usable_context(subject, subject.variants[0], hardware) == 32768

    def test_is_none_where_not_even_the_weights_fit(self) -> None:
        hardware = machine(gpu(0, 4))
        assert usable_context(model(), model().variants[0], hardware) is None


def test_a_page_is_made_for_the_context_asked_for_as_far_as_the_model_goes() -> None:
    assert shown_context(model(), None) == 8192
    assert shown_context(model(), 16384) == 16384
    assert shown_context(model(), 10**6) == 32768
