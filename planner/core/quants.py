"""Quant types: bits per weight, and what a quantisation costs in quality.

Whole-file bits per weight are those of an 8 B Llama model as llama.cpp's quantize tool makes it (README of
`tools/quantize`, commit 311c2c9); they are used only where no real file size is known, since the mix of types
depends on the model (4.82 for Q4_K_M at 70 B, 6.2 for bge-m3). Block sizes are ggml's.
"""

FILE_BITS_PER_WEIGHT: dict[str, float] = {
    "F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.50, "Q6_K": 6.56,
    "Q5_K_M": 5.70, "Q5_K_S": 5.57, "Q5_1": 6.03, "Q5_0": 5.57,
    "Q4_K_M": 4.89, "Q4_K_S": 4.67, "Q4_1": 5.13, "Q4_0": 4.68, "IQ4_NL": 4.68, "IQ4_XS": 4.46, "MXFP4": 4.25,
    "Q3_K_L": 4.30, "Q3_K_M": 4.00, "Q3_K_S": 3.64, "IQ3_M": 3.76, "IQ3_S": 3.66, "IQ3_XS": 3.50, "IQ3_XXS": 3.25,
    "Q2_K": 3.16, "Q2_K_S": 2.97, "IQ2_M": 2.93, "IQ2_S": 2.74, "IQ2_XS": 2.59, "IQ2_XXS": 2.38,
    "IQ1_M": 2.15, "IQ1_S": 2.00, "TQ2_0": 2.06, "TQ1_0": 1.69,
}  # fmt: skip

ELEMENT_BYTES: dict[str, float] = {
    "f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q6_k": 210 / 256,
    "q5_1": 24 / 32, "q5_0": 22 / 32, "q4_1": 20 / 32, "q4_0": 18 / 32, "iq4_nl": 18 / 32,
}  # fmt: skip
"""Bytes per element of a block type (block bytes / block elements), for KV caches and single tensors."""

_RELATIVE_PERPLEXITY: dict[str, float] = {
    "F32": 0.0, "F16": 0.0, "BF16": 0.0, "Q8_0": 0.0001, "Q6_K": 0.0007,
    "Q5_K_M": 0.0024, "Q5_K_S": 0.0060, "Q5_1": 0.0070, "Q5_0": 0.0135,
    "Q4_K_M": 0.0091, "Q4_K_S": 0.0195, "Q4_1": 0.0313, "Q4_0": 0.0423, "IQ4_NL": 0.0150, "IQ4_XS": 0.0160,
    "MXFP4": 0.0, "Q3_K_L": 0.0305, "Q3_K_M": 0.0413, "Q3_K_S": 0.0932, "IQ3_M": 0.0480, "IQ3_S": 0.0560,
    "IQ3_XS": 0.0700, "IQ3_XXS": 0.0900, "Q2_K": 0.1473, "Q2_K_S": 0.2200, "IQ2_M": 0.1500, "IQ2_S": 0.1900,
    "IQ2_XS": 0.2300, "IQ2_XXS": 0.3200, "IQ1_M": 0.6000, "IQ1_S": 0.9000, "TQ2_0": 0.5000, "TQ1_0": 0.5000,
}  # fmt: skip


def canonical(quant: str) -> str:
    """The base type of a quant name: vendor prefixes and suffixes (`UD-Q4_K_XL`, `mxfp4_moe`) removed."""
    name = quant.upper().removeprefix("UD-")
    if name in FILE_BITS_PER_WEIGHT:
        return name
    if name.startswith("MXFP4"):
        return "MXFP4"
    for suffix, replacement in (("_XXL", "_L"), ("_XL", "_M"), ("_L", "_M")):
        if name.endswith(suffix) and name.removesuffix(suffix) + replacement in FILE_BITS_PER_WEIGHT:
            return name.removesuffix(suffix) + replacement
    return name


def bits_per_weight(quant: str) -> float | None:
    """Whole-file bits per weight of a quant type, None for an unknown name."""
    return FILE_BITS_PER_WEIGHT.get(canonical(quant))


def perplexity_increase(quant: str) -> float:
    """Relative perplexity increase over F16, for ranking quants of one model.

    LLaMA-7B figures of the k-quants pull request (llama.cpp #1684); i-quants and ternary types are placed among
    them by their bits per weight. MXFP4 counts as lossless: the models published in it were trained for it.
    Unknown names count as a 3-bit type.
    """
    return _RELATIVE_PERPLEXITY.get(canonical(quant), 0.05)


def table_element_bytes(quant: str, row_length: int) -> float:
    """Bytes per element of an output matrix, or of a token table that doubles as one.

    llama.cpp's quantize keeps this matrix in Q6_K for every type below 8 bits, or in Q8_0 where the row length
    is not a multiple of 256 (K-quant blocks do not fit); F16, BF16, F32 and Q8_0 files keep their own type.
    """
    base = canonical(quant)
    if base in {"F32", "F16", "BF16", "Q8_0"}:
        return ELEMENT_BYTES[base.lower()]
    if base == "MXFP4" or row_length % 256:
        return ELEMENT_BYTES["q8_0"]
    return ELEMENT_BYTES["q6_k"]
