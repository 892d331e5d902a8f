import msgspec
import pytest

from planner.catalog.loader import Catalog, load
from planner.core.models.model import Architecture
from planner.core.models.parameters import count_parameters, parameter_table


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load()


def shape(catalog: Catalog, name: str) -> Architecture:
    arch = catalog.find(name).architecture
    assert arch is not None
    return arch


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("SmolLM2-135M-Instruct", 134_515_008),
        ("Llama-3.2-1B", 1_235_814_400),
        ("Llama-3.3-70B", 70_553_706_496),
        ("Qwen2.5-7B", 7_615_616_512),
        ("Qwen3-8B", 8_190_735_360),
        ("gemma-2-9b", 9_241_705_984),
        ("gemma-3-270m", 268_098_176),
        ("phi-4", 14_659_507_200),
        ("Olmo-3-7B", 7_298_011_136),
        ("Mixtral-8x7B", 46_702_792_704),
        ("Qwen3-30B-A3B", 30_532_122_624),
        ("gpt-oss-20b", 20_914_757_184),
        ("gpt-oss-120b", 116_829_156_672),
        ("DeepSeek-Coder-V2-Lite", 15_706_484_224),
        ("bge-m3", 567_754_752),
        ("all-MiniLM-L6-v2", 22_713_216),
        ("nomic-embed-text-v1.5", 136_731_648),
        ("jina-embeddings-v2-base-en", 137_368_320),
        ("granite-embedding-english-r2", 149_014_272),
    ],
)
def test_the_published_count_follows_from_the_shape(catalog: Catalog, name: str, published: int) -> None:
    assert count_parameters(shape(catalog, name)) == published


def test_every_shape_in_the_catalog_reproduces_its_count_or_says_why_not(catalog: Catalog) -> None:
    unexplained = [
        model.id
        for model in catalog.models
        if model.architecture is not None
        and count_parameters(model.architecture) != model.parameters
        and not any("published count" in note for note in model.notes)
    ]
    assert unexplained == []


def test_most_shapes_reproduce_their_count_exactly(catalog: Catalog) -> None:
    shapes = [model for model in catalog.models if model.architecture is not None]
    exact = [m for m in shapes if m.architecture and count_parameters(m.architecture) == m.parameters]
    assert len(exact) / len(shapes) > 0.9


def test_a_tied_matrix_counts_once(catalog: Catalog) -> None:
    tied = shape(catalog, "Qwen3-0.6B")
    untied = msgspec.structs.replace(tied, tied_embeddings=False)
    assert count_parameters(untied) - count_parameters(tied) == tied.vocab_size * tied.embedding_length
    assert count_parameters(untied) == 751_632_384  # as lists that count it twice have it


def test_active_parameters_leave_out_the_idle_experts(catalog: Catalog) -> None:
    assert parameter_table(shape(catalog, "Mixtral-8x7B")).active == 12_879_925_248
    assert parameter_table(shape(catalog, "Qwen3-30B-A3B")).active == 3_353_032_704
    dense = parameter_table(shape(catalog, "Qwen3-8B"))
    assert dense.active == dense.total


def test_leading_dense_layers_have_no_experts(catalog: Catalog) -> None:
    table = parameter_table(shape(catalog, "DeepSeek-Coder-V2-Lite"))
    assert table.layers[0].experts == 0
    assert all(layer.experts > layer.experts_active > 0 for layer in table.layers[1:])
    assert table.layers[0].total != table.layers[1].total


def test_experts_may_be_in_every_second_layer(catalog: Catalog) -> None:
    model = catalog.find("nomic-embed-text-v2-moe")
    assert model.architecture is not None
    table = parameter_table(model.architecture)
    assert table.total == model.parameters == 475_292_928
    assert table.active == model.active_parameters
    assert [bool(layer.experts) for layer in table.layers] == [False, True] * 6
    # A bias of 768 for the experts of a layer together, which the converter drops.
    assert table.resident == table.total - 6 * 768


def test_a_gguf_leaves_out_berts_pooler(catalog: Catalog) -> None:
    table = parameter_table(shape(catalog, "all-MiniLM-L6-v2"))
    assert table.resident == table.total - 384 * 385


def test_an_unknown_architecture_counts_as_llama_like(catalog: Catalog) -> None:
    llama = shape(catalog, "Llama-3.1-8B")
    assert count_parameters(msgspec.structs.replace(llama, name="brand-new")) == count_parameters(llama)
