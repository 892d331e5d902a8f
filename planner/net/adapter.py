"""What a session is made of. Imports requests: reached through `planner.net.http`, and only when needed."""

import socket
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import BaseHTTPResponse
from urllib3 import exceptions as urllib3_errors
from urllib3.connectionpool import ConnectionPool
from urllib3.util.retry import Retry

from planner.errors import OfflineError, RemoteError
from planner.net.http import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    RETRY_AFTER_CAP_S,
    RETRY_STATUSES,
    USER_AGENT,
    check_url,
    retry_after_s,
)


class PatientRetry(Retry):
    """urllib3's retries, except that a `Retry-After` beyond the cap ends them: the caller says when to come back."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: Any = None,
    ) -> Self:
        """Count one failure; raises MaxRetryError when there will be no further try."""
        if isinstance(error, urllib3_errors.SSLError):
            raise urllib3_errors.MaxRetryError(_pool, url or "", error)  # type: ignore[arg-type]  # as urllib3 does
        if response is not None and (retry_after_s(response.headers) or 0.0) > RETRY_AFTER_CAP_S:
            reason = urllib3_errors.ResponseError(f"status {response.status}")
            raise urllib3_errors.MaxRetryError(_pool, url or "", reason)  # type: ignore[arg-type]  # as urllib3 does
        return super().increment(method, url, response, error, _pool, _stacktrace)

    def sleep_for_retry(self, response: BaseHTTPResponse) -> bool:
        """Sleep as the server asks; a header that cannot be read counts as none (urllib3 would raise)."""
        if retry_after_s(response.headers) is None:
            return False
        return super().sleep_for_retry(response)


class GuardedAdapter(HTTPAdapter):
    """Every request passes here: offline mode, the rule about plain http, default timeouts."""

    def __init__(self, *, offline: bool, tries: int) -> None:
        super().__init__(
            max_retries=PatientRetry(
                total=tries - 1,
                redirect=0,
                backoff_factor=0.5,
                backoff_jitter=0.5,
                backoff_max=15,
                status_forcelist=RETRY_STATUSES,
                allowed_methods=frozenset({"GET", "HEAD", "OPTIONS"}),
                raise_on_status=False,
                raise_on_redirect=False,
            )
        )
        self._offline = offline

    def send(  # noqa: PLR0917  # the signature is requests'
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send one request; raises OfflineError or RemoteError before any socket is opened."""
        url = request.url or ""
        if self._offline:
            raise OfflineError(
                f"{urlsplit(url).hostname} would have to be asked, and offline mode is on.",
                hint="Run it without --offline (and without PLANNER_OFFLINE or HF_HUB_OFFLINE).",
            )
        check_url(url)
        return super().send(
            request,
            stream=stream,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S) if timeout is None else timeout,
            verify=verify or True,
            cert=cert,
            proxies=dict(proxies) if proxies else None,
        )


def _no_credentials(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand in for netrc: without it requests would replace our own Authorization header by one from there."""
    return request


def new_session(*, offline: bool, tries: int) -> requests.Session:
    """A session with the guarded adapter for both schemes; see `planner.net.http.make_session`."""
    session = requests.Session()
    session.headers["User-Agent"] = USER_AGENT
    session.auth = _no_credentials
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        session.mount(scheme, GuardedAdapter(offline=offline, tries=tries))
    return session


def describe(error: Exception, url: str) -> RemoteError:
    """The error for people behind a failure of requests, urllib3 or the socket."""
    host = urlsplit(url).hostname or "the server"
    chain = list(_causes(error))
    if any(isinstance(cause, requests.exceptions.SSLError | urllib3_errors.SSLError) for cause in chain):
        return RemoteError(
            f"The certificate of {host} could not be verified; nothing was sent.",
            hint="Behind a company proxy, set REQUESTS_CA_BUNDLE and SSL_CERT_FILE to its CA bundle.",
            reference="tls",
        )
    via = _proxy(url)
    if any(isinstance(cause, requests.exceptions.ProxyError | urllib3_errors.ProxyError) for cause in chain):
        return RemoteError(
            f"The proxy {via or 'set in the environment'} did not let the request to {host} through.",
            hint="Check HTTPS_PROXY, HTTP_PROXY and NO_PROXY.",
            reference="proxy",
        )
    through = f" through the proxy {via}" if via else ""
    if any(isinstance(cause, socket.gaierror | urllib3_errors.NameResolutionError) for cause in chain):
        what, reference = f"The name {host} could not be looked up", "dns"
    elif any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        what, reference = f"{host} refused the connection{through}", "network"
    elif any(_is_timeout(cause) for cause in chain):
        what, reference = f"{host} did not answer in time{through}", "timeout"
    else:
        what, reference = f"The connection to {host} failed{through} ({type(chain[-1]).__name__})", "network"
    return RemoteError(
        f"{what}.",
        hint="Check the network, or work with what is on this machine: --offline.",
        reference=reference,
    )


def _is_timeout(error: BaseException) -> bool:
    # urllib3 counts every connection that could not be made as a kind of timeout.
    if isinstance(error, urllib3_errors.NewConnectionError):
        return False
    return isinstance(error, requests.exceptions.Timeout | urllib3_errors.TimeoutError | TimeoutError)


def _causes(error: BaseException) -> list[BaseException]:
    """`error` and everything it wraps: requests and urllib3 nest causes in arguments and in `reason`."""
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(found) < 16:
        item = todo.pop(0)
        if isinstance(item, BaseException) and item not in found:
            found.append(item)
            todo += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _proxy(url: str) -> str:
    """The proxy the environment names for `url`, without credentials; empty when there is none."""
    proxy = get_environ_proxies(url).get(urlsplit(url).scheme, "")
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return f"{parts.hostname}:{parts.port}" if parts.hostname and parts.port else parts.hostname or ""
