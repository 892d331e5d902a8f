"""Predicted file sizes against known ones: the bounds that docs/estimates.md promises."""

import statistics

import pytest

from benchmarks.quant_sizes import Row, exact_rows, rounded_rows
from planner.catalog.loader import load
from planner.core.models.quants import is_standard
from planner.core.models.weights import predicted_file_bytes


@pytest.fixture(scope="module")
def exact() -> list[Row]:
    return [row for row in exact_rows() if not row.other_rules]


def test_exact_sizes_are_met_within_the_bounds(exact: list[Row]) -> None:
    errors = [abs(row.error) for row in exact]
    assert len(errors) > 50
    assert statistics.median(errors) <= 0.0005
    assert max(errors) <= 0.03


def test_decoders_as_todays_quantize_makes_them_are_met_to_a_tenth_of_a_per_cent(exact: list[Row]) -> None:
    plain = [row for row in exact if row.kind != "encoder" and not row.note]
    assert len(plain) > 35
    assert [row.model for row in plain if abs(row.error) > 0.001] == []


def test_printed_sizes_are_met_to_the_last_digit() -> None:
    rows = [row for row in rounded_rows() if not row.other_rules]
    assert len(rows) > 70
    assert [(row.model, row.quant, row.error) for row in rows if not row.within_rounding] == []


def test_a_row_that_does_not_count_says_why_and_there_are_few() -> None:
    left_out = [row for row in (*exact_rows(), *rounded_rows()) if row.other_rules]
    assert all(row.note for row in left_out)
    assert len(left_out) < 0.05 * len([*exact_rows(), *rounded_rows()])


def test_every_exact_size_in_the_catalog_is_one_that_its_architecture_gives() -> None:
    # `planner catalog check` allows 3 %, an output matrix of its own, and a note: see planner/catalog/rules.py.
    far = {
        (model.name, variant.quant): round(predicted / variant.file_bytes - 1, 3)
        for model in load().models
        for variant in model.variants
        if model.architecture is not None
        and variant.file_bytes is not None
        and variant.file_bytes_source == "exact"
        and is_standard(variant.quant)
        and (predicted := predicted_file_bytes(model.architecture, variant.quant)) is not None
        and abs(predicted / variant.file_bytes - 1) > 0.005
        and not any(variant.quant in note for note in model.notes)
    }
    # The publisher's own files of these three hold the tied matrix twice; embeddinggemma's holds two dense layers.
    assert set(far) <= {
        ("Qwen2.5-0.5B-Instruct", "Q4_K_M"),
        ("Qwen2.5-1.5B-Instruct", "Q4_K_M"),
        ("Qwen2.5-3B-Instruct", "Q4_K_M"),
        ("embeddinggemma-300m", "Q8_0"),
    }


def test_computed_sizes_in_the_catalog_are_those_of_the_recipe() -> None:
    for model in load().models:
        for variant in model.variants:
            if model.architecture is None or variant.file_bytes_source != "computed" or not variant.file_bytes:
                continue
            predicted = predicted_file_bytes(model.architecture, variant.quant)
            assert predicted == pytest.approx(variant.file_bytes, rel=1e-3), (model.id, variant.quant)
