"""Reading a request: bounded in bytes and time, JSON only. And noticing that the client has gone."""

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from planner.serve.gateway.context import Gateway
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.record import current

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed its connection before the answer began; nobody is left to be told."""


async def read_object(request: Request, gateway: Gateway) -> dict[str, Any]:
    """The body as a JSON object.

    Raises ApiError: 413 above `max_body_bytes` or MAX_VALUES, 408 when it does not arrive in time, 415 when it is
    compressed, 400 when it is not a JSON object, 503 when the bodies of all requests together are too many bytes. Its
    own are counted until the request is answered, and what they become in memory. Raises ClientGoneError.
    """
    config = gateway.config
    try:
        async with asyncio.timeout(config.body_timeout_s):
            raw = await _read_bytes(request, gateway)
    except TimeoutError:
        waited = f"{config.body_timeout_s:g} s"
        raise ApiError(408, f"The request's body did not arrive within {waited}.", code="request_timeout") from None
    except ClientDisconnect:
        raise ClientGoneError from None
    try:
        _weigh(raw, gateway)
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        message = "The request's body is empty; send JSON." if not raw.strip() else f"The body is not JSON: {error}."
        raise ApiError(400, message, code="invalid_json") from None
    except RecursionError:
        raise ApiError(400, "The JSON is nested too deeply.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The request's body must be a JSON object.", code="invalid_json")
    return body


def _weigh(raw: bytes, gateway: Gateway) -> None:
    """Count the memory that the values of a body take beyond its bytes: `[],` is 3 there and 64 in Python.

    Raises ApiError 413 or 503, and what decoding raises.
    """
    values = _values(raw)
    if len(raw) < _SMALL_BYTES or values * _VALUE_BYTES <= len(raw):
        return
    msgspec.json.decode(raw, type=msgspec.Raw)  # well formed, so that its strings can be told from the rest
    values = _values(_STRING.sub(b"", raw))
    if values > MAX_VALUES:
        raise ApiError(
            413,
            f"The request's body holds more than {MAX_VALUES} JSON values. Send fewer at a time.",
            code="request_too_large",
        )
    extra_bytes = values * _VALUE_BYTES - len(raw)
    if extra_bytes > 0:
        gateway.turns.hold(extra_bytes)
        if (record := current.get()) is not None:
            record.decoded_bytes += extra_bytes


def _values(raw: bytes) -> int:
    """About how many JSON values there are, one too many for each bracket; in texts too, which `_weigh` sees to."""
    return raw.count(b",") + raw.count(b"[") + raw.count(b"{")


MAX_VALUES = 1_000_000
_VALUE_BYTES = 64
"""Between a number in a list (32) and a field of an object (over 100), as Python keeps them."""
_SMALL_BYTES = 16 * 2**10
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


async def _read_bytes(request: Request, gateway: Gateway) -> bytes:
    max_bytes = gateway.config.max_body_bytes
    too_large = ApiError(
        413,
        f"The request's body is larger than {max_bytes} bytes. Send fewer or shorter texts at a time.",
        code="request_too_large",
    )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise ApiError(415, "Compressed bodies are not read; send plain JSON.", code="unsupported_encoding")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise too_large
    received = bytearray()
    record = current.get()
    async for chunk in request.stream():
        received += chunk
        if len(received) > max_bytes:
            raise too_large
        gateway.turns.hold(len(chunk))
        if record is not None:
            record.held_bytes += len(chunk)
    return bytes(received)


async def gone(receive: Receive) -> None:
    """Return when the client has closed its connection. Only after the body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; it is cancelled, and with it the request to the engine, when the client goes away.

    Raises what `work` raises, or ClientGoneError. It runs in the task that is there: one of its own for every request
    would cost more than the rest of the watch.
    """
    task = asyncio.current_task()
    assert task is not None
    has_gone = False

    def leave(ending: asyncio.Task[None]) -> None:
        nonlocal has_gone
        if not ending.cancelled():
            ending.exception()
            has_gone = True
            task.cancel()

    ending = asyncio.create_task(gone(receive))
    ending.add_done_callback(leave)
    try:
        result = await work
    except asyncio.CancelledError:
        # Somebody else may have cancelled this task as well: then it is theirs to end.
        if has_gone and task.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        ending.remove_done_callback(leave)
        ending.cancel()
    if has_gone:
        task.uncancel()
        raise ClientGoneError
    return result


def encode(body: Mapping[str, Any]) -> bytes:
    """JSON for the engine. Raises ApiError 400 for values JSON cannot carry (nesting, integers beyond 64 bits)."""
    try:
        return msgspec.json.encode(body)
    except (OverflowError, RecursionError, ValueError, TypeError, msgspec.MsgspecError) as error:
        raise ApiError(400, "The request holds a value that cannot be passed on.", code="invalid_json") from error
