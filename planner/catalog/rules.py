"""What one catalog entry must hold to make sense, beyond the types of its fields.

Contradictions make an entry unusable: the loader refuses the file. Doubts are for the people who edit the data:
`planner catalog check` lists them, and the tests keep our own files free of them.
"""

import datetime as dt
import functools
import re
from collections.abc import Iterator, Sequence

import msgspec

from planner.catalog.quant_table import QuantTable
from planner.core.models.model import Architecture, Artifact, Model, Role, Variant
from planner.core.models.parameters import count_parameters
from planner.core.models.quants import is_standard
from planner.core.models.weights import ROUNDING_BYTES, predicted_file_bytes
from planner.units import format_gib

MUST_BE_SOURCED = ("parameters", "context_length", "licence")
_NO_NAME = re.compile(r"[\s:]")


def contradictions(model: Model) -> Iterator[str]:
    """What cannot be true of the entry, one sentence each."""
    yield from _names(model)
    if model.parameters and model.active_parameters and model.active_parameters > model.parameters:
        yield "active_parameters: more than parameters"
    yield from _dates(model)
    if model.architecture is not None:
        yield from _architecture(model.architecture)
    yield from _variants(model.variants)


def _names(model: Model) -> Iterator[str]:
    if _NO_NAME.search(model.id):
        yield "id: white space and “:” are not allowed, they end a model's name on the command line"
    elif not is_identity(model.id):
        yield "id: it must be “name” or “owner/name” in letters that can be printed, and no part may be “.” or “..”"
    if not all(alias.isprintable() for alias in model.aliases):
        yield "aliases: there is one with a letter that cannot be printed"


def is_identity(text: str) -> bool:
    """Whether the text is like `name` or `owner/name`: safe to print, and no path that leads elsewhere."""
    return text.isprintable() and all(part.strip(".") for part in text.split("/"))


def _twice(texts: Sequence[str]) -> set[str]:
    return {text for text in texts if texts.count(text) > 1}


def _dates(model: Model) -> Iterator[str]:
    if model.release_date is not None and not is_date(model.release_date):
        yield f"release_date: {_no_date(model.release_date)}"
    for index, score in enumerate(model.scores):
        if not is_date(score.date):
            yield f"scores[{index}].date: {_no_date(score.date)}"


def _no_date(text: str) -> str:
    return f"“{text}” is not a date of the form YYYY-MM-DD"


@functools.lru_cache(maxsize=1024)
def _architecture(arch: Architecture) -> tuple[str, ...]:
    """Cached: hundreds of models share some networks."""
    return (*_lengths(arch), *_layer_kinds(arch))


def _lengths(arch: Architecture) -> Iterator[str]:
    if arch.head_count % arch.head_count_kv:
        yield "architecture: head_count is not a multiple of head_count_kv"
    if arch.leading_dense_layers > arch.layers:
        yield "architecture: more leading_dense_layers than layers"
    if bool(arch.expert_count) != bool(arch.expert_used_count):
        yield "architecture: expert_count and expert_used_count belong together"
    elif arch.expert_count and arch.expert_used_count and arch.expert_used_count > arch.expert_count:
        yield "architecture: more experts are used than there are"
    if arch.expert_every and not arch.expert_count:
        yield "architecture: expert_every without expert_count"
    if (arch.kv_lora_rank is None) != (arch.rope_head_length is None):
        yield "architecture: kv_lora_rank and rope_head_length belong together"
    if arch.full_attention_every is not None and arch.sliding_window is None:
        yield "architecture: full_attention_every without sliding_window"


def _layer_kinds(arch: Architecture) -> Iterator[str]:
    pattern = arch.layer_pattern or ""
    if pattern and arch.full_attention_every is not None:
        yield "architecture: layer_pattern and full_attention_every say the same thing twice"
    if len(pattern) > arch.layers:
        yield "architecture: layer_pattern has more letters than there are layers"
    if "s" in pattern and arch.sliding_window is None:
        yield "architecture: layer_pattern has sliding layers, and there is no sliding_window"
    if not set(pattern).isdisjoint("rb") and arch.recurrent is None:
        yield "architecture: layer_pattern has recurrent layers, and recurrent does not say of what kind"
    if arch.shared_kv_layers >= arch.layers:
        yield "architecture: shared_kv_layers leaves no layer with a cache"
    if arch.feed_forward_lengths and len(arch.feed_forward_lengths) != arch.layers:
        yield "architecture: feed_forward_lengths must have one length a layer"


def _variants(variants: Sequence[Variant]) -> Iterator[str]:
    quants = [variant.quant.casefold() for variant in variants]
    if len(set(quants)) < len(quants):
        yield from (f"variants: {quant.upper()} is there twice" for quant in sorted(_twice(quants)))
    for variant in variants:
        if variant.tensor_bytes and variant.file_bytes and variant.tensor_bytes > variant.file_bytes:
            yield f"variants[{variant.quant}]: tensor_bytes is larger than file_bytes"
        for artifact in variant.artifacts:
            # Nothing can be wrong with what most are: a file of the Hub, whole.
            if artifact.source != "hub" or artifact.repo is None or artifact.shards or artifact.shard_sha256:
                for problem in _artifact(artifact):
                    yield f"variants[{variant.quant}]: {artifact.file}: {problem}"


def _artifact(artifact: Artifact) -> Iterator[str]:
    if artifact.source == "hub" and artifact.repo is None:
        yield "a hub artifact needs repo"
    if artifact.source == "package" and not (artifact.package and artifact.version):
        yield "a package artifact needs package and version"
    if artifact.shards and artifact.shards[0] != artifact.file:
        yield "file must be the first of shards"
    if artifact.shard_sha256 and len(artifact.shard_sha256) != len(artifact.shards):
        yield "shard_sha256 must have one entry for each of shards"


@functools.lru_cache(maxsize=1024)
def is_date(text: str) -> bool:
    """Whether the text is a day as YYYY-MM-DD."""
    try:
        return dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def doubts(model: Model, quants: QuantTable | None) -> Iterator[str]:
    """What is probably wrong or missing, one sentence each. Without `quants`, file sizes are not judged."""
    if not model.deployable and not model.deploy_note:
        yield "deployable is false and deploy_note does not say why"
    if model.deployable and not model.variants:
        yield "deployable is true and there is no variant to fetch"
    if model.deployable and model.architecture is None:
        yield "deployable is true and there is no architecture to estimate its memory from"
    if model.role is Role.EMBEDDING and model.embedding_length is None:
        yield "an embedding model without embedding_length"
    if model.role is Role.EMBEDDING and model.deployable and model.pooling is None:
        yield "an embedding model without pooling: the engine would fall back to none"
    missing = [field for field in MUST_BE_SOURCED if getattr(model, field) is not None and field not in model.sources]
    if missing:
        yield f"sources: nothing is said about {', '.join(missing)}"
    if model.architecture is not None and model.parameters is not None and not model.notes:
        counted = count_parameters(model.architecture)
        if counted != model.parameters:
            yield (
                f"parameters: {model.parameters:,} published, {counted:,} by the architecture numbers; "
                "correct the one that is wrong, or say in notes why they differ"
            )
    for variant in model.variants:
        yield from _doubtful_size(model, variant, quants)


def _doubtful_size(model: Model, variant: Variant, quants: QuantTable | None) -> Iterator[str]:
    """A file size that its architecture or its quant type cannot give, unless a note names the quant type."""
    if variant.file_bytes is None or any(variant.quant in note for note in model.notes):
        return
    if model.architecture is not None and is_standard(variant.quant):
        yield from _off_recipe(model.architecture, variant, variant.file_bytes)
        return
    nominal = None if quants is None else quants.bits_per_weight(variant.quant)
    if nominal is None or model.parameters is None:
        return
    bits = variant.file_bytes * 8 / model.parameters
    if not 0.8 * nominal < bits < (1.15 if model.parameters > 4e9 else 1.8) * nominal:
        yield f"variants[{variant.quant}]: {bits:.2f} bits per weight, where about {nominal:.2f} is usual"


def _off_recipe(arch: Architecture, variant: Variant, file_bytes: int) -> Iterator[str]:
    """A file more than 3 % from what quantize makes of this architecture. A tied model may have its own output."""
    untied = msgspec.structs.replace(arch, tied_embeddings=False)
    sizes = [size for shape in (arch, untied) if (size := predicted_file_bytes(shape, variant.quant)) is not None]
    rounding = ROUNDING_BYTES if variant.file_bytes_source == "rounded" else 0
    if any(abs(file_bytes - size) <= 0.03 * size + rounding for size in sizes):
        return
    yield (
        f"variants[{variant.quant}]: {format_gib(file_bytes)}, where the architecture gives {format_gib(sizes[0])}; "
        f"correct what is wrong, or say in notes why this {variant.quant} differs"
    )
