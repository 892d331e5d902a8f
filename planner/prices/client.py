"""Asking one provider: every request has a deadline, a size limit, and words for what went wrong.

The key goes in a header to the provider's own address and nowhere else; it is taken out of what comes back.
"""

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from planner.errors import PlannerError, RemoteError
from planner.net.http import CONNECT_TIMEOUT_S, NetworkSettings, backoff_s, make_session, open_url, retry_after_s
from planner.prices.keys import without_key
from planner.prices.provider import Answer, BusyError

READ_TIMEOUT_S = 10.0
LARGEST_ANSWER_BYTES = 32 * 2**20
"""Vast's whole market was 18,909 offers of 2 KB; what we ask for is a small part of it."""
TRIES = 3
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK_BYTES = 2**16


class Client:
    """Requests to one provider until a deadline on `clock`; one per thread."""

    def __init__(
        self,
        provider: str,
        settings: NetworkSettings,
        *,
        until: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._provider, self._until, self._clock, self._sleep = provider, until, clock, sleep
        self._session = make_session(settings, tries=1)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, secret: str | None = None) -> Answer:
        """Ask. Raises RemoteError for anything but success and 304, BusyError for a rate limit."""
        return self._ask(url, "GET", headers or {}, secret, None)

    def post(self, url: str, body: object) -> Answer:
        """Ask with a JSON document; raises as `get` does. A search changes nothing, so it may be repeated."""
        return self._ask(url, "POST", {"Content-Type": "application/json"}, None, msgspec.json.encode(body))

    def _ask(
        self, url: str, method: str, headers: Mapping[str, str], secret: str | None, body: bytes | None
    ) -> Answer:
        for failures in range(1, TRIES + 1):
            problem, wait_s = None, None
            try:
                answer = self._once(url, method, headers, secret, body)
            except PlannerError as error:
                if error.reference not in {"network", "timeout"}:
                    raise
                problem = error
            else:
                if answer.status < 400:
                    return answer
                if answer.status not in _RETRIED:
                    raise self._refusal(url, answer)
                wait_s = retry_after_s({"Retry-After": answer.headers.get("retry-after", "")})
                problem = self._refusal(url, answer, wait_s)
            pause = wait_s if wait_s is not None else backoff_s(failures, base_s=1.0)
            if failures == TRIES or self._clock() + pause >= self._until:
                raise problem
            self._sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _once(
        self, url: str, method: str, headers: Mapping[str, str], secret: str | None, body: bytes | None
    ) -> Answer:
        left = self._left(url)
        response = open_url(
            self._session,
            url,
            method=method,
            headers={"Accept": "application/json, */*;q=0.5", **headers},
            secret_headers=None if secret is None else {"Authorization": secret},
            timeout=(min(CONNECT_TIMEOUT_S, left), min(READ_TIMEOUT_S, left)),
            body=body,
        )
        with response:
            content = bytearray()
            try:
                for chunk in response.iter_content(_CHUNK_BYTES):
                    content += chunk
                    self._check_size(len(content))
                    self._left(url)
            except PlannerError:
                raise
            except Exception as error:
                raise RemoteError(
                    f"The answer of {self._provider} breaks off.",
                    hint="Try again; the other providers are not affected.",
                    reference="network",
                ) from error
            names = {name.lower(): value for name, value in response.headers.items()}
            return _clean(Answer(response.status_code, names, bytes(content)), secret)

    def _check_size(self, size: int) -> None:
        if size > LARGEST_ANSWER_BYTES:
            raise RemoteError(
                f"{self._provider} sent more than {LARGEST_ANSWER_BYTES // 2**20} MiB; it was not read.",
                reference="bad-answer",
            )

    def _left(self, url: str) -> float:
        left = self._until - self._clock()
        if left <= 0:
            host = urlsplit(url).hostname or self._provider
            raise RemoteError(f"{host} did not answer in time.", hint="Try again later.", reference="deadline")
        return left

    def _refusal(self, url: str, answer: Answer, wait_s: float | None = None) -> RemoteError:
        host = urlsplit(url).hostname or self._provider
        match answer.status:
            case 429:
                wait = 60.0 if wait_s is None else wait_s
                return BusyError(f"{host} allows no more requests for now (rate limit).", wait_s=wait)
            case 503 if wait_s is not None:
                return BusyError(f"{host} is closed for a while (503) and says when to come back.", wait_s=wait_s)
            case 401 | 403:
                return RemoteError(
                    f"{host} refused the request ({answer.status}): the key is missing, wrong or not allowed to.",
                    hint="See docs/prices.md for where keys are read from.",
                    reference="access",
                )
            case status if status >= 500:
                return RemoteError(
                    f"{host} has a fault of its own ({status}).", hint="Try again later.", reference="server-error"
                )
            case status:
                return RemoteError(
                    f"{host} refused the request ({status}): its interface may have changed.",
                    hint="The other providers are not affected.",
                    reference="bad-answer",
                )


def _clean(answer: Answer, secret: str | None) -> Answer:
    """The answer without the key that was sent, should the provider hand it back: it may be cut in two later."""
    if secret is None:
        return answer
    key = secret.rpartition(" ")[2]
    headers = {name: without_key(value, key) for name, value in answer.headers.items()}
    return Answer(answer.status, headers, without_key(answer.body.decode("latin-1"), key).encode("latin-1"))
