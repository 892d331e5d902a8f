"""Who may talk to the gateway: a name it was called by, a web origin, a key. Checked before anything is read.

A page on any web site can make a visitor's browser send requests to 127.0.0.1, either openly (`Origin`) or
by pointing its own name there (DNS rebinding, seen in `Host`); engines check neither.
"""

import base64
import binascii
import re

from starlette.datastructures import Headers
from starlette.types import Scope

from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.keys import KeyRing

PUBLIC_PATHS = frozenset({"/health"})
MAX_HEAD_BYTES = 32 * 2**10
"""Request line and headers together."""
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s:\[\]/@]+)(?::(?P<port>\d{1,5}))?", re.IGNORECASE)
_LOCAL_ORIGIN = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.IGNORECASE)


class Guard:
    """The three checks. `hosts` are allowed with any port unless one is named; `origins` besides this machine's."""

    def __init__(self, *, hosts: tuple[str, ...], origins: tuple[str, ...], keys: KeyRing) -> None:
        self._hosts = frozenset(_host_key(host) for host in hosts)
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        self._keys = keys

    def check_host(self, headers: Headers) -> None:
        """Raises ApiError 403 for a name that is not one of ours."""
        hosts = headers.getlist("host")
        match = _HOST.fullmatch(hosts[0].strip()) if len(hosts) == 1 else None
        if match is not None:
            name = match["name"].lower().rstrip(".")
            if name in self._hosts or f"{name}:{match['port']}" in self._hosts:
                return
        raise ApiError(
            403,
            "This gateway answers only to its own names, such as 127.0.0.1 and localhost; the request's Host "
            "header has another one. Use the address that `planner status` shows, or start with --allow-host NAME.",
            code="host_not_allowed",
        )

    def check_head(self, scope: Scope) -> None:
        """Raises ApiError 431 for a head that is too long; the parser bounds only those that come in pieces."""
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEAD_BYTES:
            raise ApiError(
                431,
                f"The request's address and headers are longer than {MAX_HEAD_BYTES} bytes.",
                code="head_too_large",
                headers={"Connection": "close"},
            )

    def check_length(self, headers: Headers) -> None:
        """Raises ApiError 400 for a body whose end could be read in two ways, as by a proxy in front and by us.

        What follows a misread end would be taken for the next request on the connection (smuggling).
        """
        if "transfer-encoding" in headers and "content-length" in headers:
            raise ApiError(
                400,
                "The request has both Content-Length and Transfer-Encoding; send one of them.",
                code="ambiguous_length",
                headers={"Connection": "close"},
            )

    def check_origin(self, origin: str | None) -> None:
        """Raises ApiError 403 for a page of another site."""
        if origin is not None and not self.origin_allowed(origin):
            raise ApiError(
                403, "Web pages from other sites may not use this gateway (Origin header).", code="origin_not_allowed"
            )

    def origin_allowed(self, origin: str) -> bool:
        """Whether a page of that origin may read answers."""
        return origin.lower() in self._origins or _LOCAL_ORIGIN.fullmatch(origin) is not None

    def check_key(self, headers: Headers) -> str:
        """The name of the key that was sent; any one right key is enough. Raises ApiError 401.

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
        name = self._keys.name_of(candidates[:_MOST_KEYS])
        if name is not None:
            return name
        problem = "The API key is wrong." if any(candidates) else "No API key was sent."
        raise ApiError(
            401,
            f"{problem} Send 'Authorization: Bearer KEY' or 'X-Api-Key: KEY'; `planner status` names the key's file.",
            code="invalid_api_key",
            headers={"WWW-Authenticate": 'Bearer realm="planner"'},
        )


_MOST_KEYS = 4


def _host_key(host: str) -> str:
    """An allowed host as it is compared: lower case, IPv6 in brackets."""
    host = host.strip().lower().rstrip(".")
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _basic_password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
