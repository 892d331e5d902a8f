"""How many weights a network has, from its shape: by layer and by tensor group.

Two uses: the catalog's architecture numbers are checked against the published parameter count (they must give it
exactly), and a MoE model's active share is known. Counts are elements.
"""

import functools
from dataclasses import dataclass

from planner.core.models.layers import has_experts
from planner.core.models.model import Architecture
from planner.core.models.tensor import Tensor
from planner.core.models.tensors import input_tensors, output_tensors, tensors_by_layer


@dataclass(frozen=True)
class LayerParameters:
    """Elements of one layer. `experts` holds all routed experts, `experts_active` those that see a token."""

    shared: int
    experts: int = 0
    experts_active: int = 0

    @property
    def total(self) -> int:
        """Everything that is resident."""
        return self.shared + self.experts

    @property
    def active(self) -> int:
        """Everything that is read for a token."""
        return self.shared + self.experts_active


@dataclass(frozen=True)
class ParameterTable:
    """Elements of a whole network.

    `token_embedding` is the vocabulary table; `input_tables` the learned positions, token types and their norm.
    `output` is the output matrix (0 when it is tied to the vocabulary table), `output_norm` the norm before it.
    `left_out` is part of the published count and never of a GGUF: BERT's pooler, and the bias that the experts of a
    layer share in nomic-bert-moe.
    """

    token_embedding: int
    input_tables: int
    layers: tuple[LayerParameters, ...]
    output_norm: int
    output: int
    left_out: int = 0

    @property
    def total(self) -> int:
        """Unique weights as published: a tied matrix once, BERT's pooler included."""
        return self.resident + self.left_out

    @property
    def resident(self) -> int:
        """Unique weights that a GGUF holds."""
        layers = sum(layer.total for layer in self.layers)
        return self.token_embedding + self.input_tables + layers + self.output_norm + self.output

    @property
    def active(self) -> int:
        """`total` less the experts that do not see a token."""
        return self.total - sum(layer.total - layer.active for layer in self.layers)


def count_parameters(arch: Architecture) -> int:
    """Unique weights as published (elements). An architecture this module does not know counts as Llama-like."""
    return parameter_table(arch).total


@functools.lru_cache(maxsize=1024)
def parameter_table(arch: Architecture) -> ParameterTable:
    """Elements of the network by tensor group and layer. Cached: planning asks for one shape many times."""
    token_table, *tables = input_tensors(arch)
    last = {tensor.name: tensor.elements for tensor in output_tensors(arch)}
    output = last.pop("output.weight", 0)
    layers = tensors_by_layer(arch)
    kinds = {id(tensors): tensors for tensors in layers}
    counts = {kind: _layer(arch, tensors) for kind, tensors in kinds.items()}
    return ParameterTable(
        token_embedding=token_table.elements,
        input_tables=sum(tensor.elements for tensor in tables),
        layers=tuple(counts[id(tensors)] for tensors in layers),
        output_norm=sum(last.values()),
        output=output,
        left_out=_left_out(arch),
    )


def _left_out(arch: Architecture) -> int:
    """Published weights that a converter drops."""
    width = arch.embedding_length
    if arch.name in {"bert", "jina-bert-v2"}:
        return width * (width + 1)
    if arch.name == "nomic-bert-moe":
        return width * sum(has_experts(arch, layer) for layer in range(arch.layers))
    return 0


def _layer(arch: Architecture, tensors: tuple[Tensor, ...]) -> LayerParameters:
    experts = sum(tensor.elements for tensor in tensors if tensor.is_routed)
    return LayerParameters(
        shared=sum(tensor.elements for tensor in tensors) - experts,
        experts=experts,
        experts_active=experts // (arch.expert_count or 1) * (arch.expert_used_count or 0),
    )
