"""Quant types: bits per weight, and what a quantisation costs in quality.

Whole-file bits per weight are those of an 8 B Llama model as llama.cpp's quantize tool makes it (README of
`tools/quantize`, commit 311c2c9); they are used only where no real file size is known, since the mix of types
depends on the model (4.82 for Q4_K_M at 70 B, 6.2 for bge-m3). Block sizes are ggml's.
"""

import math
from enum import StrEnum

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
    "F32": 0.0, "F16": 0.0, "BF16": 0.0, "Q8_0": 0.00265, "Q6_K": 0.021748, "Q5_K_M": 0.056974, "Q5_K_S": 0.104964,
    "Q5_1": 0.106223, "Q5_0": 0.131591, "Q4_K_M": 0.175482, "Q4_K_S": 0.268895, "IQ4_NL": 0.223959,
    "IQ4_XS": 0.228071, "Q4_1": 0.451103, "Q4_0": 0.468514, "Q3_K_L": 0.556242, "Q3_K_M": 0.656864, "IQ3_M": 0.666694,
    "IQ3_S": 0.733867, "IQ3_XS": 0.931409, "IQ3_XXS": 1.226803, "Q3_K_S": 1.632152, "IQ2_M": 2.369166,
    "Q2_K_S": 3.092145, "IQ2_S": 3.419148, "Q2_K": 3.519934, "IQ2_XS": 4.529791, "IQ2_XXS": 7.860148,
    "IQ1_M": 19.262089, "IQ1_S": 54.462959,
}  # fmt: skip
_BASE_PERPLEXITY, _BASE_PARAMETERS = 6.231634, 8_030_261_248
"""Of Llama-3-8B in F16: 6.233160 less the 0.001524 that the scoreboard itself gives for its F16 row."""
SIZE_EXPONENT = 0.23
"""By which power of the size the loss falls: the median of twelve pairs of models of one family, which go from 0.06
to 0.72 (`size_effect` in catalog/quants.json). They have 7 to 70 B; smaller models are an extrapolation."""


class LossBasis(StrEnum):
    """How the loss of a quant type is known."""

    MEASURED = "measured"
    INTERPOLATED = "interpolated"
    ASSUMED = "assumed"


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


def perplexity_increase(quant: str, parameters: int | None = None) -> float:
    """Relative perplexity increase over F16 of a model with that many weights, of Llama-3-8B's size when None.

    Measured on Llama-3-8B (llama.cpp tools/perplexity, see catalog/quants.json): k-quants without an importance
    matrix, i-quants with one, as they are made. What nobody published lies between the neighbours by bits per weight.
    MXFP4 counts as lossless: the models published in it were trained for it; MXFP4_MOE is a requantisation by others
    and counts as Q4_K_S, a name nobody knows as Q4_0, the worst four-bit type.
    """
    known, _ = _measured(quant)
    ratio = 1.0 + known / _BASE_PERPLEXITY
    if parameters:
        # The logarithm of the ratio, since that is what adds up over independent errors.
        ratio = ratio ** ((_BASE_PARAMETERS / parameters) ** SIZE_EXPONENT)
    return ratio - 1.0


def loss_basis(quant: str) -> LossBasis:
    """How the loss of a quant type is known, for text generation."""
    return _measured(quant)[1]


def _measured(quant: str) -> tuple[float, LossBasis]:
    """Absolute perplexity increase of Llama-3-8B, and how it is known."""
    name = canonical(quant)
    if quant.upper() == "MXFP4_MOE":
        return _PERPLEXITY_INCREASE["Q4_K_S"], LossBasis.ASSUMED
    if name == "MXFP4":
        return 0.0, LossBasis.ASSUMED
    if name in _PERPLEXITY_INCREASE:
        mixed = name != quant.upper()  # a vendor's mix counts as its base type
        return _PERPLEXITY_INCREASE[name], LossBasis.ASSUMED if mixed else LossBasis.MEASURED
    bits = FILE_BITS_PER_WEIGHT.get(name)
    if bits is None:
        return _PERPLEXITY_INCREASE["Q4_0"], LossBasis.ASSUMED
    return _between(bits), LossBasis.INTERPOLATED


def _between(bits: float) -> float:
    """Log-linear in bits per weight between the nearest measured types; beyond the last, what that has."""
    points = sorted((FILE_BITS_PER_WEIGHT[name], loss) for name, loss in _PERPLEXITY_INCREASE.items() if loss)
    below = max((point for point in points if point[0] <= bits), default=points[0])
    above = min((point for point in points if point[0] >= bits), default=points[-1])
    if above[0] <= below[0]:
        return below[1]
    share = (bits - below[0]) / (above[0] - below[0])
    return math.exp(math.log(below[1]) * (1 - share) + math.log(above[1]) * share)
