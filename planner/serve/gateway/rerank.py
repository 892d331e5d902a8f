"""`/v1/rerank`: documents scored against a query, if a reranker runs."""

import math
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from planner.core.models.model import Role
from planner.serve.gateway.context import gateway_of
from planner.serve.gateway.engine import EngineTalk
from planner.serve.gateway.errors import ApiError, json_response, wrong
from planner.serve.gateway.fields import integer, model_name, pick, text
from planner.serve.gateway.limits import read_object, unless_gone

_MAX_DOCUMENTS = 1024


async def rerank(request: Request) -> Response:
    """`{"query", "documents", "top_n"?}` → `{"results": [{"index", "relevance_score"}]}`, best first."""
    gateway = gateway_of(request)
    body = await read_object(request, gateway)
    upstream = gateway.upstream(Role.RERANKER, model_name(body))
    fields = pick(body, {"query": text, "documents": _documents, "top_n": integer(1, 2**31)}, required=_REQUIRED)
    talk = EngineTalk(gateway, upstream, param="documents")
    answer = await unless_gone(request.receive, talk.post_object("/v1/rerank", fields))
    results = _results(answer.get("results"), len(fields["documents"]), top_n=fields.get("top_n"))
    if results is None:
        raise ApiError(502, "The reranker's answer is not a list of scores.", code="bad_engine_answer")
    usage = answer.get("usage")
    if isinstance(usage, dict) and isinstance(tokens := usage.get("prompt_tokens"), int):
        gateway.count_tokens(Role.RERANKER, prompt=tokens)
    best = sorted(results, key=lambda result: (-result["relevance_score"], result["index"]))
    top = best[: fields.get("top_n")]
    return json_response({"object": "list", "model": upstream.model.id, "results": top, "usage": usage or {}})


_REQUIRED = ("query", "documents")


def _documents(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_DOCUMENTS:
        raise wrong(name, f"must be a list of 1 to {_MAX_DOCUMENTS} texts")
    texts = [item.get("text") if isinstance(item, dict) else item for item in value]
    return [text(f"{name}[{index}]", item) for index, item in enumerate(texts)]


def _results(value: Any, count: int, *, top_n: int | None) -> list[dict[str, Any]] | None:
    """The engine's results, or None unless each is a finite score of another document that was sent, and none lacks.

    An engine may leave out those beyond `top_n`, or not know it.
    """
    if not isinstance(value, list):
        return None
    results: list[dict[str, Any]] = []
    for item in value:
        index, score = (item.get("index"), item.get("relevance_score")) if isinstance(item, dict) else (None, None)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
            return None
        if not isinstance(score, int | float) or not math.isfinite(score):
            return None
        results.append({"index": index, "relevance_score": score})
    if len({result["index"] for result in results}) != len(results) or len(results) < min(count, top_n or count):
        return None
    return results
