"""`/v1/models`, `/health` and `/metrics`: what runs here and how it is."""

from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from planner.core.models.model import Role
from planner.serve.gateway.context import Gateway, gateway_of, names_of
from planner.serve.gateway.errors import ApiError, json_response
from planner.serve.gateway.tokens import input_limit
from planner.serve.gateway.upstream import RoleState, RoleStatus


async def models(request: Request) -> Response:
    """Every model of the deployment, ready or not."""
    gateway = gateway_of(request)
    cards = [_card(gateway, status) for status in gateway.config.upstreams.all() if status.model is not None]
    return json_response({"object": "list", "data": cards})


async def model(request: Request) -> Response:
    """One of them, by any of its names."""
    gateway = gateway_of(request)
    wanted = str(request.path_params["name"]).lower()
    for status in gateway.config.upstreams.all():
        if status.model is not None and wanted in (name.lower() for name in names_of(status.role, status.model)):
            return json_response(_card(gateway, status))
    raise ApiError(404, f"No model '{wanted[:120]}' runs here.", code="model_not_found", param="model")


def _card(gateway: Gateway, status: RoleStatus) -> dict[str, Any]:
    """OpenAI's model object and what a client of ours wants to know besides; counts are tokens.

    `context_length` is what one request can really use, not what the model was trained for.
    """
    model, upstream = status.model, status.upstream
    assert model is not None
    embeds = status.role is Role.EMBEDDING
    card: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": gateway.created,
        "owned_by": model.id.partition("/")[0],
        "role": status.role.value,
        "aliases": list(names_of(status.role, model)[1:]),
        "state": status.state.value,
        "context_length": None,
        "context_length_trained": model.context_length,
        "embedding_length": model.embedding_length if embeds else None,
    }
    if embeds:
        prompts = {"query": model.prompts.query, "document": model.prompts.document}
        card["input_types"] = [name for name, prompt in prompts.items() if prompt]
        card["dimensions"] = sorted({*model.matryoshka, *filter(None, [model.embedding_length])})
    if upstream is not None:
        context = input_limit(upstream) if embeds else min(upstream.context, model.context_length)
        card |= {
            "context_length": context,
            "quant": upstream.quant,
            "engine": upstream.engine,
            "engine_version": upstream.engine_version,
        }
    return card


async def health(request: Request) -> Response:
    """The state of each role, without a key: 200 when all are ready, else 503. Says nothing else."""
    upstreams = gateway_of(request).config.upstreams
    states = {status.role.value: status.state.value for status in upstreams.all()}
    if upstreams.ready:
        return json_response({"status": "ok", "roles": states})
    word = RoleState.FAILED if RoleState.FAILED in states.values() else RoleState.LOADING
    body = {"status": word.value, "roles": states}
    return json_response(body, status=503, headers={"Retry-After": "2"})


async def metrics(request: Request) -> Response:
    """Prometheus text."""
    gateway = gateway_of(request)
    page = gateway.metrics.render(gateway.config.upstreams.all(), gateway.turns)
    return PlainTextResponse(page, media_type="text/plain; version=0.0.4")
