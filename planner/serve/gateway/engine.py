"""Talking to an engine: requests with deadlines, and its failures in words a client can use."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from planner.serve.gateway.context import Gateway
from planner.serve.gateway.errors import ApiError, clean, too_long
from planner.serve.gateway.http_answer import BrokenAnswerError
from planner.serve.gateway.limits import encode
from planner.serve.gateway.upstream import Upstream
from planner.serve.gateway.wire import Answer, UnreachableError

_MAX_ANSWER_BYTES = 128 * 2**20
_MAX_ERROR_BYTES = 64 * 2**10
_TOO_LARGE = re.compile(r"input \((?P<tokens>\d+) tokens\) is too large.*?(?P<limit>\d+)\)?\s*$", re.DOTALL)


class EngineTalk:
    """One client request's conversation with one engine. `param` names the field that holds the client's text."""

    def __init__(self, gateway: Gateway, upstream: Upstream, *, param: str) -> None:
        self.gateway = gateway
        self.upstream = upstream
        self.param = param

    async def post(self, path: str, body: Mapping[str, Any], *, in_turn: bool = True) -> bytes:
        """The engine's answer to a JSON request, in its turn; what takes no slot needs none. Raises ApiError."""
        async with AsyncExitStack() as exits:
            if in_turn:
                await exits.enter_async_context(self._turn())
            await exits.enter_async_context(self.connected())
            await exits.enter_async_context(asyncio.timeout(self.gateway.config.answer_timeout_s))
            response = await self._send(path, body)
            try:
                if response.status != 200:
                    raise self.refusal(response.status, await response.read(_MAX_ERROR_BYTES))
                answer = await response.read(_MAX_ANSWER_BYTES)
            finally:
                response.close()
        if len(answer) > _MAX_ANSWER_BYTES:
            raise ApiError(502, f"The {self.upstream.role} engine's answer is too large.", code="bad_engine_answer")
        return answer

    async def post_object(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `post`, when the answer must be a JSON object."""
        answer = decode_object(await self.post(path, body))
        if answer is None:
            message = f"The {self.upstream.role} engine's answer is not JSON."
            raise ApiError(502, message, code="bad_engine_answer")
        if isinstance(answer.get("error"), dict):
            raise self.refusal(500, msgspec.json.encode(answer))
        return answer

    async def open(self, path: str, body: Mapping[str, Any]) -> "OpenStream":
        """A streamed answer, its body not read yet; the caller closes it, which ends its turn. Raises ApiError."""
        async with AsyncExitStack() as exits:
            await exits.enter_async_context(self._turn())
            async with self.connected(), asyncio.timeout(self.gateway.config.answer_timeout_s):
                response = await self._send(path, body)
                exits.callback(response.close)
                if response.status == 200 and response.content_type.startswith("text/event-stream"):
                    return OpenStream(response, exits.pop_all())
                raw = await response.read(_MAX_ERROR_BYTES)
            if response.status == 200:
                message = f"The {self.upstream.role} engine did not answer with a stream."
                raise ApiError(502, message, code="bad_engine_answer")
            raise self.refusal(response.status, raw)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Within: a failing connection becomes an ApiError."""
        try:
            yield
        except (TimeoutError, UnreachableError, BrokenAnswerError) as error:
            raise self.failure(error) from error

    def failure(self, error: Exception) -> ApiError:
        """A failing connection as an answer: 504 for a deadline and 502 for the rest."""
        role = self.upstream.role
        match error:
            case TimeoutError():
                return ApiError(504, f"The {role} engine did not answer in time.", code="engine_timeout")
            case UnreachableError():
                message = f"The {role} engine is not reachable; it may be restarting. Try again in a moment."
                return ApiError(502, message, code="engine_unreachable")
            case _:
                message = f"The {role} engine broke off before its answer was complete; it may have crashed."
                return ApiError(502, message, code="engine_broke_off")

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """A turn at the role's engine: at the one that answers now, as it may have been restarted meanwhile."""
        async with self.gateway.turns.turn(self.upstream.role, slots=self.upstream.slots):
            self.upstream = self.gateway.upstream(self.upstream.role, None)
            yield

    async def _send(self, path: str, body: Mapping[str, Any]) -> Answer:
        return await self.gateway.wire.post(
            self.upstream.url.rstrip("/"), path, key=self.upstream.api_key, body=encode(body)
        )

    def refusal(self, status: int, raw: bytes) -> ApiError:
        """An engine's error answer as ours.

        llama.cpp answers over-long input with 400 and counts, or with 500 and the counts in the text when the
        input exceeds one micro-batch; both are the client's to mend, so both become 400.
        """
        role = self.upstream.role
        error = (decode_object(raw) or {}).get("error")
        error = error if isinstance(error, dict) else {}
        said = error.get("message")
        text = clean(said, secrets=self._secrets) if isinstance(said, str) else ""
        if (counts := _counts(error, text)) is not None:
            tokens, limit = counts
            return too_long(tokens=tokens, limit=limit, what=f"The request's '{self.param}'", param=self.param)
        match status:
            case 400:
                return ApiError(400, text or "The engine refuses this request.", code="invalid_request")
            case 404 | 501:
                message = f"The {role} engine cannot do this: {text or 'unknown request'}"
                return ApiError(501, message, code="not_supported")
            case 503:
                return ApiError(503, f"The {role} model is still loading.", code="loading", retry_after_s=2)
            case 401 | 403:
                message = f"The {role} engine refuses the gateway's own key; restart the deployment."
                return ApiError(502, message, code="engine_refused_key")
            case _:
                message = f"The {role} engine failed (status {status}){': ' + text if text else '.'}"
                return ApiError(502, message, code="engine_error")

    @property
    def _secrets(self) -> tuple[str, ...]:
        return (self.upstream.api_key, self.gateway.config.api_key)


def _counts(error: dict[str, Any], text: str) -> tuple[int, int] | None:
    """Tokens sent and tokens possible, if that is what an engine's error is about."""
    tokens, limit = error.get("n_prompt_tokens"), error.get("n_ctx")
    if isinstance(tokens, int) and isinstance(limit, int):
        return tokens, limit
    found = _TOO_LARGE.search(text)
    return (int(found["tokens"]), int(found["limit"])) if found is not None else None


class OpenStream:
    """An engine's streamed answer and the turn it takes."""

    def __init__(self, answer: Answer, exits: AsyncExitStack) -> None:
        self.answer = answer
        self._exits = exits

    async def aclose(self) -> None:
        """Close the connection, which makes the engine stop, and let the next request have its turn."""
        await self._exits.aclose()


def decode_object(raw: bytes) -> dict[str, Any] | None:
    """A JSON object, or None for anything else."""
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None
