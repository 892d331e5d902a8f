"""`/v1/chat/completions` and `/v1/completions`: known fields in, the engine's answer out, streamed if asked for."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from planner.core.models.model import Role
from planner.serve.gateway.context import Gateway, gateway_of
from planner.serve.gateway.engine import EngineTalk
from planner.serve.gateway.errors import json_response
from planner.serve.gateway.events import IsLast, Shape
from planner.serve.gateway.fields import COMPLETION, SAMPLING, model_name, pick
from planner.serve.gateway.limits import read_object, unless_gone
from planner.serve.gateway.messages import CHAT
from planner.serve.gateway.stream import EventStream
from planner.serve.gateway.upstream import Upstream


async def chat_completions(request: Request) -> Response:
    """OpenAI's chat completions; `timings` of llama.cpp are passed on as they are.

    LlamaIndex's llamafile class puts its sampling into `options`, and takes `[DONE]` for JSON: it gets its settings
    heard, and a stream that just ends.
    """
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    fields = pick(body, CHAT, required=("messages",))
    done = True
    if isinstance(options := body.get("options"), dict):
        fields = pick(options, _OPTIONS) | fields
        done = False
    path = "/v1/chat/completions"
    return await _complete(request, gateway, model_name(body), path, fields, param="messages", done=done)


async def completions(request: Request) -> Response:
    """OpenAI's legacy completions: raw text on, no chat template."""
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    fields = pick(body, COMPLETION, required=("prompt",))
    return await _complete(request, gateway, model_name(body), "/v1/completions", fields, param="prompt")


async def _complete(
    request: Request,
    gateway: Gateway,
    name: str | None,
    path: str,
    fields: dict[str, Any],
    *,
    param: str,
    done: bool = True,
) -> Response:
    if (limit := fields.pop("max_completion_tokens", None)) is not None:
        fields["max_tokens"] = limit
    upstream = gateway.upstream(Role.GENERATION, name)
    # A stream that ends with its usage has told the same before, as timings.
    told_twice = bool(fields.get("stream") and (fields.get("stream_options") or {}).get("include_usage"))

    def shape(answer: dict[str, Any]) -> dict[str, Any]:
        if not told_twice or answer.get("usage") is not None:
            count_usage(gateway, answer)
        return {**answer, "model": upstream.model.id}

    return await relay(request, gateway, upstream, path, fields, param=param, shape=shape, done=done)


_OPTIONS = {name: check for name, check in SAMPLING.items() if name != "stream"}


async def relay(
    request: Request,
    gateway: Gateway,
    upstream: Upstream,
    path: str,
    fields: dict[str, Any],
    *,
    param: str,
    shape: Shape,
    is_last: IsLast | None = None,
    done: bool = True,
) -> Response:
    """Ask the engine and pass its answer through `shape`, whole or event by event as `fields["stream"]` says.

    `param` names the field that holds the text; `done`: a stream's `[DONE]` is passed on.
    """
    talk = EngineTalk(gateway, upstream, param=param)
    if fields.get("stream"):
        answer = await unless_gone(request.receive, talk.open(path, fields))
        return EventStream(talk, answer, shape=shape, is_last=is_last, done=done)
    return json_response(shape(await unless_gone(request.receive, talk.post_object(path, fields))))


def count_usage(gateway: Gateway, answer: dict[str, Any]) -> None:
    """Add the tokens an answer reports: from `usage`, else from llama.cpp's `timings`."""
    usage, timings = answer.get("usage"), answer.get("timings")
    if isinstance(usage, dict):
        prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    elif isinstance(timings, dict):
        prompt = _count(timings, "prompt_n") + _count(timings, "cache_n")
        completion = _count(timings, "predicted_n")
    else:
        return
    gateway.count_tokens(Role.GENERATION, prompt=prompt, completion=completion)


def _count(counts: dict[str, Any], name: str) -> int:
    value = counts.get(name)
    return value if isinstance(value, int) and value > 0 else 0
