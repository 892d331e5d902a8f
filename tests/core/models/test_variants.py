import msgspec
import pytest

from planner.catalog.loader import load
from planner.core.models.model import Role
from planner.core.models.variants import default_variant
from planner.errors import UsageError
from tests.core.shapes import BERT_LARGE, LLAMA_8B, make_model


@pytest.mark.parametrize(
    ("role", "quants", "chosen"),
    [
        (Role.GENERATION, ("F16", "Q8_0", "q4_k_m"), "q4_k_m"),
        (Role.GENERATION, ("F16", "Q8_0"), "Q8_0"),
        (Role.GENERATION, ("F16", "F32"), "F16"),
        (Role.EMBEDDING, ("Q4_K_M", "F16", "Q8_0"), "Q8_0"),
        (Role.EMBEDDING, ("Q4_K_M", "F16"), "F16"),
    ],
)
def test_the_quant_taken_when_none_is_named(role: Role, quants: tuple[str, ...], chosen: str) -> None:
    shape = BERT_LARGE if role is Role.EMBEDDING else LLAMA_8B
    model = make_model("m", shape, 10**9, role=role, quants=dict.fromkeys(quants, 10**9))
    assert default_variant(model).quant == chosen


def test_a_starter_model_comes_from_the_package_index() -> None:
    starters = [model for model in load().models if model.starter]
    assert {model.role for model in starters} == {Role.EMBEDDING, Role.GENERATION}
    for model in starters:
        assert any(artifact.source == "package" for artifact in default_variant(model).artifacts)


def test_a_model_without_a_file_is_a_usage_error() -> None:
    model = msgspec.structs.replace(make_model("m", LLAMA_8B, 10**9, quants={}), deploy_note="Closed.")
    with pytest.raises(UsageError, match="Closed"):
        default_variant(model)
