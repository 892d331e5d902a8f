"""From the bytes of an engine's event stream to the client's events, each as soon as its last byte has come.

Most events of a stream differ from the one before in a single text. Such a one is not taken apart: what stands around
its text is put around it as it was found to belong there.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from planner.serve.gateway.engine import EngineTalk, decode_object
from planner.serve.gateway.errors import ApiError

_MAX_EVENT_BYTES = 4 * 2**20
_DONE = b"data: [DONE]\n\n"
_REPORTS = frozenset({"usage", "timings"})
_TEXT = re.compile(rb'"(?:content|text)": ?("(?:[^"\\]|\\.)*")')
_PLACEHOLDER = b'"the text of an event stands here"'
_text_decoder = msgspec.json.Decoder(str)

Shape = Callable[[dict[str, Any]], dict[str, Any]]
"""From an engine's JSON object to the client's; also the place to count tokens."""
IsLast = Callable[[dict[str, Any]], bool]
"""Whether an event is a complete answer's last one, for streams without `[DONE]`."""


@dataclass(frozen=True)
class _Mould:
    """What stands before and behind the text of an engine's events, and of the client's."""

    before: bytes
    behind: bytes
    before_for_client: bytes = b""
    behind_for_client: bytes = b""

    def fill(self, data: bytes) -> bytes | None:
        """The client's event for an engine's; None for one that has another form."""
        if not (data.startswith(self.before) and data.endswith(self.behind)):
            return None
        text = data[len(self.before) : len(data) - len(self.behind)]
        try:
            _text_decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return b"%b%b%b" % (self.before_for_client, text, self.behind_for_client)


class Events:
    """One stream. `ended`: its last event has come; what follows is not read. `done`: `[DONE]` is passed on."""

    def __init__(self, talk: EngineTalk, *, shape: Shape, is_last: IsLast | None, done: bool) -> None:
        self.ended = False
        self._talk = talk
        self._shape = shape
        self._is_last = is_last
        self._done = _DONE if done else b""
        self._waiting = b""
        self._mould: _Mould | None = None
        self._seen: tuple[bytes, bytes] | None = None

    def feed(self, data: bytes, ready: list[bytes]) -> None:
        """Take what came; add the client's form of every event that is complete to `ready`. Raises ApiError."""
        if self._waiting:
            data = self._waiting + data
        data = data.replace(b"\r\n", b"\n")
        *whole, self._waiting = data.split(b"\n\n")
        for event in whole:
            self._translate(event, ready)
            if self.ended:
                return
        if len(self._waiting) > _MAX_EVENT_BYTES:
            raise self.broken("sent an event without an end")

    def broken(self, what: str) -> ApiError:
        """An error for a stream that is not what it should be; `what` continues “The engine …”."""
        return ApiError(502, f"The {self._talk.upstream.role} engine {what}.", code="engine_broke_off")

    def _translate(self, event: bytes, ready: list[bytes]) -> None:
        data = _data(event)
        if not data:
            ready.append(b":\n\n")  # a comment keeps connections open; what it says is the engine's business
            return
        if self._mould is not None and (filled := self._mould.fill(data)) is not None:
            ready.append(filled)
            return
        if data.strip() == b"[DONE]":
            ready.append(self._done)
            self.ended = True
            return
        content = decode_object(data)
        if content is None:
            raise self.broken("sent something that is not JSON")
        if "error" in content:
            raise self._talk.refusal(500, data)
        ready.append(event_of(self._shape(content)))
        self.ended = self._is_last is not None and self._is_last(content)
        if not self.ended and not _REPORTS & content.keys():
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """Make a mould of an event like the one before; never of one that reports something: each report counts."""
        found = _TEXT.search(data)
        seen = (data[: found.start(1)], data[found.end(1) :]) if found is not None else None
        if seen is not None and seen == self._seen:
            self._mould = self._mould_of(*seen)
        self._seen = seen

    def _mould_of(self, before: bytes, behind: bytes) -> _Mould | None:
        content = decode_object(before + _PLACEHOLDER + behind)
        if content is None:
            return None
        before_for_client, found, behind_for_client = event_of(self._shape(content)).partition(_PLACEHOLDER)
        if not found or _PLACEHOLDER in behind_for_client:
            return None
        return _Mould(before, behind, before_for_client, behind_for_client)


def event_of(content: dict[str, Any]) -> bytes:
    """A JSON object as an event."""
    return b"data: %b\n\n" % msgspec.json.encode(content)


def _data(event: bytes) -> bytes:
    """What the lines of an event say, without the fields that are not data."""
    if b"\n" not in event:
        return event[5:].removeprefix(b" ") if event.startswith(b"data:") else b""
    return b"\n".join(line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
