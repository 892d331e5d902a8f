import pytest

from planner.catalog.loader import Catalog, load
from planner.catalog.references import find_variant
from planner.errors import UsageError


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
        ("qwen3-8b", "Qwen/Qwen3-8B"),
        (" QWEN/qwen3-8B ", "Qwen/Qwen3-8B"),
        ("Qwen3-4B", "Qwen/Qwen3-4B"),
        ("Qwen3-4B-Instruct-2507", "Qwen/Qwen3-4B-Instruct-2507"),
        ("llama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("gemma-3-4b", "google/gemma-3-4b-it"),
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("bge-small", "BAAI/bge-small-en-v1.5"),
    ],
)
def test_ids_names_and_aliases_resolve_without_case(catalog: Catalog, name: str, identity: str) -> None:
    assert catalog.find(name).id == identity


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("Qwen3-8", "Qwen/Qwen3-8B"),
        ("lama-3.1-8b", "meta-llama/Llama-3.1-8B-Instruct"),
        ("gemma3-4b", "google/gemma-3-4b-it"),
        ("mxbai", "mixedbread-ai/mxbai-embed-large-v1"),
        ("BAAI/bge-m4", "BAAI/bge-m3"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(catalog: Catalog, typo: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.find(typo)
    assert caught.value.reference == "unknown-model"
    assert meant in caught.value.hint


def test_nonsense_gets_a_way_to_the_list_instead_of_a_guess(catalog: Catalog) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.find("zzzzzzzzzz" * 50)
    assert "planner models" in caught.value.hint
    assert len(caught.value.message) < 250


@pytest.mark.parametrize("reference", ["Qwen3-8B:Q4_K_M", "qwen/qwen3-8b:q4_k_m"])
def test_a_reference_may_name_a_quant(catalog: Catalog, reference: str) -> None:
    model, variant = catalog.parse_model_ref(reference)
    assert model.id == "Qwen/Qwen3-8B"
    assert variant is not None
    assert variant.quant == "Q4_K_M"


def test_a_reference_without_a_quant_leaves_it_open(catalog: Catalog) -> None:
    assert catalog.parse_model_ref("Qwen3-8B")[1] is None


@pytest.mark.parametrize("reference", ["Qwen3-8B:Q3_X", "Qwen3-8B:"])
def test_an_unknown_quant_lists_those_there_are(catalog: Catalog, reference: str) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.parse_model_ref(reference)
    assert caught.value.reference == "unknown-quant"
    assert "Q4_K_M" in caught.value.hint
    assert "Q8_0" in caught.value.hint


def test_a_quant_of_a_closed_model_says_why_there_is_none(catalog: Catalog) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.parse_model_ref("voyage-large-2-instruct:Q8_0")
    assert "Closed" in caught.value.hint


def test_two_models_of_one_name_are_not_guessed_between(catalog: Catalog) -> None:
    import msgspec

    twin = msgspec.structs.replace(catalog.find("Qwen3-8B"), id="me/Qwen3-8B")
    both = Catalog(models=(*catalog.models, twin))
    assert both.find("me/qwen3-8b") is twin
    with pytest.raises(UsageError) as caught:
        both.find("Qwen3-8B")
    assert caught.value.reference == "ambiguous-model"
    assert "me/Qwen3-8B" in caught.value.message
    assert "Qwen/Qwen3-8B" in caught.value.message


def test_a_quant_that_may_be_in_a_repository_can_be_looked_for() -> None:
    model = load().find("Qwen/Qwen3-8B")
    assert model.gguf_repos
    with pytest.raises(UsageError) as caught:
        find_variant(model, "Q3_K_XXL")
    assert "planner catalog update Qwen/Qwen3-8B" in caught.value.hint
