"""`planner inspect`: what a GGUF or llamafile is, from its header alone."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.core.values import RepoId, RepoPath
from planner.errors import GgufError, UsageError
from planner.units import format_count, format_gb, format_gib, printable

if TYPE_CHECKING:
    from planner.gguf.facts import GgufFacts
    from planner.gguf.files import Contents
    from planner.gguf.llamafile import Llamafile


@click.command()
@click.argument("target", metavar="FILE|hf:REPO/FILE|URL")
@click.option("--member", metavar="NAME", help="The GGUF to look at, where a llamafile holds several.")
@common_options
def inspect(session: Session, target: str, member: str | None) -> None:
    r"""Show what a GGUF or llamafile is, without loading or downloading the weights.

    Only the header is read: of a file here, of a Hub file (hf:OWNER/NAME/FILE, or OWNER/NAME@REVISION), or of
    a web address. Parts of a split model are read together when all lie in one folder.

    \b
    Examples:
      planner inspect ~/models/SmolLM2-135M-Instruct.Q4_1.gguf
      planner inspect hf:ggml-org/gemma-3-4b-it-GGUF/gemma-3-4b-it-Q4_K_M.gguf
      planner inspect model.llamafile --member model.gguf --json
    """
    contents = _read(session, target, member)
    if session.as_json:
        write_json(_body(contents))
    else:
        write_lines(_lines(target, contents))


def _read(session: Session, target: str, member: str | None) -> "Contents":
    from planner.gguf.files import read_path, read_source

    if target.startswith("hf:"):
        url, secret_headers = _hub_address(session, target)
    elif "://" in target:
        url, secret_headers = _web_address(target), {}
    else:
        return read_path(Path(target).expanduser(), member=member)
    from planner.net.http import make_session, require_online
    from planner.net.ranges import HttpRangeSource

    require_online(session.config, f"Reading {printable(target)}")
    with (
        make_session(session.config) as http,
        HttpRangeSource(http, url, secret_headers=secret_headers) as source,
    ):
        return read_source(source, member=member)


def _hub_address(session: Session, target: str) -> tuple[str, dict[str, str]]:
    """Download address of `hf:OWNER/NAME[@REVISION]/FILE` and the headers for the Hub itself."""
    owner, _, rest = target.removeprefix("hf:").lstrip("/").partition("/")
    repo, _, file = rest.partition("/")
    repo, _, revision = repo.partition("@")
    try:
        if revision in (".", ".."):
            raise ValueError("no such revision")  # noqa: TRY301
        address = RepoId(f"{owner}/{repo}"), RepoPath(file)
    except ValueError as error:
        raise UsageError(
            f"“{printable(target)}” is not a file on the Hub: {error}.",
            hint="Write hf:OWNER/NAME/FILE.gguf, or hf:OWNER/NAME@REVISION/FILE.gguf.",
        ) from error
    token = os.environ.get("HF_TOKEN", "").strip()
    url = (
        f"{session.config.hf_endpoint}/{address[0]}/resolve/{quote(revision or 'main', safe='')}/{quote(address[1])}"
    )
    return url, {"Authorization": f"Bearer {token}"} if token else {}


def _web_address(target: str) -> str:
    try:
        parts = urlsplit(target)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise UsageError(
            f"“{printable(target)}” is not an address that can be read.", hint="Give an https:// address."
        )
    return target


def _body(contents: "Contents") -> dict[str, object]:
    """The JSON contract of `inspect`."""
    from planner.gguf.facts import facts

    found = facts(contents.header) if contents.header else None
    body: dict[str, object] = {
        "schema": 1,
        "format": "llamafile" if contents.llamafile else "gguf",
        **_fact_fields(found, contents.size_bytes),
        "embedded": _embedded(contents.llamafile),
        "arguments": [printable(line) for line in contents.llamafile.arguments] if contents.llamafile else [],
        "missing_parts": [printable(part) for part in contents.missing_parts],
        "notes": _notes(contents, found),
    }
    return body


_NO_FACTS = (
    "architecture", "parameters", "quant", "bytes", "layers", "embedding_length", "head_count", "head_count_kv",
    "context_length", "vocab", "pooling", "tensors",
)  # fmt: skip


def _fact_fields(found: "GgufFacts | None", size_bytes: int) -> dict[str, object]:
    if found is None:
        return {**dict.fromkeys(_NO_FACTS), "bytes": size_bytes}
    shard = found.shard
    return {
        "architecture": _clean(found.architecture),
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
        "name": _clean(found.name),
        "licence": _clean(found.licence),
        "version": found.version,
        "byte_order": found.byte_order,
        "active_parameters": found.active_parameters,
        "tensor_bytes": found.tensor_bytes,
        "token_embedding_bytes": found.token_embedding_bytes,
        "tensor_types": found.tensor_types,
        "tied_embeddings": found.tied,
        "causal": found.causal,
        "feed_forward_length": found.feed_forward_length,
        "key_length": found.key_length,
        "value_length": found.value_length,
        "sliding_window": found.sliding_window,
        "sliding_layers": sum(found.sliding),
        "recurrent_layers": _recurrent_layers(found),
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


def _notes(contents: "Contents", found: "GgufFacts | None") -> list[str]:
    notes = list(found.notes) if found else ["There are no weights inside: it is an engine to be given a model."]
    if contents.missing_parts:
        notes.append(f"Not in this folder: {', '.join(contents.missing_parts)}.")
    if contents.llamafile and contents.llamafile.arguments:
        notes.append(f"Started as a program it would run with: {' '.join(contents.llamafile.arguments)}")
    reason = _implausible(found) if found else None
    if reason:
        notes.append(f"No estimate can be made: {reason}")
    return [_clean(note) or "" for note in notes]


def _clean(text: str | None) -> str | None:
    """A text from the file on one line, without control characters, cut where it gets silly."""
    if text is None:
        return None
    line = " ".join(printable(text).split())
    return line if len(line) <= 300 else f"{line[:299]}…"


def _lines(target: str, contents: "Contents") -> Iterator[str]:
    """The page for people."""
    from planner.gguf.facts import facts

    found = facts(contents.header) if contents.header else None
    yield printable(target)
    rows = [("format", _format(contents, found)), ("file", format_gb(contents.size_bytes))]
    if found is not None:
        rows += _rows(found)
    if contents.llamafile is not None:
        rows += [("inside", f"{m.name}, {format_gb(m.size)}") for m in contents.llamafile.models]
    for label, value in rows:
        if value:
            yield f"  {label:<14}{_clean(value)}"
    notes = _notes(contents, found)
    if notes:
        yield ""
    yield from (f"  ! {note}" for note in notes)


def _format(contents: "Contents", found: "GgufFacts | None") -> str:
    inner = f"GGUF v{found.version}{', big-endian' if found.byte_order == 'big' else ''}" if found else "no weights"
    parts = contents.header.parts if contents.header else 1
    if contents.llamafile is not None:
        return f"llamafile, {inner}"
    return f"{inner}, {parts} parts" if parts > 1 else inner


def _rows(found: "GgufFacts") -> list[tuple[str, str]]:
    experts = ""
    if found.expert_count:
        active = format_count(found.active_parameters)
        experts = f", {found.expert_used_count or '?'} of {found.expert_count} experts ({active} active)"
    table = ""
    if found.token_embedding_bytes:
        tied = ", also the output matrix" if found.tied else ""
        table = f", of it {format_gib(found.token_embedding_bytes)} token table{tied}"
    shares = {name: round(100 * size / found.tensor_bytes) for name, size in found.tensor_types.items()}
    types = ", ".join(f"{name} {share} %" for name, share in shares.items() if share)
    return [
        ("name", found.name or ""),
        (
            "architecture",
            f"{found.architecture or 'not said'}{_number(', {} layer' + 's' * (found.layers != 1), found.layers)}",
        ),
        ("parameters", f"{format_count(found.parameters)}{experts}"),
        ("quant", f"{found.quant or 'unknown'} ({types})" if types else found.quant or ""),
        ("weights", f"{format_gib(found.tensor_bytes)} in {found.tensor_count:,} tensors{table}"),
        ("attention", _attention(found)),
        (
            "embedding",
            _number("{}", found.embedding_length) + (f", pooling {found.pooling}" if found.pooling else ""),
        ),
        ("context", _number("{} tokens", found.context_length)),
        ("vocabulary", _number("{} tokens", found.vocab)),
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
    if count := _recurrent_layers(found):
        text += f", {count} of {found.layers} layers recurrent"
    return text if found.causal else f"{text}, bidirectional (no KV cache)"


def _recurrent_layers(found: "GgufFacts") -> int:
    return sum((found.layer_pattern or "").count(letter) for letter in "rb")


def _number(form: str, value: int | None) -> str:
    return "" if value is None else form.format(f"{value:,}")
