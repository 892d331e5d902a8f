"""`planner inspect` for people: one page, and the tensor table."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.cli.inspect_view import (
    argument_warnings,
    bits_per_weight,
    clean,
    notes,
    recurrent_layers,
    text_of,
    type_counts,
)
from planner.cli.output import table
from planner.units import format_count, format_gb, format_gib, printable

if TYPE_CHECKING:
    from planner.gguf.facts import GgufFacts
    from planner.gguf.files import Contents
    from planner.gguf.header import Header


def lines(target: str, contents: "Contents") -> Iterator[str]:
    """The page for people."""
    from planner.gguf.facts import facts

    found = facts(contents.header) if contents.header else None
    yield printable(target)
    rows = [("format", _format(contents, found)), ("file", format_gb(contents.size_bytes))]
    if found is not None and contents.header is not None:
        rows += _rows(found, contents.header)
    if contents.llamafile is not None:
        rows += [("inside", f"{m.name}, {format_gb(m.size)}") for m in contents.llamafile.models]
    for label, value in rows:
        if value:
            yield f"  {label:<14}{clean(value)}"
    remarks = notes(contents, found) + [f"Danger: {text}" for text in argument_warnings(contents)]
    if remarks:
        yield ""
    yield from (f"  ! {remark}" for remark in remarks)


def tensor_lines(header: "Header") -> Iterator[str]:
    """The tensor table, in the order of the file."""
    yield from table(
        ("NAME", "SHAPE", "TYPE", "BYTES"),
        [(t.name, " x ".join(map(str, t.shape)) or "1", t.type, f"{t.n_bytes:,}") for t in header.tensors],
        right=frozenset({3}),
    )


def _format(contents: "Contents", found: "GgufFacts | None") -> str:
    inner = f"GGUF v{found.version}" if found else "no weights"
    parts = contents.header.parts if contents.header else 1
    if contents.llamafile is not None:
        return f"llamafile, {inner}"
    return f"{inner}, {parts} parts" if parts > 1 else inner


def _rows(found: "GgufFacts", header: "Header") -> list[tuple[str, str]]:
    experts = ""
    if found.expert_count:
        active = format_count(found.active_parameters)
        experts = f", {found.expert_used_count or '?'} of {found.expert_count} experts ({active} active)"
    table = ""
    if found.token_embedding_bytes:
        tied = ", also the output matrix" if found.tied else ""
        table = f", of it {format_gib(found.token_embedding_bytes)} token table{tied}"
    shares = {name: round(100 * size / found.tensor_bytes) for name, size in found.tensor_types.items()}
    counts = type_counts(header)
    types = ", ".join(f"{name} {share} % ({counts[name]:,})" for name, share in shares.items())
    bits = bits_per_weight(found)
    exact = "" if bits is None else f", {bits:.2f} bits a weight"
    return [
        ("name", found.name or ""),
        (
            "architecture",
            f"{found.architecture or 'not said'}{_number(', {} layer' + 's' * (found.layers != 1), found.layers)}",
        ),
        ("parameters", f"{format_count(found.parameters)}{experts}"),
        ("quant", f"{found.quant or 'unknown'}{exact}"),
        ("types", types),
        ("weights", f"{format_gib(found.tensor_bytes)} in {found.tensor_count:,} tensors{table}"),
        ("attention", _attention(found)),
        (
            "embedding",
            _number("{}", found.embedding_length) + (f", pooling {found.pooling}" if found.pooling else ""),
        ),
        ("context", _number("{} tokens", found.context_length)),
        ("vocabulary", _number("{} tokens", found.vocab)),
        ("tokenizer", _tokenizer(header)),
        ("template", "has a chat template" if "tokenizer.chat_template" in header.metadata else "no chat template"),
        ("licence", found.licence or ""),
    ]


def _attention(found: "GgufFacts") -> str:
    text = _number("{} heads", found.head_count)
    text += _number(", {} KV heads", found.head_count_kv)
    if found.latent_attention:
        text += _number(", latent (MLA) of rank {}", found.kv_lora_rank)
    elif found.key_length:
        text += _number(" of length {}", found.key_length)
    if found.sliding_window:
        text += f", window {found.sliding_window:,} on {sum(found.sliding)} of {len(found.sliding)} layers"
    if count := recurrent_layers(found):
        text += f", {count} of {found.layers} layers recurrent"
    return text if found.causal else f"{text}, bidirectional (no KV cache)"


def _number(form: str, value: int | None) -> str:
    return "" if value is None else form.format(f"{value:,}")


def _tokenizer(header: "Header") -> str:
    kind, pre = text_of(header, "tokenizer.ggml.model"), text_of(header, "tokenizer.ggml.pre")
    return f"{kind or 'unknown'}, split as {pre}" if pre else kind or ""
