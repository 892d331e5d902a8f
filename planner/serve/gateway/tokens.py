"""Counting tokens with the engine's own tokenizer: other tokenizers are off by up to a factor of two."""

from typing import Any

from planner.core.models.model import Pooling
from planner.serve.gateway.engine import EngineTalk, decode_object
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.upstream import Upstream

_BETWEEN = -1
_TEXTS_PER_CALL = 64
_AROUND = 8
"""More than any tokenizer puts around a text."""
_NFKC_GROWTH = 11


def input_limit(upstream: Upstream) -> int:
    """The longest input in tokens, special ones included, that the upstream's model can embed as one text.

    It is bounded by the slot's context, the trained context, and by one micro-batch (`batch`) unless the input can be
    split over several, which takes a causal model that pools the last token.
    """
    model = upstream.model
    causal = model.architecture is not None and model.architecture.causal
    limit = min(upstream.context, model.context_length)
    splittable = model.pooling is Pooling.LAST and causal
    return limit if splittable else min(limit, upstream.batch)


def surely_fits(text: str, limit: int) -> bool:
    """Whether a text has tokens, and fewer than `limit`, whatever the tokenizer: asking the engine would be waste.

    Every token stands for at least one byte of the text as the tokenizer normalises it. ASCII is left as it is or
    made shorter; for the rest the longest case is assumed, U+FDFA with 3 bytes that become 33 (Unicode NFKC).
    """
    growth = 1 if text.isascii() else _NFKC_GROWTH
    if len(text) * growth + _AROUND > limit:  # without encoding a long text
        return False
    return len(text.encode()) * growth + _AROUND <= limit and any(map(str.isalnum, text))


async def count_tokens(talk: EngineTalk, texts: list[str]) -> list[int] | None:
    """Tokens of each text as the model sees it, special ones included; None if the engine cannot say.

    0 stands for a text that has no tokens of its own (invisible characters, say), whatever is put around it.
    """
    counts: list[int] = []
    for start in range(0, len(texts), _TEXTS_PER_CALL):
        part = texts[start : start + _TEXTS_PER_CALL]
        try:
            counted = await _count_together(talk, part)
            counts += counted if counted is not None else [await _count_one(talk, text) for text in part]
        except _CannotCountError:
            return None
    return counts


async def cut_tokens(talk: EngineTalk, text: str, limit: int) -> list[int] | None:
    """The first tokens of a text, `limit` at most with the special ones that belong at its end; None if unknown.

    What stands around an empty text (`[CLS]` and `[SEP]`, an end of text) is what stands around any.
    """
    tokens, around = await _tokenize(talk, text), await _tokenize(talk, "")
    if tokens is None or around is None:
        return None
    before = 0
    while before < len(around) and before < len(tokens) and around[before] == tokens[before]:
        before += 1
    after = around[before:]
    if tokens[len(tokens) - len(after) :] != after:
        after = []
    return tokens[: limit - len(after)] + after


async def _count_one(talk: EngineTalk, text: str) -> int:
    tokens = await _tokenize(talk, text)
    if tokens is None:
        raise _CannotCountError
    return len(tokens)


async def _count_together(talk: EngineTalk, texts: list[str]) -> list[int] | None:
    """All in one call: `/tokenize` takes a list of texts and ids, and passes ids on as they are.

    Special tokens are added to the first text only, so an empty one stands there; the id -1, which no tokenizer
    yields, marks where a text ends. None if the engine does not answer in this form.
    """
    content: list[str | int] = [""]
    for text in texts:
        content += [_BETWEEN, text]
    try:
        tokens = await _tokenize(talk, content)
    except ApiError:
        return None
    if tokens is None or tokens.count(_BETWEEN) != len(texts):
        return None
    lengths = [0]
    for token in tokens:
        if token == _BETWEEN:
            lengths.append(0)
        else:
            lengths[-1] += 1
    return [lengths[0] + length if length else 0 for length in lengths[1:]]


async def _tokenize(talk: EngineTalk, content: str | list[str | int]) -> list[int] | None:
    try:
        raw = await talk.post("/tokenize", {"content": content, "add_special": True}, in_turn=False)
    except ApiError as error:
        if error.status == 501:
            return None
        raise
    tokens: Any = (decode_object(raw) or {}).get("tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        return None
    return tokens


class _CannotCountError(Exception):
    """The engine has no usable `/tokenize`; it will refuse over-long input itself."""
