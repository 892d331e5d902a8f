"""HTTP the careful way: one place for timeouts, retries, redirects and the words for what went wrong.

requests and urllib3 are imported when a session is made, never with this module: planning needs no network.
"""

import ipaddress
import random
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin, urlsplit

from planner import __version__
from planner.errors import OfflineError, PlannerError, RemoteError

if TYPE_CHECKING:
    import requests

USER_AGENT = f"planner/{__version__}"
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
TRIES = 4
RETRY_AFTER_CAP_S = 60.0
RETRY_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5


class NetworkSettings(Protocol):
    """The part of the settings that this room looks at."""

    @property
    def offline(self) -> bool:
        """Whether no connection may be opened."""


def make_session(settings: NetworkSettings, *, tries: int = TRIES) -> "requests.Session":
    """A session that cannot hang, leak or talk in the clear.

    Connect 5 s and read 30 s unless a request says otherwise; idempotent requests are tried `tries` times with
    exponential pauses and jitter, `Retry-After` is honoured up to 60 s (a longer one is handed to the caller as
    the answer it is). Proxies come from the environment, credentials never do (no netrc, no cookies).
    TLS is always verified. With `offline`, every request raises OfflineError before a socket exists.
    """
    from planner.net.adapter import new_session  # noqa: PLC0415  # requests takes 90 ms to import

    return new_session(offline=settings.offline, tries=tries)


def require_online(settings: NetworkSettings, purpose: str) -> None:
    """Raise OfflineError when `purpose` (“downloading X”) would need the network and offline mode is on."""
    if settings.offline:
        raise OfflineError(
            f"{purpose} needs the network, and offline mode is on.",
            hint="Run it once without --offline (and without PLANNER_OFFLINE or HF_HUB_OFFLINE).",
        )


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address literal) is this machine."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(host: str) -> bool:
    """Whether `host` names something that is not on the public internet, as far as its name tells."""
    name = host.lower().rstrip(".")
    if name.endswith((".localhost", ".local", ".internal", ".lan")) or not {".", ":"} & set(name):
        return True
    try:
        return not ipaddress.ip_address(name).is_global
    except ValueError:
        pass
    try:
        # `127.1`, `0x7f.0.0.1`: not canonical, but the resolver takes them for addresses all the same.
        return not ipaddress.IPv4Address(socket.inet_aton(name)).is_global
    except OSError:
        return False


def check_url(url: str) -> None:
    """Raise RemoteError unless `url` is https, or http to this very machine, and carries no password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.username or parts.password:
        raise RemoteError(f"The address of {host} carries credentials.", reference="insecure-url")
    if not host or parts.scheme not in {"http", "https"} or (parts.scheme == "http" and not is_loopback(host)):
        raise RemoteError(
            f"Refused to use {_shown(url)}: only https is used, and plain http only on this machine.",
            hint="Something on the way offers an unprotected connection; a mirror must speak https.",
            reference="insecure-url",
        )


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what has to stay the same for credentials to travel along."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def open_url(
    session: "requests.Session",
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    secret_headers: Mapping[str, str] | None = None,
    timeout: tuple[float, float] | None = None,
    body: bytes | None = None,
) -> "requests.Response":
    """Send a request and follow redirects by our rules; the answer's body is not read yet. The caller closes it.

    Every hop must pass `check_url`; a public server cannot send us into a private network; `secret_headers` go
    to the origin of `url` only and are gone for good once a redirect has left it. A request with a `body` follows
    no redirect. Raises RemoteError.
    """
    home = origin(url)
    for _ in range(_MAX_REDIRECTS + 1):
        check_url(url)
        at_home = origin(url) == home
        if not at_home:
            secret_headers = None
        sent = {**(headers or {}), **(secret_headers or {})}
        try:
            response = session.request(
                method, url, headers=sent, stream=True, allow_redirects=False, timeout=timeout, data=body
            )
        except Exception as error:
            raise network_error(error, url) from error
        location = response.headers.get("Location")
        if response.status_code not in _REDIRECTS or not location:
            return response
        response.close()
        if body is not None:
            break
        target = urljoin(url, location)
        host = urlsplit(target).hostname or ""
        if is_private(host) and not is_private(urlsplit(url).hostname or ""):
            raise RemoteError(
                f"{urlsplit(url).hostname} redirects to {host}, which is not on the public internet. Not followed.",
                reference="redirect-refused",
            )
        url = target
    what = "redirects, which no such request follows" if body is not None else f"more than {_MAX_REDIRECTS} redirects"
    raise RemoteError(f"{_shown(url)}: {what}.", reference="redirect-refused")


def retry_after_s(headers: Mapping[str, str], *, now: Callable[[], float] = time.time) -> float | None:
    """Seconds the server asks to wait (`Retry-After` as seconds or as a date); None without a usable value."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now()) if text else None
    except (ValueError, TypeError, OverflowError):
        return None


def backoff_s(failures: int, *, base_s: float = 0.5, cap_s: float = 15.0) -> float:
    """Pause after the n-th failure in a row: exponential, with jitter so that many clients do not march in step."""
    return min(cap_s, base_s * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)  # noqa: S311  # not secret


def come_back_later(host: str, seconds: float) -> RemoteError:
    """The error for a server that asks for a longer pause than we are willing to sit through."""
    minutes = max(1, round(seconds / 60))
    return RemoteError(
        f"{host} asks to wait {minutes} min before the next request (rate limit).",
        hint=f"Try again in {minutes} min; what was downloaded so far is kept. Being logged in raises most limits.",
        reference="rate-limited",
    )


def network_error(error: Exception, url: str) -> PlannerError:
    """Put any failure of requests, urllib3 or the socket below into words. Our own errors pass through."""
    if isinstance(error, PlannerError):
        return error
    from planner.net.adapter import describe  # noqa: PLC0415  # requests takes 90 ms to import

    return describe(error, url)


def _shown(url: str) -> str:
    """An address for messages: no query (signed links are secrets), no credentials, no control characters."""
    parts = urlsplit(url)
    try:
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        port = ""
    shown = f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
    return "".join(c for c in shown if c.isprintable())[:200]
