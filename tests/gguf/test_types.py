"""Our tables against the constants of the `gguf` package."""

import gguf

from planner.core.models.model import Pooling
from planner.gguf.types import FILE_TYPE_GUESSED, FILE_TYPES, POOLING_TYPES, SCALARS, TENSOR_TYPES

NEWER_THAN_THE_PACKAGE = {"Q2_0"}


def test_every_tensor_type_of_the_package_has_the_same_number_name_and_block() -> None:
    package = {kind.value: (kind.name, *gguf.GGML_QUANT_SIZES[kind]) for kind in gguf.GGMLQuantizationType}
    ours = {number: tuple(kind) for number, kind in TENSOR_TYPES.items()}
    assert package.items() <= ours.items()
    assert {ours[number][0] for number in ours.keys() - package.keys()} <= NEWER_THAN_THE_PACKAGE


def test_every_file_type_of_the_package_has_the_same_name() -> None:
    package = {
        kind.value: kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in gguf.LlamaFileType
        if kind.value != FILE_TYPE_GUESSED
    }
    assert package.items() <= FILE_TYPES.items()
    assert {FILE_TYPES[number] for number in FILE_TYPES.keys() - package.keys()} <= NEWER_THAN_THE_PACKAGE


def test_pooling_and_value_types_agree() -> None:
    assert {kind.value: kind.name.lower() for kind in gguf.PoolingType} == POOLING_TYPES
    assert set(POOLING_TYPES.values()) == {pooling.value for pooling in Pooling}
    package = {kind.value: kind.name.lower() for kind in gguf.GGUFValueType if kind.name not in ("STRING", "ARRAY")}
    assert {number: name for number, (name, _, _) in SCALARS.items()} == package
