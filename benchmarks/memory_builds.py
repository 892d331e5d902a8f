"""The compute buffers of llama.cpp builds that are no longer current, for scoring logs made with them.

Read off the logs in `data/memory_logs.csv` and exact on them, so they say nothing about today's builds.
"""

from planner.core.memory.kv_cache import kv_cells, micro_batch
from planner.core.memory.workload import Settings
from planner.core.models.model import Architecture


def old_compute_bytes(era: str, arch: Architecture, settings: Settings) -> int:
    """Compute buffer of a GPU that holds all layers; `era` is `2023` (b1680 to b1691) or `2024` (b2797 to b2837)."""
    u, width, vocab = micro_batch(settings), arch.embedding_length, arch.vocab_size
    cells = kv_cells(arch, settings).per_sequence
    if era == "2023":
        return 4 * u * max(2 * arch.feed_forward_length + 2 * width + cells, vocab + width)
    scores = 0 if settings.flash_attention else cells * (arch.head_count + 1) + 4 * width
    return 4 * u * max(vocab + width, scores)
