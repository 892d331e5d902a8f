"""What a model is, in sentences made of its catalog entry and of nothing else."""

import json
from collections import Counter
from collections.abc import Sequence

from planner.core.models.languages import MULTILINGUAL, language_names
from planner.core.models.layers import Mixer, mixer
from planner.core.models.model import Architecture, Commercial, Model, Pooling, Role
from planner.units import format_count

COMMERCIAL = {
    Commercial.YES: "commercial use is allowed",
    Commercial.NO: "no commercial use",
    Commercial.CONDITIONAL: "commercial use under conditions: read the licence",
    Commercial.UNKNOWN: "whether commercial use is allowed is not known",
}
COMMERCIAL_SHORT = {
    Commercial.YES: "",
    Commercial.NO: ", not commercial",
    Commercial.CONDITIONAL: ", conditions",
    Commercial.UNKNOWN: ", terms unknown",
}
_NOUN = {Role.EMBEDDING: "embedding model", Role.GENERATION: "generation model", Role.RERANKER: "reranker"}
_POOLING = {
    Pooling.NONE: "none: one vector per token",
    Pooling.MEAN: "mean of all tokens",
    Pooling.CLS: "first token (CLS)",
    Pooling.LAST: "last token",
    Pooling.RANK: "a score in place of a vector",
}
_LISTED = 8
"""How many languages a sentence names before it counts the rest."""


def summary(model: Model) -> str:
    """What the model is and does, in one or two sentences."""
    languages = language_words(model) if model.languages else ""
    noun = _NOUN[model.role]
    if languages and len(model.languages) == 1:
        noun = f"{languages} {noun}"
    article = "An" if noun[0].lower() in "aeiou" else "A"
    size = f" of {format_count(model.parameters)} parameters" if model.parameters else ""
    if model.active_parameters:
        size += f", {format_count(model.active_parameters)} of them active per token"
    match model.role:
        case Role.EMBEDDING:
            vector = f" of {model.embedding_length:,} numbers" if model.embedding_length else ""
            does = f"turns text of up to {model.context_length:,} tokens into one vector{vector}"
        case Role.RERANKER:
            does = f"says how well a document answers a query; both together may have {model.context_length:,} tokens"
        case Role.GENERATION:
            does = f"writes answers within a context of {model.context_length:,} tokens"
    return f"{article} {noun}{size}. It {does}."


def parameter_words(model: Model) -> str:
    """`7.11B (7,110,660,096), dense`."""
    if model.parameters is None:
        return "not published"
    text = f"{format_count(model.parameters)} ({model.parameters:,})"
    if model.active_parameters is not None:
        return f"{text}, {format_count(model.active_parameters)} active per token"
    return f"{text}, dense" if model.architecture is not None and not model.architecture.is_moe else text


def architecture_words(arch: Architecture) -> tuple[str, ...]:
    """The parts of an architecture that decide memory and speed, each a short phrase."""
    found = [
        f"{arch.layers} layers of width {arch.embedding_length:,} "
        f"({arch.name}, {'decoder' if arch.causal else 'encoder'})",
        _attention(arch),
    ]
    kinds = Counter(mixer(arch, layer) for layer in range(arch.layers))
    if arch.sliding_window and kinds[Mixer.SLIDING]:
        found.append(f"sliding window of {arch.sliding_window:,} tokens in {_share(kinds[Mixer.SLIDING], arch)}")
    if kinds[Mixer.RECURRENT]:
        kind = "" if arch.recurrent is None else f" ({arch.recurrent.kind})"
        found.append(
            f"a recurrent state of fixed size in place of attention{kind} in {_share(kinds[Mixer.RECURRENT], arch)}"
        )
    if arch.expert_count:
        experts = f"mixture of {arch.expert_count} experts, {arch.expert_used_count or '?'} per token"
        if arch.expert_shared_feed_forward_length:
            experts += " and shared ones that see every token"
        if arch.leading_dense_layers:
            one = arch.leading_dense_layers == 1
            experts += f"; the first {'layer is' if one else f'{arch.leading_dense_layers} layers are'} dense"
        if arch.expert_every:
            experts += f"; one layer of {arch.expert_every} has them, the others are dense"
        found.append(experts)
    else:
        found.append(f"feed-forward width {arch.feed_forward_length:,}")
    tied = "; input and output share one table" if arch.tied_embeddings and arch.causal else ""
    found.append(f"vocabulary of {arch.vocab_size:,}{tied}")
    return tuple(found)


def _share(count: int, arch: Architecture) -> str:
    return "all layers" if count == arch.layers else f"{count} of {arch.layers} layers"


def _attention(arch: Architecture) -> str:
    heads, shared = arch.head_count, arch.head_count_kv
    if arch.kv_lora_rank:
        cached = arch.kv_lora_rank + (arch.rope_head_length or 64)
        return f"multi-head latent attention (MLA): {heads} heads, {cached} cached numbers per token and layer"
    if shared == heads:
        return f"multi-head attention: {heads} heads, each with keys and values of its own"
    if shared == 1:
        return f"multi-query attention: {heads} heads share one key/value head"
    return f"grouped-query attention (GQA): {heads} heads share {shared} key/value heads"


def pooling_words(model: Model) -> str:
    """How token vectors become one, with llama.cpp's word for it."""
    if model.pooling is None:
        return "not known"
    text = f"{_POOLING[model.pooling]} (--pooling {model.pooling.value})"
    return f"{text}; vectors are brought to length 1" if model.normalize and model.role is Role.EMBEDDING else text


def prompt_words(model: Model) -> tuple[str, ...]:
    """The prompts as they are spelled, quoted, line breaks as in JSON."""
    named = (("query", model.prompts.query), ("document", model.prompts.document))
    return tuple(f"before a {name}: {quoted(text)}" for name, text in named if text)


def quoted(text: str) -> str:
    """A text whose spaces and line breaks can be seen."""
    return json.dumps(text, ensure_ascii=False)


def language_words(model: Model) -> str:
    """English names; a long list is counted."""
    if not model.languages:
        return "not known"
    names = language_names()
    words = [names.get(code, code) for code in model.languages if code != MULTILINGUAL]
    if MULTILINGUAL in model.languages:
        return "multilingual" + (f", among them {_listing(words)}" if words else "")
    if len(words) > _LISTED:
        return f"{len(words)}: {', '.join(words[:_LISTED])} and {len(words) - _LISTED} more"
    return _listing(words)


def licence_name(model: Model) -> str:
    """The SPDX id as people say it."""
    return model.licence.spdx.removeprefix("LicenseRef-")


def licence_words(model: Model) -> str:
    """`CC-BY-NC-4.0: no commercial use`."""
    return f"{licence_name(model)}: {COMMERCIAL[model.licence.commercial]}"


def _listing(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
