"""`/embedding` and `/completion` as LangChain's and LlamaIndex's llamafile classes know them.

Today's engines answer `/embedding` with another shape, on which both clients fail.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from planner.core.models.model import Role
from planner.serve.gateway.chat import count_usage, relay
from planner.serve.gateway.context import gateway_of
from planner.serve.gateway.embeddings import embed, parse
from planner.serve.gateway.errors import json_response
from planner.serve.gateway.fields import LEGACY_COMPLETION, model_name, pick
from planner.serve.gateway.limits import read_object, unless_gone

_COMPLETION_FIELDS = (
    "index",
    "content",
    "stop",
    "stop_type",
    "stopping_word",
    "truncated",
    "tokens_predicted",
    "tokens_evaluated",
    "timings",
)


async def embedding(request: Request) -> Response:
    """`{"content": text}` → `{"embedding": […]}`; `{"content": [texts]}` → `{"results": [{"embedding": […]}]}`."""
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    wanted = parse(body, "content", max_inputs=gateway.config.max_inputs)
    upstream = gateway.upstream(Role.EMBEDDING, model_name(body))
    embedded = await unless_gone(request.receive, embed(gateway, upstream, wanted, param="content"))
    if wanted.single:
        return json_response({"embedding": embedded.vectors[0]})
    return json_response({"results": [{"embedding": vector} for vector in embedded.vectors]})


async def completion(request: Request) -> Response:
    """llama.cpp's own completion: `prompt` and `n_predict` in, `content` out; streams end with `"stop": true`.

    Of the engine's answer only the results are passed on, not its settings, slot and prompt.
    """
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    fields = pick(body, LEGACY_COMPLETION, required=("prompt",))
    upstream = gateway.upstream(Role.GENERATION, model_name(body))

    def shape(answer: dict[str, Any]) -> dict[str, Any]:
        count_usage(gateway, answer)
        return {name: answer[name] for name in _COMPLETION_FIELDS if name in answer} | {"model": upstream.model.id}

    return await relay(
        request, gateway, upstream, "/completion", fields, param="prompt", shape=shape, is_last=_is_last
    )


def _is_last(event: dict[str, Any]) -> bool:
    return event.get("stop") is True
