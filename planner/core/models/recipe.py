"""Which type llama.cpp's quantize gives each tensor of a file of a quant type.

The rules of `src/llama-quant.cpp` (MIT) at ggml-org/llama.cpp@0c1e57098: `llama_tensor_get_type_impl` chooses by the
tensor's part in the network, its layer and the model's shape; `tensor_type_fallback` replaces types whose blocks do
not fit a row. F32, F16, BF16 and Q8_0 files may come from the converter, which keeps the same tensors in F32.

`python benchmarks/quantize_types.py` asks quantize itself, tensor by tensor.
"""

from planner.core.models.layers import Mixer, kv_heads, mixer
from planner.core.models.model import Architecture
from planner.core.models.quants import BLOCKS
from planner.core.models.tensor import Tensor
from planner.core.models.tensors import ENCODERS, tensors_by_layer

# llama_ftype_get_default_type: the type of everything no rule below names. A “floating” file has no rules at all.
_FLOATING = {"F32": "f32", "F16": "f16", "BF16": "bf16"}
_DEFAULT = {
    "Q8_0": "q8_0", "Q4_0": "q4_0", "Q4_1": "q4_1", "Q5_0": "q5_0", "Q5_1": "q5_1", "Q2_K": "q2_k", "Q2_K_S": "q2_k",
    "Q3_K_S": "q3_k", "Q3_K_M": "q3_k", "Q3_K_L": "q3_k", "Q4_K_S": "q4_k", "Q4_K_M": "q4_k", "Q5_K_S": "q5_k",
    "Q5_K_M": "q5_k", "Q6_K": "q6_k", "IQ1_S": "iq1_s", "IQ1_M": "iq1_m", "IQ2_XXS": "iq2_xxs", "IQ2_XS": "iq2_xs",
    "IQ2_S": "iq2_xs", "IQ2_M": "iq2_s", "IQ3_XXS": "iq3_xxs", "IQ3_XS": "iq3_s", "IQ3_S": "iq3_s", "IQ3_M": "iq3_s",
    "IQ4_NL": "iq4_nl", "IQ4_XS": "iq4_xs", "TQ1_0": "tq1_0", "TQ2_0": "tq2_0", "MXFP4": "mxfp4",
}  # fmt: skip
_TINY = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
"""The types with a branch of their own in llama_tensor_get_type_impl."""
_NEEDS_IMATRIX = _TINY | {"IQ3_XXS", "Q2_K_S"}
"""tensor_requires_imatrix: quantize refuses these without an importance matrix, so every such file had one."""

# tensor_allows_quantization (and the converter's prepare_tensors): matrices that stay in F32.
_KEPT = frozenset(
    {
        "position_embd.weight",
        "token_types.weight",
        "ffn_gate_inp.weight",
        "ssm_conv1d.weight",
        "shortconv.conv.weight",
    }
)
# Gemma 4's ways in for the embeddings by layer: F32 in every published file whose size is known to the byte.
_KEPT_BY_LAYER = frozenset({"inp_gate.weight", "proj.weight"})
_TOKEN_TABLES = frozenset({"token_embd.weight", "per_layer_token_embd.weight"})

# tensor_type_fallback: rows that are no whole number of 256-blocks.
_FALLBACK = {
    "iq1_s": "iq4_nl", "iq1_m": "iq4_nl", "iq2_xxs": "iq4_nl", "iq2_xs": "iq4_nl", "iq2_s": "iq4_nl",
    "iq3_xxs": "iq4_nl", "iq3_s": "iq4_nl", "iq4_xs": "iq4_nl", "q2_k": "q4_0", "q3_k": "q4_0", "tq1_0": "q4_0",
    "tq2_0": "q4_0", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0",
}  # fmt: skip

# The token table where it is not the output matrix too; types that are not here keep their default.
_TOKEN_TABLE = {
    "IQ1_S": "q2_k", "IQ1_M": "q2_k", "IQ2_XXS": "q2_k", "IQ2_XS": "q2_k", "IQ2_S": "iq3_s", "IQ2_M": "iq3_s",
    "IQ3_XXS": "iq3_s", "TQ1_0": "q4_k", "TQ2_0": "q4_k",
}  # fmt: skip
# attn_output of models without exactly 8 experts, and of those with.
_ATTENTION_OUTPUT = {
    "IQ1_S": "iq2_xxs", "IQ1_M": "iq2_xxs", "IQ2_S": "iq3_s", "IQ2_M": "iq3_s", "Q2_K": "q3_k", "IQ3_XXS": "iq3_s",
    "Q3_K_M": "q4_k", "Q3_K_L": "q5_k", "IQ3_M": "q4_k",
}  # fmt: skip
_ATTENTION_OUTPUT_8_EXPERTS = dict.fromkeys(
    [
        *_TINY, "Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M",
        "IQ4_XS",
    ],
    "q5_k",
)  # fmt: skip
# attn_v where four or more query heads share it, so that it is small.
_SHARED_VALUE = {
    "Q2_K": "q4_k", "Q2_K_S": "q4_k", "IQ3_XXS": "q4_k", "IQ3_XS": "q4_k", "IQ3_S": "q4_k", "IQ4_NL": "q5_k",
    "IQ4_XS": "q5_k",
}  # fmt: skip
_VALUE = {"Q2_K": "q3_k", "IQ3_M": "q4_k", "Q3_K_M": "q4_k", "Q3_K_L": "q5_k"}
_DOWN = {"Q2_K": "q3_k", "Q3_K_M": "q4_k", "Q3_K_L": "q5_k"}

# Types by where the layer lies: the words of `places`, and the type in such layers.
_VALUE_BY_PLACE = {
    "Q3_K_M": ("first two values", "q5_k"), "Q4_K_M": ("more bits for values", "q6_k"),
    "Q5_K_M": ("more bits for values", "q6_k"), "Q4_K_S": ("first four values", "q5_k"),
}  # fmt: skip
_DOWN_BY_PLACE = {
    "Q2_K_S": ("first eighth", "q4_k"), "Q3_K_M": ("first sixteenth", "q5_k"), "IQ3_M": ("first eighth", "q4_k"),
    "Q4_K_M": ("more bits", "q6_k"), "Q5_K_M": ("more bits", "q6_k"), "Q4_K_S": ("first eighth", "q5_k"),
}  # fmt: skip
_DOWN_WITHOUT_IMATRIX = {"IQ4_NL": ("first eighth", "q5_k"), "IQ4_XS": ("first eighth", "q5_k")}
_DOWN_WITH_IMATRIX = {"Q4_0": ("first eighth", "q4_1"), "Q5_0": ("first eighth", "q5_1")}

_VALUE_TENSORS = frozenset({"attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight"})
"""category_is_attn_v."""

Place = frozenset[str]
"""Where a layer lies among the others, as far as a rule asks."""


def places(arch: Architecture) -> tuple[Place, ...]:
    """The place of every layer, by its number and by how many matrices of a kind come before its own."""
    layers, eighth = arch.layers, arch.layers // 8
    # The branch of the smallest types counts ffn_down tensors: a MoE layer with a dense or shared part has two.
    values_before, downs_before = _matrices_before(arch)
    values = values_before[-1]
    known: dict[tuple[bool, ...], Place] = {}
    found = []
    for index, (before, downs) in enumerate(zip(values_before[:-1], downs_before[:-1], strict=True)):
        truths = (
            before < 2,
            before < 4,
            _more_bits(before, values),
            index < layers // 16,
            index < eighth,
            index >= 7 * layers // 8,
            _more_bits(index, layers),
            downs < eighth,
            downs + 1 < eighth,
        )
        if truths not in known:
            known[truths] = frozenset(word for word, true in zip(_PLACES, truths, strict=True) if true)
        found.append(known[truths])
    return tuple(found)


_PLACES = (
    "first two values",
    "first four values",
    "more bits for values",
    "first sixteenth",
    "first eighth",
    "last eighth",
    "more bits",
    "early down",
    "early second down",
)


def _more_bits(index: int, count: int) -> bool:
    """use_more_bits."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _matrices_before(arch: Architecture) -> tuple[list[int], list[int]]:
    """How many value and ffn_down matrices come before each layer, and how many there are at all."""
    values, downs = [0], [0]
    counts: dict[int, tuple[bool, int]] = {}
    for tensors in tensors_by_layer(arch):
        if id(tensors) not in counts:
            names = [tensor.name for tensor in tensors]
            down = sum(name.startswith("ffn_down") and name.endswith(".weight") for name in names)
            counts[id(tensors)] = any(name in _VALUE_TENSORS for name in names), down
        value, down = counts[id(tensors)]
        values.append(values[-1] + value)
        downs.append(downs[-1] + down)
    return values, downs


def has_recipe(quant: str) -> bool:
    """Whether `quant` (in upper case) is a type of llama.cpp's quantize or converter."""
    return quant in _DEFAULT or quant in _FLOATING


def quant_types() -> tuple[str, ...]:
    """Every quant type with a recipe."""
    return (*_FLOATING, *_DEFAULT)


def is_kept(tensor: Tensor) -> bool:
    """Whether a tensor is F32 in a file of every type."""
    return (
        tensor.is_vector
        or tensor.name in _KEPT
        or tensor.name in _KEPT_BY_LAYER
        or not tensor.name.endswith(".weight")
        or "_norm." in tensor.name
    )


class Recipe:
    """The rules for one model and quant type, which must be one with a recipe.

    `imatrix`: made with an importance matrix, which changes a few rules; the types that need one always have it.
    """

    def __init__(self, arch: Architecture, quant: str, *, imatrix: bool = False) -> None:
        self._arch = arch
        self._quant = quant
        self._imatrix = imatrix or quant in _NEEDS_IMATRIX
        self._shares_value = _shares_value(arch)
        self._eight_experts = arch.expert_count == 8
        self._falcon = arch.name == "falcon"
        self._is_70b = arch.layers == 80 and (
            arch.name in {"qwen2", "deci", "olmo"} or (arch.name == "llama" and arch.head_count != arch.head_count_kv)
        )
        self.asks = _asks(quant, falcon=self._falcon)
        """The places that a rule asks for: layers that differ in others only have the same types."""

    def type(self, tensor: Tensor, place: Place = frozenset()) -> str:
        """The type of a tensor in the file, ggml's name in lower case; `place` for those of layers."""
        return "f32" if is_kept(tensor) else self.matrix_type(tensor, place)

    def matrix_type(self, tensor: Tensor, place: Place) -> str:
        """The type of a tensor that is not F32 in files of every type."""
        if tensor.is_routed and self._arch.name == "gpt-oss":
            # Published in MXFP4, which the converter copies and quantize refuses to quantise again.
            return "mxfp4"
        if self._quant in _FLOATING:
            return _FLOATING[self._quant]
        if tensor.name == "per_layer_model_proj.weight":
            return "f16"
        return _fitting(self._wanted(tensor, place), tensor.row)

    def _wanted(self, tensor: Tensor, place: Place) -> str:
        """llama_tensor_get_type_impl: the type before the row length is looked at."""
        default = _DEFAULT[self._quant]
        table = tensor.name in _TOKEN_TABLES
        # A model without output.weight uses the token table for it; to quantize, encoders are such models too.
        if tensor.name == "output.weight" or (table and (self._arch.tied_embeddings or self._arch.name in ENCODERS)):
            return self._output(default, tensor)
        if self._quant == "MXFP4":
            return "mxfp4" if tensor.experts > 1 else "q8_0"
        if table:
            return _TOKEN_TABLE.get(self._quant, default)
        return self._in_layer(default, tensor.name.removesuffix(".weight"), place)

    def _in_layer(self, default: str, name: str, place: Place) -> str:
        kind = default
        if name in {"attn_v", "attn_qkv", "attn_kv_b"}:
            kind = self._value(default, place)
        elif name == "attn_k" and self._eight_experts:
            kind = "q4_k" if self._quant in _TINY else "q8_0"
        elif name in {"attn_q", "attn_k"}:
            kind = {"IQ3_XS": "iq3_xxs", "IQ3_XXS": "iq2_s"}.get(self._quant, default)
        elif name == "attn_output":
            kind = self._attention_output(default)
        elif name.startswith("ffn_down"):
            kind = self._down(default, name, place)
        elif name.startswith(("ffn_gate", "ffn_up")) and self._quant == "IQ3_XS":
            kind = default if "first eighth" in place or "last eighth" in place else "iq3_xxs"
        return kind

    def _output(self, default: str, tensor: Tensor) -> str:
        if self._quant == "MXFP4" or self._falcon or tensor.row % BLOCKS[default][0]:
            return "q8_0"
        if self._quant in _TINY or self._quant == "IQ3_XXS":
            return "q5_k"
        return "q8_0" if default == "q8_0" else "q6_k"

    def _value(self, default: str, place: Place) -> str:
        """attn_v, and what holds it together with others."""
        if self._quant in _TINY:
            if self._shares_value or (self._arch.expert_count or 0) >= 4:
                return "q4_k"
            return "iq3_s" if self._quant in {"IQ2_S", "IQ2_M"} else "q2_k"
        kind = _VALUE.get(self._quant, default)
        if self._shares_value:
            kind = _SHARED_VALUE.get(self._quant, kind)
        kind = _placed(_VALUE_BY_PLACE, self._quant, place) or kind
        # 70 B models: eight heads share the matrix, so that more bits cost next to nothing.
        if self._is_70b and kind in {"q3_k", "q4_k"}:
            kind = "q5_k"
        return "q8_0" if self._eight_experts else kind

    def _attention_output(self, default: str) -> str:
        if self._falcon and self._quant not in _TINY:
            return "q4_k" if self._quant == "Q3_K_L" else default
        table = _ATTENTION_OUTPUT_8_EXPERTS if self._eight_experts else _ATTENTION_OUTPUT
        return table.get(self._quant, default)

    def _down(self, default: str, name: str, place: Place) -> str:
        """ffn_down, of experts and shared experts too."""
        if self._quant in _TINY:
            second = name == "ffn_down_shexp" or (name == "ffn_down_exps" and self._arch.name == "gemma4")
            if ("early second down" if second else "early down") not in place:
                return default
            return "iq3_s" if self._quant in {"IQ2_S", "IQ2_M"} else "q2_k"
        if self._falcon and self._quant in {"Q3_K_M", "Q3_K_L", "Q4_K_M", "Q4_K_S"}:
            return self._falcon_down(default, place)
        if self._quant == "IQ3_M" and self._eight_experts and "more bits" in place:
            return "q4_k"
        by_matrix = _DOWN_WITH_IMATRIX if self._imatrix else _DOWN_WITHOUT_IMATRIX
        found = _placed(_DOWN_BY_PLACE, self._quant, place) or _placed(by_matrix, self._quant, place)
        return found or _DOWN.get(self._quant, default)

    def _falcon_down(self, default: str, place: Place) -> str:
        if self._quant not in {"Q3_K_M", "Q4_K_M"}:
            return "q4_k" if self._quant == "Q3_K_L" else default
        steps = ("q5_k", "q4_k") if self._quant == "Q3_K_M" else ("q6_k", "q5_k")
        if "first sixteenth" in place:
            return steps[0]
        return steps[1] if "more bits" in place else default


def _asks(quant: str, *, falcon: bool) -> Place:
    if quant in _TINY:
        return frozenset({"early down", "early second down"})
    by_place = (_VALUE_BY_PLACE, _DOWN_BY_PLACE, _DOWN_WITHOUT_IMATRIX, _DOWN_WITH_IMATRIX)
    asked = {rules[quant][0] for rules in by_place if quant in rules}
    if falcon:
        asked |= {"first sixteenth", "more bits"}
    if quant == "IQ3_M":
        asked.add("more bits")
    if quant == "IQ3_XS":
        asked |= {"first eighth", "last eighth"}
    return frozenset(asked)


def _shares_value(arch: Architecture) -> bool:
    """n_gqa() >= 4, which looks at the first layer: a hybrid's has no heads where the file counts them by layer."""
    first = mixer(arch, 0)
    if first in {Mixer.RECURRENT, Mixer.NONE} and arch.recurrent is not None and arch.recurrent.kind != "delta-net":
        return False
    return arch.head_count // kv_heads(arch, first)[0] >= 4


def _placed(rules: dict[str, tuple[str, str]], quant: str, place: Place) -> str | None:
    """The type that a rule by place gives, None if there is none for this quant type and layer."""
    word, kind = rules.get(quant, ("", ""))
    return kind if word in place else None


def _fitting(kind: str, row: int) -> str:
    """tensor_type_fallback: a type whose blocks fit the row; F16 where not even 32-blocks do."""
    if row % BLOCKS[kind][0] == 0:
        return kind
    kind = _FALLBACK.get(kind, kind)
    return kind if row % BLOCKS[kind][0] == 0 else "f16"
