"""File names as publishers write them, and the quant types they stand for."""

import pytest

from planner.core.models.repo_files import plainest, read_listing


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("mxbai-embed-large-v1.Q8_0.gguf", "Q8_0"),
        ("bge-m3-q8_0.gguf", "Q8_0"),
        ("nomic-embed-text-v1.5.f16.gguf", "F16"),
        ("mxbai-embed-large-v1_fp16.gguf", "F16"),
        ("gte-large_fp32.gguf", "F32"),
        ("Model-BF16.gguf", "BF16"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("model-mxfp4_moe.gguf", "MXFP4_MOE"),
        ("Model-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Model-UD-IQ1_S.gguf", "UD-IQ1_S"),
        ("Model.i1-IQ3_XXS.gguf", "IQ3_XXS"),
        ("Model-IQ4_NL.gguf", "IQ4_NL"),
        ("Model-TQ1_0.gguf", "TQ1_0"),
        ("Model-Q4_K_L.gguf", "Q4_K_L"),
        ("Model-Q4_K_M_L.gguf", "Q4_K_M_L"),
        ("Model-Q4_0_4_4.gguf", "Q4_0_4_4"),
        ("Model-Q2_K.gguf", "Q2_K"),
        ("Phi-3-mini-4k-instruct-q4.gguf", "Q4"),
        ("gemma-3-27b-it-qat-q4_0.gguf", "Q4_0"),
        ("Model-f16-Q6_K.gguf", "Q6_K"),
        ("Model-Q4_K_M-imat.gguf", "Q4_K_M"),
        ("Model-imatrix-Q4_K_M.gguf", "Q4_K_M"),
        ("Q5_K_M/model.gguf", "Q5_K_M"),
        ("BF16/Model-BF16.gguf", "BF16"),
        ("Model-Q8_0-v2.gguf", "Q8_0"),
        ("MODEL-Q4_K_M.GGUF", "Q4_K_M"),
        ("ggml-model-Q4_K_S.gguf", "Q4_K_S"),
    ],
)
def test_a_name_tells_its_type(name: str, quant: str) -> None:
    listing = read_listing([name])
    assert list(listing.quants) == [quant]
    assert listing.find(quant.lower())[0].files == (name,)
    assert (listing.unnamed, listing.left_out) == ((), {})


@pytest.mark.parametrize("name", ["model.gguf", "Qwen2.5-7B.gguf", "Model-Q4_K_Mini.gguf", "xQ8_0.gguf", "F160.gguf"])
def test_a_name_that_tells_none_is_not_guessed(name: str) -> None:
    assert read_listing([name]).unnamed == (name,)


@pytest.mark.parametrize(
    "name",
    [
        "mmproj-model-f16.gguf",
        "Model-mmproj-Q8_0.gguf",
        "imatrix.gguf",
        "Model.imatrix.gguf",
        "Model-draft-Q8_0.gguf",
        "draft/Model-Q8_0.gguf",
        "MTP-Model-Q8_0.gguf",
        "Model-LoRA-F16.gguf",
        "mmproj-imatrix-Q8_0.gguf",
        "../Model-Q8_0.gguf",
        "a\\Model-Q8_0.gguf",
    ],
)
def test_what_is_no_model_is_left_out_with_the_reason(name: str) -> None:
    listing = read_listing([name])
    assert listing.quants == {}
    assert listing.unnamed == ()
    assert listing.left_out[name]


def test_other_kinds_of_file_are_not_looked_at() -> None:
    assert read_listing(["README.md", "config.json", "Model-Q8_0.safetensors", "imatrix.dat"]) == ({}, (), {})


def test_a_word_of_the_repositorys_own_name_leaves_nothing_out() -> None:
    listing = read_listing(["R1-DRAFT-0.6B-Q8_0.gguf"], "someone/R1-DRAFT-0.6B-GGUF")
    assert list(listing.quants) == ["Q8_0"]


def parts(stem: str, count: int) -> list[str]:
    return [f"{stem}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1)]


def test_parts_belong_together_or_are_left_out() -> None:
    whole, torn = parts("Q8_0/Big-Q8_0", 3), parts("Big-Q4_K_M", 4)[:3]
    listing = read_listing([*reversed(whole), *torn])
    (file,) = listing.find("Q8_0")
    assert list(file.files) == whole
    assert listing.find("Q4_K_M") == ()
    assert set(listing.left_out) == set(torn)
    assert listing.left_out[torn[0]] == "3 of 4 parts are there"


def test_a_lie_about_the_number_of_parts_is_no_model() -> None:
    names = ["x-Q8_0-00001-of-99999.gguf", "y-Q8_0-00000-of-00002.gguf", "y-Q8_0-00001-of-00002.gguf"]
    listing = read_listing(names)
    assert listing.quants == {}
    assert set(listing.left_out) == set(names)


@pytest.mark.parametrize(
    ("names", "plain"),
    [
        (["M-Q8_0.gguf"], "M-Q8_0.gguf"),
        (["M-Q8_0-imat.gguf", "M-Q8_0.gguf"], "M-Q8_0.gguf"),
        (["M.i1-Q8_0.gguf", "Q8_0/M-Q8_0.gguf"], "M.i1-Q8_0.gguf"),
        (["Q8_0/M-Q8_0.gguf", "M-Q8_0.gguf"], "M-Q8_0.gguf"),
        ([*parts("M-Q8_0", 2), "other/M-Q8_0.gguf"], "M-Q8_0-00001-of-00002.gguf"),
        ([*parts("M-Q8_0", 2), "M.Q8_0.gguf"], "M.Q8_0.gguf"),
        (["M-chat-Q8_0.gguf", "M-base-Q8_0.gguf"], None),
        ([], None),
    ],
)
def test_of_two_files_the_plain_one_is_taken_and_else_none(names: list[str], plain: str | None) -> None:
    chosen = plainest(read_listing(names).find("q8_0"))
    assert (chosen.files[0] if chosen else None) == plain
