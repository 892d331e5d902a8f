"""`/v1/embeddings`: prompts added, input checked before it is sent, vectors checked before they are returned."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from planner.core.models.model import Prompts, Role
from planner.serve.gateway.context import Gateway, gateway_of
from planner.serve.gateway.engine import EngineTalk
from planner.serve.gateway.errors import ApiError, json_response, too_long, wrong
from planner.serve.gateway.fields import boolean, integer, model_name, one_of, text
from planner.serve.gateway.limits import read_object, unless_gone
from planner.serve.gateway.tokens import count_tokens, cut_tokens, input_limit, surely_fits
from planner.serve.gateway.upstream import Upstream
from planner.serve.gateway.vectors import (
    BadVectorsError,
    check_dimensions,
    encode_vector,
    read_vectors,
    shorten,
)

DEFAULT_TASK = "Given a web search query, retrieve relevant passages that answer the query"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingRequest:
    """A checked request. `texts` are still without prompts; `single` if the client sent one text, not a list.

    `truncate`: text beyond the model's limit is cut off instead of refused.
    """

    texts: list[str]
    single: bool
    input_type: str | None = None
    task: str = DEFAULT_TASK
    dimensions: int | None = None
    as_base64: bool = False
    truncate: bool = False


@dataclass(frozen=True)
class Embedded:
    """Vectors in the order of the texts, each already JSON, the tokens they took, and which texts were cut."""

    vectors: list[Any]
    tokens: int
    truncated: tuple[int, ...] = ()


async def embeddings(request: Request) -> Response:
    """OpenAI's embeddings; `input_type` (`query`, `document`) and `task` add the prompt the model knows.

    With `truncate` the answer names in `truncated` the texts that were cut.
    """
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    wanted = parse(body, "input", max_inputs=gateway.config.max_inputs)
    upstream = gateway.upstream(Role.EMBEDDING, model_name(body))
    embedded = await unless_gone(request.receive, embed(gateway, upstream, wanted, param="input"))
    data = [
        {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    answer: dict[str, Any] = {"object": "list", "model": upstream.model.id, "data": data, "usage": usage}
    if wanted.truncate:
        answer["truncated"] = list(embedded.truncated)
    return json_response(answer)


def parse(body: Mapping[str, Any], field: str, *, max_inputs: int) -> EmbeddingRequest:
    """Check the fields of an embedding request whose texts stand in `field`. Raises ApiError 400."""
    value = body.get(field)
    if value is None:
        raise ApiError(400, f"'{field}' is missing.", code="missing_field", param=field)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise wrong(field, "must be a text or a list of at least one text")
    if any(isinstance(item, int | list) for item in texts):
        raise ApiError(
            400,
            f"'{field}' holds token ids. They come from another model's tokenizer and would be embedded wrongly "
            "without notice, so send texts; with LangChain's OpenAIEmbeddings set check_embedding_ctx_length=False.",
            code="token_ids_not_supported",
            param=field,
        )
    if len(texts) > max_inputs:
        raise wrong(field, f"holds {len(texts)} texts; send at most {max_inputs} at a time")
    for index, item in enumerate(texts):
        place = field if isinstance(value, str) else f"{field}[{index}]"
        if not isinstance(item, str):
            raise wrong(place, "must be a text")
        if not item.strip():
            raise _empty(place)
    options = {name: check(name, body[name]) for name, check in _OPTIONS.items() if body.get(name) is not None}
    return EmbeddingRequest(
        texts=texts,
        single=isinstance(value, str),
        input_type=options.get("input_type"),
        task=options.get("task", DEFAULT_TASK),
        dimensions=options.get("dimensions"),
        as_base64=options.get("encoding_format") == "base64",
        truncate=options.get("truncate", False),
    )


_OPTIONS = {
    "input_type": one_of("query", "document"),
    "task": text,
    "dimensions": integer(1, 2**20),
    "encoding_format": one_of("float", "base64"),
    "truncate": boolean,
}


def _empty(place: str) -> ApiError:
    return ApiError(
        400,
        f"'{place}' is empty. A model answers empty text with a vector that means nothing, so leave it out.",
        code="empty_input",
        param=place,
    )


def with_prompt(prompts: Prompts, wanted: EmbeddingRequest) -> list[str]:
    """The texts as the model was trained to see them. `{task}` is filled by replacement, so texts may hold braces."""
    before = {"query": prompts.query, "document": prompts.document}.get(wanted.input_type or "", "")
    before = before.replace("{task}", wanted.task)
    return [before + item for item in wanted.texts]


async def embed(gateway: Gateway, upstream: Upstream, wanted: EmbeddingRequest, *, param: str) -> Embedded:
    """Embed in batches; all or nothing.

    Raises ApiError: 400 for input that is too long or has no tokens, 502 for vectors that must not be stored.
    """
    talk = EngineTalk(gateway, upstream, param=param)
    length = upstream.model.embedding_length
    _check_dimensions(wanted, upstream, length)
    texts = with_prompt(upstream.model.prompts, wanted)
    places = [param] if wanted.single else [f"{param}[{index}]" for index in range(len(texts))]
    inputs, truncated = await _fitted(talk, texts, places, truncate=wanted.truncate)
    vectors: list[Any] = []
    tokens = 0
    for start in range(0, len(inputs), gateway.config.batch_texts):
        batch = inputs[start : start + gateway.config.batch_texts]
        raw = await talk.post("/v1/embeddings", {"input": batch, "encoding_format": "float"})
        try:
            checked, used = read_vectors(raw, count=len(batch), length=length)
            length = len(checked[0].values)
            _check_dimensions(wanted, upstream, length)
            if wanted.dimensions is not None and wanted.dimensions != length:
                checked = [shorten(vector, wanted.dimensions) for vector in checked]
        except BadVectorsError as error:
            raise await _report(talk, str(error), length=upstream.model.embedding_length) from error
        vectors += [encode_vector(vector, as_base64=wanted.as_base64) for vector in checked]
        tokens += used
        gateway.count_tokens(Role.EMBEDDING, prompt=used)
    return Embedded(vectors=vectors, tokens=tokens, truncated=truncated)


async def _fitted(
    talk: EngineTalk, texts: list[str], places: list[str], *, truncate: bool
) -> tuple[list[str | list[int]], tuple[int, ...]]:
    """What to send for each text: itself, or its first tokens when it is too long and may be cut; and which were.

    Raises ApiError 400 for texts without tokens, and for those that are too long and must not be cut.
    """
    limit = input_limit(talk.upstream)
    inputs: list[str | list[int]] = list(texts)
    doubtful = [index for index, item in enumerate(texts) if not surely_fits(item, limit)]
    counts = await count_tokens(talk, [texts[index] for index in doubtful])
    cut: list[int] = []
    for index, count in zip(doubtful, counts or (), strict=counts is not None):
        if count == 0:
            raise _empty(places[index])
        if count <= limit:
            continue
        tokens = await cut_tokens(talk, texts[index], limit) if truncate else None
        if tokens is None:
            raise too_long(
                tokens=count, limit=limit, what=f"'{places[index]}'", param=places[index], may_cut=not truncate
            )
        inputs[index] = tokens
        cut.append(index)
    return inputs, tuple(cut)


def _check_dimensions(wanted: EmbeddingRequest, upstream: Upstream, length: int | None) -> None:
    """`length` may be unknown until the engine has answered once."""
    model = upstream.model
    if wanted.dimensions is not None and length is not None:
        check_dimensions(wanted.dimensions, length=length, matryoshka=model.matryoshka, model_id=model.id)


async def _report(talk: EngineTalk, reason: str, *, length: int | None) -> ApiError:
    """Make the client's answer, and have whoever supervises the engine start it again.

    Once: an engine that was started again for this and answers a plain text is well, and the input is its trouble.
    Starting it again and again would end in giving it up, for everybody, after one client's three tries.
    """
    gateway, role, now = talk.gateway, talk.upstream.role, time.monotonic()
    gateway.metrics.bad_vectors()
    lately = now - gateway.spoilt_at.get(role, -math.inf) < _LATELY_S
    if lately and await _is_well(talk, length=length):
        _log.warning("no usable vectors for one request, others are answered: %s", reason)
        return ApiError(
            502,
            f"The embedding engine makes nothing usable of this input: {reason}. It was started again for that and "
            "answers other texts; send the texts one by one to find the one to change or leave out.",
            code="bad_vectors",
        )
    gateway.spoilt_at[role] = now
    _log.warning("embedding engine returned unusable vectors: %s", reason)
    tell = gateway.config.on_bad_vectors or gateway.config.upstreams.request_restart
    tell(role, reason)
    return ApiError(
        502,
        f"The embedding engine's answer cannot be used: {reason}. It is being restarted; try again in a moment.",
        code="bad_vectors",
    )


async def _is_well(talk: EngineTalk, *, length: int | None) -> bool:
    """Whether the engine makes vectors of a plain text, in as many places at a time as it has slots."""
    texts = [_PLAIN_TEXT] * max(1, talk.upstream.slots)
    try:
        async with asyncio.timeout(_WELL_S):
            raw = await talk.post("/v1/embeddings", {"input": texts, "encoding_format": "float"}, in_turn=False)
        read_vectors(raw, count=len(texts), length=length)
    except (ApiError, BadVectorsError, TimeoutError):
        return False
    return True


_PLAIN_TEXT = "The quick brown fox jumps over the lazy dog."
_WELL_S = 30.0
_LATELY_S = 600.0
