"""Quant types: bits per weight, and what a quantisation costs in quality.

Whole-file bits per weight are those of an 8 B Llama model as llama.cpp's quantize tool makes it (README of
`tools/quantize`, commit 311c2c9); they are used only where no real file size is known, since the mix of types
depends on the model (4.82 for Q4_K_M at 70 B, 6.2 for bge-m3). Block sizes are ggml's.
"""

FILE_BITS_PER_WEIGHT: dict[str, float] = {
    "F32": 32.0, "F16": 16.0, "BF16": 16.0, "Q8_0": 8.501, "Q6_K": 6.563, "Q5_K_M": 5.704, "Q5_K_S": 5.57,
    "Q5_1": 6.03, "Q5_0": 5.57, "Q4_K_M": 4.894, "Q4_K_S": 4.667, "Q4_1": 5.13, "Q4_0": 4.543, "IQ4_NL": 4.682,
    "IQ4_XS": 4.46, "MXFP4": 4.33, "Q3_K_L": 4.298, "Q3_K_M": 3.885, "Q3_K_S": 3.643, "IQ3_M": 3.763,
    "IQ3_S": 3.661, "IQ3_XS": 3.498, "IQ3_XXS": 3.255, "Q2_K": 3.159, "Q2_K_S": 2.97, "IQ2_M": 2.929,
    "IQ2_S": 2.74, "IQ2_XS": 2.588, "IQ2_XXS": 2.382, "IQ1_M": 2.146, "IQ1_S": 2.004, "TQ2_0": 2.06, "TQ1_0": 1.69,
}  # fmt: skip

BLOCKS: dict[str, tuple[int, int]] = {
    "f32": (1, 4), "f16": (1, 2), "bf16": (1, 2), "q4_0": (32, 18), "q4_1": (32, 20), "q5_0": (32, 22),
    "q5_1": (32, 24), "q8_0": (32, 34), "q2_k": (256, 84), "q3_k": (256, 110), "q4_k": (256, 144),
    "q5_k": (256, 176), "q6_k": (256, 210), "iq1_s": (256, 50), "iq1_m": (256, 56), "iq2_xxs": (256, 66),
    "iq2_xs": (256, 74), "iq2_s": (256, 82), "iq3_xxs": (256, 98), "iq3_s": (256, 110), "iq4_nl": (32, 18),
    "iq4_xs": (256, 136), "tq1_0": (256, 54), "tq2_0": (256, 66), "mxfp4": (32, 17),
}  # fmt: skip
"""Elements and bytes of a block of each tensor type."""

ELEMENT_BYTES: dict[str, float] = {name: size / elements for name, (elements, size) in BLOCKS.items()}
"""Bytes per element of a tensor type, for KV caches."""

_PERPLEXITY_INCREASE: dict[str, float] = {
    "F32": 0.0, "F16": 0.0, "BF16": 0.0, "Q8_0": 0.0026, "Q6_K": 0.0217, "Q5_K_M": 0.0569, "Q5_K_S": 0.1049,
    "Q5_1": 0.1062, "Q5_0": 0.1316, "Q4_K_M": 0.1754, "Q4_K_S": 0.2689, "Q4_1": 0.4511, "Q4_0": 0.4685,
    "IQ4_NL": 0.21, "IQ4_XS": 0.22, "MXFP4": 0.0, "Q3_K_L": 0.5562, "Q3_K_M": 0.6569, "Q3_K_S": 1.6321,
    "IQ3_M": 0.6, "IQ3_S": 0.7, "IQ3_XS": 0.9, "IQ3_XXS": 1.2, "Q2_K": 3.5199, "Q2_K_S": 3.1836, "IQ2_M": 2.2,
    "IQ2_S": 2.8, "IQ2_XS": 3.4, "IQ2_XXS": 5.0, "IQ1_M": 9.0, "IQ1_S": 15.0, "TQ2_0": 8.0, "TQ1_0": 8.0,
}  # fmt: skip
_BASE_PERPLEXITY = 6.2332


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


def is_standard(quant: str) -> bool:
    """Whether this is a type of llama.cpp's own, not a vendor's mix of types."""
    return quant.upper() in FILE_BITS_PER_WEIGHT or quant.upper() == "MXFP4_MOE"


def bits_per_weight(quant: str) -> float | None:
    """Whole-file bits per weight of a quant type, None for an unknown name."""
    return FILE_BITS_PER_WEIGHT.get(canonical(quant))


def perplexity_increase(quant: str) -> float:
    """Relative perplexity increase over F16, for ranking quants of one model.

    Absolute increases of Llama-3-8B (F16: 6.2332) from llama.cpp's `llama-quantize --help`; i-quants and ternary
    types, which it does not list, are placed among them by their bits per weight. MXFP4 counts as lossless: the
    models published in it were trained for it; MXFP4_MOE is a requantisation by others and counts as Q4_K_S.
    Unknown names count as a small 4-bit type.
    """
    if quant.upper() == "MXFP4_MOE":
        quant = "Q4_K_S"
    return _PERPLEXITY_INCREASE.get(canonical(quant), 0.4) / _BASE_PERPLEXITY
