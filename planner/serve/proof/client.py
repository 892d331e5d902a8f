"""Talking to a deployment through its own gateway, as its users do, within one deadline."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import httpx2

from planner.core.models.model import Role


class RefusedError(Exception):
    """The deployment did not do what was asked; the text says why, fit for a terminal."""


class GatewayClient:
    """Requests to `gateway_url` (`http://127.0.0.1:PORT`, with or without `/v1`) that together take `deadline_s`.

    Methods raise RefusedError for an answer that is no answer, and httpx2's errors for a connection that fails.
    """

    def __init__(
        self, gateway_url: str, api_key: str, *, deadline_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._base_url = gateway_url.rstrip("/").removesuffix("/v1")
        self._key = api_key
        self._deadline = clock() + deadline_s
        self._clock = clock
        self._http = httpx2.Client(trust_env=False, follow_redirects=False)
        self._cards: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def meet(self) -> int:
        """Learn what the gateway says of its models; returns how many it has."""
        cards = objects(self.json("GET", "/v1/models").get("data"))
        self._cards = {card["role"]: card for card in cards if isinstance(card.get("role"), str)}
        return len(self._cards)

    def card(self, role: Role) -> dict[str, Any]:
        """What the gateway says of the model of a role; empty before `meet`."""
        return self._cards.get(role.value, {})

    def context(self, role: Role) -> int | None:
        """Tokens that fit into one request."""
        length = self.card(role).get("context_length")
        return length if isinstance(length, int) else None

    def status_without_key(self, path: str) -> int:
        """The HTTP status of a request that has no key."""
        return self._http.get(f"{self._base_url}{path}", timeout=self.remaining_s()).status_code

    def json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object a request is answered with."""
        response = self._http.request(
            method, self._base_url + path, json=body, headers=self._headers(), timeout=self.remaining_s()
        )
        answer = _object(response.content)
        if response.status_code != 200:
            raise RefusedError(_said(response.status_code, answer))
        return answer

    def events(self, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a stream, which must end with `[DONE]`."""
        with self._http.stream(
            "POST", self._base_url + path, json=body, headers=self._headers(), timeout=self.remaining_s()
        ) as response:
            if response.status_code != 200:
                response.read()
                raise RefusedError(_said(response.status_code, _object(response.content)))
            for line in response.iter_lines():
                self.remaining_s()
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return
                if data and line.startswith("data:"):
                    event = _object(data.encode())
                    if "error" in event:
                        raise RefusedError(_said(200, event))
                    yield event
        raise RefusedError("the streamed answer stopped before its end")

    def embed(self, texts: Sequence[str], **options: str) -> dict[str, Any]:
        """The answer to an embedding request."""
        body = {"input": list(texts), "encoding_format": "float", **options}
        return self.json("POST", "/v1/embeddings", body)

    def vectors(self, texts: Sequence[str], **options: str) -> list[list[float]]:
        """A vector for each text."""
        vectors = [item.get("embedding") for item in objects(self.embed(texts, **options).get("data"))]
        good = [v for v in vectors if isinstance(v, list) and v and all(isinstance(x, int | float) for x in v)]
        if len(good) != len(texts):
            raise RefusedError(f"{len(good)} usable vectors came back for {len(texts)} texts")
        return good

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def remaining_s(self) -> float:
        """Seconds left of the whole run. Raises when there are none."""
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise RefusedError("the time for it is over")
        return remaining


def connection_failure(error: Exception) -> str:
    """In words what went wrong below HTTP, without addresses or keys."""
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    return f"the connection failed ({type(error).__name__})"


CONNECTION_ERRORS = (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL)
"""What a request raises when the connection fails."""


def rate_in(timings: object, name: str, count: str, *, least: int) -> float | None:
    """A speed from an engine's `timings`, if it rests on `least` tokens; None otherwise."""
    if not isinstance(timings, dict):
        return None
    rate, tokens = timings.get(name), timings.get(count)
    if not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
        return None
    return float(rate) if isinstance(tokens, int) and tokens >= least else None


def as_object(value: object) -> dict[str, Any]:
    """A JSON object; anything else counts as an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects of a JSON array; anything else counts as an empty one."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def printable(text: str) -> str:
    """Without control characters: models and engines write what they like, and this reaches a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return as_object(json.loads(raw))
    except (ValueError, RecursionError):
        return {}


def _said(status: int, answer: dict[str, Any]) -> str:
    message = as_object(answer.get("error")).get("message")
    return printable(message)[:300] if isinstance(message, str) else f"status {status}"
