"""The JSON contract of `planner inspect`, and what its page shares with it."""

from typing import TYPE_CHECKING

from planner.errors import GgufError
from planner.units import printable

if TYPE_CHECKING:
    from planner.gguf.facts import GgufFacts
    from planner.gguf.files import Contents
    from planner.gguf.header import Header
    from planner.gguf.llamafile import Llamafile


def body(contents: "Contents", *, tensors: bool = False) -> dict[str, object]:
    """The JSON contract of `inspect`; `tensors`: with the whole tensor table."""
    from planner.gguf.facts import facts

    found = facts(contents.header) if contents.header else None
    fields: dict[str, object] = {
        "schema": 1,
        "format": "llamafile" if contents.llamafile else "gguf",
        **_fact_fields(found, contents),
        "embedded": _embedded(contents.llamafile),
        "arguments": [printable(line) for line in contents.llamafile.arguments] if contents.llamafile else [],
        "missing_parts": [printable(part) for part in contents.missing_parts],
        "warnings": list(argument_warnings(contents)),
        **_tokenizer_fields(contents.header),
        "notes": notes(contents, found),
    }
    if tensors and contents.header is not None:
        fields["tensor_table"] = [
            {"name": printable(t.name), "shape": t.shape, "type": t.type, "bytes": t.n_bytes}
            for t in contents.header.tensors
        ]
    return fields


_NO_FACTS = (
    "architecture", "parameters", "quant", "bytes", "layers", "embedding_length", "head_count", "head_count_kv",
    "context_length", "vocab", "pooling", "tensors",
)  # fmt: skip


def _fact_fields(found: "GgufFacts | None", contents: "Contents") -> dict[str, object]:
    size_bytes = contents.size_bytes
    if found is None or contents.header is None:
        return {**dict.fromkeys(_NO_FACTS), "bytes": size_bytes}
    shard = found.shard
    return {
        "architecture": clean(found.architecture),
        "parameters": found.parameters,
        "quant": found.quant,
        "bytes": size_bytes,
        "layers": found.layers,
        "embedding_length": found.embedding_length,
        "head_count": found.head_count,
        "head_count_kv": found.head_count_kv,
        "context_length": found.context_length,
        "vocab": found.vocab,
        "pooling": found.pooling,
        "tensors": found.tensor_count,
        "name": clean(found.name),
        "licence": clean(found.licence),
        "version": found.version,
        "active_parameters": found.active_parameters,
        "tensor_bytes": found.tensor_bytes,
        "token_embedding_bytes": found.token_embedding_bytes,
        "tensor_types": found.tensor_types,
        "tensor_type_counts": type_counts(contents.header),
        "bits_per_weight": bits_per_weight(found),
        "tied_embeddings": found.tied,
        "causal": found.causal,
        "feed_forward_length": found.feed_forward_length,
        "key_length": found.key_length,
        "value_length": found.value_length,
        "sliding_window": found.sliding_window,
        "sliding_layers": sum(found.sliding),
        "recurrent_layers": recurrent_layers(found),
        "expert_count": found.expert_count,
        "expert_used_count": found.expert_used_count,
        "shard": {"number": shard.number, "count": shard.count} if shard else None,
        "plausible": _implausible(found) is None,
    }


def _embedded(llamafile: "Llamafile | None") -> list[dict[str, object]]:
    if llamafile is None:
        return []
    return [{"name": printable(m.name), "bytes": m.size, "stored": m.stored} for m in llamafile.models]


def _implausible(found: "GgufFacts") -> str | None:
    """Why no estimate can be made of this header, or None."""
    from planner.gguf.model import architecture

    try:
        architecture(found)
    except GgufError as error:
        return error.message
    return None


def _tokenizer_fields(header: "Header | None") -> dict[str, object]:
    if header is None:
        return {"tokenizer": None, "tokenizer_pre": None, "chat_template": None}
    return {
        "tokenizer": text_of(header, "tokenizer.ggml.model"),
        "tokenizer_pre": text_of(header, "tokenizer.ggml.pre"),
        "chat_template": "tokenizer.chat_template" in header.metadata,
    }


def text_of(header: "Header", key: str) -> str | None:
    """A short text of the header; None when it is missing or something else."""
    value = header.metadata.get(key)
    return clean(value) if isinstance(value, str) and value else None


def type_counts(header: "Header") -> dict[str, int]:
    """How many tensors there are of each type, most first."""
    counts: dict[str, int] = {}
    for tensor in header.tensors:
        counts[tensor.type] = counts.get(tensor.type, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def bits_per_weight(found: "GgufFacts") -> float | None:
    """Bits of tensor data for each parameter; None without parameters."""
    return round(found.tensor_bytes * 8 / found.parameters, 3) if found.parameters else None


def argument_warnings(contents: "Contents") -> tuple[str, ...]:
    """What the arguments inside a llamafile would do that one should know of."""
    from planner.gguf.arguments import warnings

    return warnings(contents.llamafile.arguments) if contents.llamafile else ()


def recurrent_layers(found: "GgufFacts") -> int:
    """How many layers keep a state instead of a cache."""
    return sum((found.layer_pattern or "").count(letter) for letter in "rb")


def notes(contents: "Contents", found: "GgufFacts | None") -> list[str]:
    """Sentences about what is unusual."""
    said = list(found.notes) if found else ["There are no weights inside: it is an engine to be given a model."]
    if contents.missing_parts:
        said.append(f"Not in this folder: {', '.join(contents.missing_parts)}.")
    if contents.llamafile and contents.llamafile.arguments:
        said.append(f"Started as a program it would run with: {' '.join(contents.llamafile.arguments)}")
    reason = _implausible(found) if found else None
    if reason:
        said.append(f"No estimate can be made: {reason}")
    return [clean(note) or "" for note in said]


def clean(text: str | None) -> str | None:
    """A text from the file on one line, without control characters, cut where it gets silly."""
    if text is None:
        return None
    line = " ".join(printable(text).split())
    return line if len(line) <= 300 else f"{line[:299]}…"
