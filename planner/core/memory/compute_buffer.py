"""The compute buffer: what llama.cpp's graph holds at once while it works through the largest micro-batch.

Activations are 4 bytes. The graph allocator frees what is no longer needed, so that the widest step rules: attention,
the feed-forward part, the experts, or the rows of output. Forms and widths were read off buffers that an engine
reported (`benchmarks/engine_memory.py`, CPU build), and are exact to a rounding on most of them; docs/estimates.md.
"""

import msgspec

from planner.core.memory.kv_cache import ceil_to, kv_cells, micro_batch, state_bytes
from planner.core.memory.workload import Settings
from planner.core.models.layers import Mixer, mixers, widest_feed_forward
from planner.core.models.model import Architecture, Recurrent

_ACTIVATION_BYTES = 4
_CHUNK = 64


class Step(msgspec.Struct, frozen=True):
    """A step of the graph: its name, the numbers a token needs in it, and how they add up."""

    name: str
    width: int
    formula: str


class ComputeBuffer(msgspec.Struct, frozen=True):
    """Steps that compete for the buffer, and what lies beside them: masks, and numbers carried through all layers.

    `micro_batch` in tokens; `carried_width` is the layers' own embeddings of Gemma 3n and 4, looked up and mixed.
    """

    micro_batch: int
    steps: tuple[Step, ...]
    mask_cells: int
    mask_element_bytes: int
    carried_width: int = 0

    @property
    def widest(self) -> Step:
        """The step that rules."""
        return max(self.steps, key=lambda step: step.width)

    @property
    def mask_bytes(self) -> int:
        """Which cells each token may see: one mask for full attention, one for sliding layers."""
        return self.micro_batch * self.mask_cells * self.mask_element_bytes

    @property
    def total_bytes(self) -> int:
        """The whole buffer."""
        width = self.widest.width + self.carried_width
        return self.micro_batch * _ACTIVATION_BYTES * width + self.mask_bytes


def output_rows(settings: Settings) -> int:
    """Rows of logits that the server reserves: one per slot for chat, all of the micro-batch in embedding mode."""
    return micro_batch(settings) if settings.embedding else min(settings.parallel, micro_batch(settings))


def compute_buffer(arch: Architecture, settings: Settings, *, reserved_rows: int | None = None) -> ComputeBuffer:
    """The buffer of a device that runs layers.

    `reserved_rows` other than the server's: llama-bench and builds before late 2025 reserve the whole micro-batch.
    """
    u = micro_batch(settings)
    rows = output_rows(settings) if reserved_rows is None else min(reserved_rows, u)
    full, sliding = _cells(arch, settings)
    steps = [_attention(arch, 0 if settings.flash_attention else max(full, sliding)), *_feed_forward(arch)]
    if arch.recurrent is not None:
        steps += _recurrent(arch, arch.recurrent, u, settings.parallel)
    if arch.causal:
        steps.append(_output(arch, rows, u))
    return ComputeBuffer(
        micro_batch=u,
        steps=tuple(steps),
        mask_cells=full + sliding,
        mask_element_bytes=2 if settings.flash_attention else 4,
        carried_width=2 * (arch.per_layer_embedding_length or 0) * arch.layers,
    )


def compute_buffer_bytes(arch: Architecture, settings: Settings, *, reserved_rows: int | None = None) -> int:
    """`compute_buffer`, added up."""
    return compute_buffer(arch, settings, reserved_rows=reserved_rows).total_bytes


def host_compute_bytes(arch: Architecture, settings: Settings) -> int:
    """Host side of a process whose layers are on GPUs: input rows and the masks."""
    return input_bytes(arch, settings) + _host_masks(arch, settings)


def shared_host_compute_bytes(arch: Architecture, settings: Settings) -> int:
    """The same when several GPUs hold everything: the scheduler keeps four copies of the masks."""
    return input_bytes(arch, settings) + 4 * _host_masks(arch, settings)


def pipeline_bytes(arch: Architecture, settings: Settings) -> int:
    """What every one of several GPUs holds more: three further masks and four copies of the input rows."""
    return 4 * input_bytes(arch, settings) + 3 * _host_masks(arch, settings)


def input_bytes(arch: Architecture, settings: Settings) -> int:
    """The embedding rows of a micro-batch."""
    return _ACTIVATION_BYTES * micro_batch(settings) * arch.embedding_length


def output_buffer_bytes(arch: Architecture, settings: Settings) -> int:
    """A row of logits per slot handed to the caller, of encoders too; in embedding mode a vector beside it."""
    row = arch.vocab_size + (arch.embedding_length if settings.embedding else 0)
    return _ACTIVATION_BYTES * row * settings.parallel


def _host_masks(arch: Architecture, settings: Settings) -> int:
    element = 2 if settings.flash_attention else 4
    return element * micro_batch(settings) * sum(_cells(arch, settings))


def _cells(arch: Architecture, settings: Settings) -> tuple[int, int]:
    """Cells that a token's mask covers, in full and in sliding layers; an encoder sees its micro-batch."""
    kinds = mixers(arch)
    cells = kv_cells(arch, settings)
    full, sliding = (cells.per_sequence, cells.sliding_per_sequence) if arch.causal else (micro_batch(settings),) * 2
    return full if Mixer.FULL in kinds or Mixer.BOTH in kinds else 0, sliding if Mixer.SLIDING in kinds else 0


def _attention(arch: Architecture, scores: int) -> Step:
    """Residual, queries and results side by side; without flash attention also `scores` for every head and cell.

    MLA works on latent rows: rank and rope part for every head.
    """
    width, heads = arch.embedding_length, arch.head_count
    if arch.kv_lora_rank:
        rope = arch.rope_head_length or 0
        size = 5 * width + heads * (2 * arch.kv_lora_rank + 5 * rope)
        formula = f"5·{width} + {heads}·(2·{arch.kv_lora_rank} + 5·{rope})"
    else:
        query = heads * arch.key_length
        size, formula = 3 * width + 3 * query, f"3·{width} + 3·{query}"
        if scores:
            cached = arch.head_count_kv * (arch.key_length + arch.value_length)
            size, formula = size + cached, f"{formula} + {cached}"
    if scores:
        size, formula = size + heads * scores, f"{heads}·{scores} + {formula}"
    return Step("attention", size, formula)


def _feed_forward(arch: Architecture) -> list[Step]:
    """Gate, up and their product side by side; a network without a gate works in place.

    The experts' part is that of all experts of a token. Their results need room of their own where they do not fit
    into what gate and up leave.
    """
    width = arch.embedding_length
    parts = 3 if arch.gated_feed_forward else 1
    steps: list[Step] = []
    if not arch.is_moe or arch.leading_dense_layers or arch.expert_every:
        inner = widest_feed_forward(arch)
        steps.append(Step("feed-forward", parts * inner + 5 * width, f"{parts}·{inner} + 5·{width}"))
    if arch.is_moe:
        used = arch.expert_used_count or 1
        inner = arch.expert_feed_forward_length or arch.feed_forward_length
        size, formula = parts * used * inner + 5 * width, f"{parts}·{used}·{inner} + 5·{width}"
        if width > (parts - 1) * inner:
            size, formula = size + used * width, f"{formula} + {used}·{width}"
        steps.append(Step("experts", size, formula))
    return steps


def _recurrent(arch: Architecture, part: Recurrent, u: int, slots: int) -> list[Step]:
    """Projections, their convolution and the states of all slots, which are spread over the tokens here.

    A delta net works in chunks of 64 tokens, also where there are fewer.
    """
    width, inner = arch.embedding_length, part.inner_length
    mixed = inner + 2 * part.group_count * part.state_length
    state = state_bytes(arch) // 4
    if part.kind == "mamba2":
        size, formula = inner + 3 * mixed + 3 * inner + width, f"3·{mixed} + 4·{inner} + {width}"
    elif part.kind == "delta-net":
        padded = ceil_to(u, _CHUNK)
        size = 5 * width + (2 * mixed + inner // 2) * padded // u
        formula = f"5·{width} + (2·{mixed} + {inner // 2})·{padded}/{u}"
    else:
        return []
    return [Step("recurrent", size + slots * state // u, f"{formula} + {slots}·{state}/{u}")]


def _output(arch: Architecture, rows: int, u: int) -> Step:
    """`rows` rows of logits, spread over the tokens of the micro-batch."""
    width, vocab = arch.embedding_length, arch.vocab_size
    return Step("output", vocab * rows // u + 5 * width, f"{vocab}·{rows}/{u} + 5·{width}")
