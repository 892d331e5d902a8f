"""The door: every request goes through here, gets an id, is checked, counted, given a place, and written down.

What an outsider sends is looked at in this order: the name it came for, the web page it came from, its key; only then
anything else of it.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planner.serve.gateway.access_log import AccessEntry, now
from planner.serve.gateway.auth import PUBLIC_PATHS, Guard
from planner.serve.gateway.context import Gateway
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.limits import ClientGoneError
from planner.serve.gateway.record import HEADER, RequestRecord, current, request_id, role_of, route_of

_log = logging.getLogger(__name__)
_ALLOWED_METHODS = "GET, POST, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, X-Api-Key, X-Request-Id"
_HEADER = HEADER.lower().encode()
_MARKS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"), (b"vary", b"Origin"))
_EXPOSED = f"{HEADER}, Retry-After".encode()
_GONE = 499

Handler = Callable[[Request], Awaitable[Response]]
"""Answers a request; may raise ApiError and ClientGoneError."""


class Door:
    """ASGI middleware around the whole application; also writes the headers every answer has.

    POST requests to the paths in `posts` it hands to their handlers itself: a router in between takes longer to find
    the way than they take to answer.
    """

    def __init__(self, app: ASGIApp, *, gateway: Gateway, posts: Mapping[str, Handler]) -> None:
        config = gateway.config
        self._app = app
        self._posts = posts
        self._gateway = gateway
        self._guard = Guard(hosts=config.allowed_hosts, origins=config.allowed_origins, keys=gateway.keys)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no web sockets here."})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        record = RequestRecord(request_id(headers.get(HEADER)))
        current.set(record)
        origin = headers.get("origin")
        started = time.perf_counter()
        status: int | None = None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._marks(origin, record)]
            else:
                record.sent_bytes += len(message.get("body", b""))
            await send(message)

        self._gateway.metrics.in_flight += 1
        try:
            await self._admit(scope, receive, send_marked, headers, record)
        except ApiError as refusal:
            record.error = refusal.code
            await refusal.response()(scope, receive, send_marked)
        except Exception:
            _log.exception("unexpected failure of request %s at %s", record.id, route_of(scope["path"]))
            record.error = "internal_error"
            if status is not None:
                raise  # half an answer is out; only a cut connection can tell
            sorry = ApiError(500, "The gateway failed unexpectedly; its log says more.", code="internal_error")
            await sorry.response()(scope, receive, send_marked)
        finally:
            # Without a status the client, or the whole gateway, went away before there was an answer.
            self._remember(scope, record, status or _GONE, time.perf_counter() - started)

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, record: RequestRecord
    ) -> None:
        origin = headers.get("origin")
        self._guard.check_head(scope)
        self._guard.check_length(headers)
        self._guard.check_host(headers)
        self._guard.check_origin(origin)
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
            await _preflight(send)
            return
        if scope["path"] not in PUBLIC_PATHS:
            record.key = self._guard.check_key(headers)
        handler = self._posts.get(scope["path"]) if scope["method"] == "POST" else None
        with self._gateway.turns.place(role_of(scope["path"])):
            if handler is None:
                await self._app(scope, receive, send)
                return
            try:
                response = await handler(Request(scope, receive, send))
            except ClientGoneError:
                response = Response(status_code=_GONE)  # nobody reads it; the counters do
            await response(scope, receive, send)

    def _marks(self, origin: str | None, record: RequestRecord) -> list[tuple[bytes, bytes]]:
        """Headers that every answer has, none of which is set anywhere else."""
        marks = [(_HEADER, record.id.encode("latin-1")), *_MARKS]
        if origin is not None and self._guard.origin_allowed(origin):
            marks += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", _EXPOSED),
            ]
        return marks

    def _remember(self, scope: Scope, record: RequestRecord, status: int, seconds: float) -> None:
        self._gateway.turns.release(record.held_bytes + record.decoded_bytes)
        self._gateway.metrics.in_flight -= 1
        self._gateway.metrics.answered(scope["path"], status, seconds)
        write: Callable[[AccessEntry], None] | None = self._gateway.config.access_log
        if write is not None:
            client = scope.get("client")
            write(
                AccessEntry(
                    time=now(),
                    id=record.id,
                    method=scope["method"] if scope["method"] in _METHODS else "other",
                    route=route_of(scope["path"]),
                    status=status,
                    seconds=round(seconds, 6),
                    key=record.key,
                    client=str(client[0]) if client else "",
                    request_bytes=record.held_bytes,
                    response_bytes=record.sent_bytes,
                    waited_seconds=round(record.waited_s, 6),
                    prompt_tokens=record.tokens.get("prompt", 0),
                    completion_tokens=record.tokens.get("completion", 0),
                    error=record.error,
                )
            )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _preflight(send: Send) -> None:
    """Answer to a browser's question about an origin that has just been found allowed."""
    headers = [
        (b"access-control-allow-methods", _ALLOWED_METHODS.encode()),
        (b"access-control-allow-headers", _ALLOWED_HEADERS.encode()),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
