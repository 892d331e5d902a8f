"""A file size that its architecture cannot give is a doubt, unless a note names the quant type."""

import msgspec
import pytest

from planner.catalog.loader import load
from planner.catalog.rules import doubts
from planner.core.models.model import Model, Variant


def found(model: Model, variant: Variant) -> list[str]:
    catalog = load()
    return list(doubts(msgspec.structs.replace(model, variants=(variant,)), catalog.quants))


@pytest.fixture(scope="module")
def model() -> Model:
    return load().find("Llama-3.1-8B-Instruct")


def variant(model: Model, quant: str, **changes: object) -> Variant:
    return msgspec.structs.replace(model.variants[0], quant=quant, tensor_bytes=None, **changes)


def test_the_real_size_is_no_doubt(model: Model) -> None:
    assert found(model, variant(model, "Q4_K_M", file_bytes=4_920_739_232, file_bytes_source="exact")) == []


def test_a_size_of_another_quant_type_is_found(model: Model) -> None:
    (doubt,) = found(model, variant(model, "Q4_K_S", file_bytes=4_920_739_232, file_bytes_source="exact"))
    assert doubt.startswith("variants[Q4_K_S]: 4.6 GiB, where the architecture gives 4.4 GiB;")


def test_a_rounded_size_may_be_off_by_its_rounding(model: Model) -> None:
    near = round(4_920_739_232 * 1.035)
    assert found(model, variant(model, "Q4_K_M", file_bytes=near, file_bytes_source="rounded")) == []
    assert found(model, variant(model, "Q4_K_M", file_bytes=near, file_bytes_source="exact")) != []


def test_a_note_that_names_the_type_explains_it(model: Model) -> None:
    told = msgspec.structs.replace(model, notes=("The Q4_K_M file is of the days before.",))
    assert found(told, variant(model, "Q4_K_M", file_bytes=6_000_000_000, file_bytes_source="exact")) == []
    assert found(told, variant(model, "Q4_K_S", file_bytes=6_000_000_000, file_bytes_source="exact")) != []


def test_a_vendors_mix_is_not_judged_by_the_recipe(model: Model) -> None:
    assert found(model, variant(model, "UD-Q4_K_XL", file_bytes=5_300_000_000, file_bytes_source="exact")) == []


def test_the_publishers_second_copy_of_a_tied_matrix_is_no_doubt() -> None:
    small = load().find("Qwen2.5-0.5B-Instruct")
    assert found(small, variant(small, "Q4_K_M", file_bytes=491_400_032, file_bytes_source="exact")) == []
