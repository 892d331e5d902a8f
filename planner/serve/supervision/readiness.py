"""Does an engine do its job? Its health, and one real request of the kind it is for."""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx2

from planner.core.models.model import Role
from planner.serve.engine.failure import LaunchError

_HEALTH_TIMEOUT_S = 2.0
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3}) ")
_PROBE_TIMEOUT_S = 300.0
_PROBE_TEXT = "The quick brown fox jumps over the lazy dog."


def role_probe(
    role: Role, api_key: str, *, embedding_length: int | None, timeout_s: float = _PROBE_TIMEOUT_S
) -> Callable[[str], Awaitable[None]]:
    """One real request for the role; the returned function raises LaunchError when the answer is not right."""

    async def probe(url: str) -> None:
        path, body = _PROBES[role]
        async with loopback_client(api_key, timeout_s=timeout_s) as client:
            try:
                response = await client.post(url + path, json=body)
            except httpx2.HTTPError as error:
                raise _unfit(role, f"nothing usable ({type(error).__name__}: {error})") from error
        try:
            answer = response.json()
        except ValueError as error:
            raise _unfit(role, f"HTTP {response.status_code} with something that is not JSON") from error
        if response.status_code != httpx2.codes.OK:
            raise _unfit(role, f"HTTP {response.status_code}: {response.text[:300]}")
        if role is Role.EMBEDDING and (fault := _vector_fault(answer, embedding_length)):
            raise _unfit(role, fault)

    return probe


_PROBES: dict[Role, tuple[str, dict[str, object]]] = {
    Role.EMBEDDING: ("/v1/embeddings", {"input": _PROBE_TEXT}),
    Role.GENERATION: (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "temperature": 0},
    ),
    Role.RERANKER: ("/v1/rerank", {"query": "fox", "documents": [_PROBE_TEXT]}),
}


def _vector_fault(answer: object, embedding_length: int | None) -> str:
    """What is wrong with the vector in an embedding answer; empty when nothing is."""
    match answer:
        case {"data": [{"embedding": [*vector]}, *_]}:
            pass
        case _:
            return "no vector"
    if embedding_length is not None and len(vector) != embedding_length:
        return f"a vector of {len(vector)} numbers instead of {embedding_length}"
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in vector):
        return "a vector with values that are no numbers (NaN)"
    return "" if any(vector) else "a vector of zeros alone"


def _unfit(role: Role, what: str) -> LaunchError:
    return LaunchError(
        f"The {role.value} engine started, but does not do its job: it answered {what.rstrip(' .')}.",
        hint="The model file may not be what the catalog says: planner inspect FILE; planner logs.",
        reference="engine-unfit",
    )


def loopback_client(api_key: str, *, timeout_s: float) -> httpx2.AsyncClient:
    """A client for one engine. No proxy of the environment may stand between two processes of this machine."""
    return httpx2.AsyncClient(trust_env=False, timeout=timeout_s, headers={"Authorization": f"Bearer {api_key}"})


async def health(url: str, api_key: str, *, timeout_s: float = _HEALTH_TIMEOUT_S) -> int | None:
    """The status of `/health` at an address of this machine, None when nothing answers.

    By hand: it is asked as long as a deployment runs, and to make a general client takes far longer than to ask.
    """
    place = urlsplit(url)
    request = (
        f"GET /health HTTP/1.1\r\nHost: {place.netloc}\r\nAuthorization: Bearer {api_key}\r\n"
        "Connection: close\r\n\r\n"
    )
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(request.encode())
            status = _STATUS.match(await reader.readline())
    except (OSError, ValueError):  # TimeoutError is an OSError
        return None
    finally:
        if writer is not None:
            writer.close()
    return int(status[1]) if status is not None else None
