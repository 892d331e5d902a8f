"""Who may talk to the gateway: a name it was called by, a web origin, a key. Checked before anything is read.

A page on any web site can make a visitor's browser send requests to 127.0.0.1, either openly (`Origin`) or
by pointing its own name there (DNS rebinding, seen in `Host`); engines check neither.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import re
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planner.serve.gateway.context import Gateway
from planner.serve.gateway.errors import ApiError

_log = logging.getLogger(__name__)
PUBLIC_PATHS = frozenset({"/health"})
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:\[\]/@]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)
_LOCAL_ORIGIN = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_ALLOWED_METHODS = "GET, POST, OPTIONS"
_ALLOWED_HEADERS = "Authorization, Content-Type, X-Api-Key"


class Guard:
    """ASGI middleware around the whole application; also writes the headers every answer has, and the counters."""

    def __init__(self, app: ASGIApp, *, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._hosts = frozenset(_host_key(host) for host in gateway.config.allowed_hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in gateway.config.allowed_origins)
        self._key_digest = _digest(gateway.config.api_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "There are no web sockets here."})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        metrics = self._gateway.metrics
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        started = time.perf_counter()
        status: int | None = None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._mark(MutableHeaders(raw=message["headers"]), origin)
            await send(message)

        metrics.in_flight += 1
        try:
            self._check_host(headers)
            self._check_origin(origin)
            if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
                await _preflight(send_marked)
                return
            if scope["path"] not in PUBLIC_PATHS:
                self._check_key(headers)
            await self._app(scope, receive, send_marked)
        except ApiError as refusal:
            await refusal.response()(scope, receive, send_marked)
        except Exception:
            _log.exception("unexpected failure at %s", scope["path"][:120])
            if status is not None:
                raise  # half an answer is out; only a cut connection can tell
            sorry = ApiError(500, "The gateway failed unexpectedly; its log says more.", code="internal_error")
            await sorry.response()(scope, receive, send_marked)
        finally:
            metrics.in_flight -= 1
            # Without a status the client, or the whole gateway, went away before there was an answer.
            metrics.answered(scope["path"], status or 499, time.perf_counter() - started)

    def _mark(self, headers: MutableHeaders, origin: str | None) -> None:
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Cache-Control"] = "no-store"
        headers.add_vary_header("Origin")
        if origin is not None and self._origin_allowed(origin):
            headers["Access-Control-Allow-Origin"] = origin

    def _check_host(self, headers: Headers) -> None:
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0].strip()) if len(hosts) == 1 else None
        if match is not None:
            name = match["name"].lower().rstrip(".")
            if name in self._hosts or f"{name}:{match['port']}" in self._hosts:
                return
        raise ApiError(
            403,
            "This gateway answers only to its own names, such as 127.0.0.1 and localhost; the request's Host "
            "header has another one. Use the address that `planner status` shows.",
            code="host_not_allowed",
        )

    def _check_origin(self, origin: str | None) -> None:
        if origin is not None and not self._origin_allowed(origin):
            raise ApiError(
                403, "Web pages from other sites may not use this gateway (Origin header).", code="origin_not_allowed"
            )

    def _origin_allowed(self, origin: str) -> bool:
        return origin.lower() in self._origins or _LOCAL_ORIGIN.fullmatch(origin) is not None

    def _check_key(self, headers: Headers) -> None:
        """Any one right key is enough; all candidates are compared, in constant time.

        `Basic` with the key as password is for clients that can be given a base address and nothing else
        (`http://planner:KEY@127.0.0.1:PORT`): LangChain's and LlamaIndex's llamafile classes.
        """
        candidates = headers.getlist("x-api-key")
        for authorization in headers.getlist("authorization"):
            scheme, _, credentials = authorization.strip().partition(" ")
            if scheme.lower() == "bearer":
                candidates.append(credentials.strip())
            elif scheme.lower() == "basic":
                candidates.append(_basic_password(credentials.strip()))
        right = [hmac.compare_digest(_digest(candidate), self._key_digest) for candidate in candidates]
        if any(right):
            return
        problem = "The API key is wrong." if any(candidates) else "No API key was sent."
        raise ApiError(
            401,
            f"{problem} Send 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'; `planner status` names the key's file.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": 'Bearer realm="planner"'},
        )


async def _preflight(send: Send) -> None:
    """Answer to a browser's question about an origin that has just been found allowed."""
    headers = [
        (b"access-control-allow-methods", _ALLOWED_METHODS.encode()),
        (b"access-control-allow-headers", _ALLOWED_HEADERS.encode()),
        (b"access-control-max-age", b"600"),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def _host_key(host: str) -> str:
    """An allowed host as it is compared: lower case, IPv6 in brackets."""
    host = host.strip().lower().rstrip(".")
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _basic_password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _digest(key: str) -> bytes:
    """Equal length whatever was sent, so that the comparison's time says nothing about the key's length."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
