"""The gateway: an ASGI application that puts one OpenAI-compatible, guarded address in front of the engines.

Routes: `/v1/embeddings`, `/v1/chat/completions`, `/v1/completions`, `/v1/rerank`, `/v1/models`, the older
`/embedding` and `/completion`, `/health` (public) and `/metrics`. Run it under uvicorn with lifespan on.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planner.serve.gateway.about import health, metrics, model, models
from planner.serve.gateway.chat import chat_completions, completions
from planner.serve.gateway.context import Gateway, GatewayConfig
from planner.serve.gateway.door import Door, Handler
from planner.serve.gateway.embeddings import embeddings
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.legacy import completion, embedding
from planner.serve.gateway.record import note_error
from planner.serve.gateway.rerank import rerank

__all__ = ["GatewayConfig", "create_app"]

_POSTS: dict[str, Handler] = {
    "/v1/embeddings": embeddings,
    "/v1/chat/completions": chat_completions,
    "/v1/completions": completions,
    "/v1/rerank": rerank,
    "/embedding": embedding,
    "/completion": completion,
}


def create_app(config: GatewayConfig) -> Starlette:
    """The gateway for a configuration. It reads `config.upstreams` anew at every request."""
    gateway = Gateway(config)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await gateway.aclose()

    app = Starlette(
        routes=[
            *(Route(path, handler, methods=["POST"]) for path, handler in _POSTS.items()),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/models/{name:path}", model, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        middleware=[Middleware(Door, gateway=gateway, posts=_POSTS)],
        exception_handlers={
            ApiError: _api_error,
            HTTPException: _http_exception,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.gateway = gateway
    return app


async def _api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _refused(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Unknown routes and methods, in the shape of all other errors."""
    assert isinstance(error, HTTPException)
    path = request.url.path[:120]
    if error.status_code == 405:
        message, code = f"{request.method[:20]} is not possible on {path}.", "method_not_allowed"
    elif error.status_code == 404:
        message, code = f"There is nothing at {path}. The API is under /v1.", "not_found"
    else:
        message, code = "The request cannot be answered.", "bad_request"
    return _refused(ApiError(error.status_code, message, code=code, headers=dict(error.headers or {})))


def _refused(error: ApiError) -> Response:
    note_error(error.code)
    return error.response()
