"""The door: every request goes through here, gets an id, is checked, counted, given a place, and written down.

What an outsider sends is looked at in this order: the name it came for, the web page it came from, its key; only then
anything else of it.
"""

import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planner.serve.gateway.access_log import AccessEntry, now
from planner.serve.gateway.auth import PUBLIC_PATHS, Guard
from planner.serve.gateway.context import Gateway
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.record import HEADER, RequestRecord, current, request_id, role_of, route_of

_log = logging.getLogger(__name__)
_ALLOWED_METHODS = "GET, POST, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, X-Api-Key, X-Request-Id"
_GONE = 499


class Door:
    """ASGI middleware around the whole application; also writes the headers every answer has."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        config = gateway.config
        self._app = app
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
                self._mark(MutableHeaders(raw=message["headers"]), origin, record)
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
        with self._gateway.turns.place(role_of(scope["path"])):
            await self._app(scope, receive, send)

    def _mark(self, headers: MutableHeaders, origin: str | None, record: RequestRecord) -> None:
        headers[HEADER] = record.id
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cache-Control"] = "no-store"
        headers.add_vary_header("Origin")
        if origin is not None and self._guard.origin_allowed(origin):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = f"{HEADER}, Retry-After"

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
