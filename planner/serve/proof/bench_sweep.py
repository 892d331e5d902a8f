"""How the speed of a running deployment changes: with depth, with the length and number of texts, with many clients.

One figure says what a machine does at its best. What people meet is a conversation that has grown long, an index of
short or long passages, and more than one of them at a time. Each point is the faster of its runs, since what else
runs only slows; whatever there is no time left for is left out, the deepest and largest first.
"""

import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

import msgspec

from planner.core.models.model import Role
from planner.serve.proof.bench import WORDS, bench_failed
from planner.serve.proof.client import (
    CONNECTION_ERRORS,
    GatewayClient,
    RefusedError,
    as_object,
    connection_failure,
    objects,
    rate_in,
)

Kind = Literal["prompt", "generation", "embedding", "generation-clients", "embedding-clients"]
DEPTHS = (256, 1024, 2048, 4096, 8192, 16384, 32768)
LENGTHS = (32, 128, 256, 512, 1024, 2048)
BATCHES = (1, 8, 32)
CLIENTS = (1, 2, 4, 8)
_ANSWER_TOKENS = 32
_LEAST_TIMED = 4
_ROOM = 128
"""Tokens of a context that are left for the template and the answer."""
_CLIENT_TEXTS = 4
_CLIENT_TOKENS = 128
_TOKENS_PER_WORD = 1.4  # only sizes the samples; the engine counts


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens/s under some conditions, as the engine counts tokens.

    `depth`: tokens in the cache, for `generation` before the first one made, for `prompt` the whole prompt's length.
    `length`: tokens of a text, `batch`: texts in a request, `clients`: how many ask at a time, whose tokens are added
    up. `first_s` is the median time to a client's first token or, for embedding, to its answer.
    """

    kind: Kind
    tokens_per_s: float
    depth: int = 0
    length: int = 0
    batch: int = 1
    clients: int = 1
    first_s: float | None = None


_Steps = list[Callable[[], list[Point]]]


@dataclass(frozen=True)
class Sweep:
    """Where and how to measure. `deadline_s` is for everything together."""

    gateway_url: str
    api_key: str
    repeats: int = 2
    deadline_s: float = 600.0
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[str], None] = lambda _: None

    def run(self, roles: Sequence[Role]) -> tuple[tuple[Point, ...], bool]:
        """All points, and whether none was left out for lack of time. Raises EngineError `bench-failed`."""
        until = self.clock() + self.deadline_s
        points: list[Point] = []
        whole = True
        with self._client(self.deadline_s) as gateway:
            try:
                gateway.meet()
                for point in self._planned(gateway, roles):
                    if self.clock() >= until:
                        whole = False
                        break
                    points += point()
            except RefusedError as error:
                if self.clock() < until:
                    raise bench_failed(str(error)) from error
                whole = False
            except CONNECTION_ERRORS as error:
                if self.clock() < until:
                    raise bench_failed(connection_failure(error)) from error
                whole = False
        return tuple(points), whole

    def _planned(self, gateway: GatewayClient, roles: Sequence[Role]) -> Iterator[Callable[[], list[Point]]]:
        """Measurements in turns, the small ones first: when the time is over, something is known of each kind."""
        clients: list[_Steps] = [[] for _ in CLIENTS]
        lengths: list[_Steps] = []
        depths: list[_Steps] = []
        if Role.GENERATION in roles:
            for at_once, number in zip(clients, CLIENTS, strict=True):
                at_once.append(partial(self._generating_clients, gateway, number))
            room = (gateway.context(Role.GENERATION) or DEPTHS[0] + _ROOM) - _ROOM
            depths = [[partial(self._depth, gateway, depth)] for depth in DEPTHS if depth <= room]
        if Role.EMBEDDING in roles:
            for at_once, number in zip(clients, CLIENTS, strict=True):
                at_once.append(partial(self._embedding_clients, gateway, number))
            limit = gateway.context(Role.EMBEDDING) or max(LENGTHS)
            lengths = [
                [partial(self._embedding, gateway, length, batch) for batch in BATCHES]
                for length in LENGTHS
                if length <= limit
            ]
        nothing: _Steps = []
        for turn in zip_longest(clients, depths, lengths, fillvalue=nothing):
            for steps in turn:
                yield from steps

    def _depth(self, gateway: GatewayClient, depth: int) -> list[Point]:
        """A prompt of that length, and tokens made after it."""
        self.tell(f"generating after {depth} tokens …")
        prompts: list[float] = []
        made: list[float] = []
        prompt = 0
        for _ in range(self.repeats):
            timings = _answer(gateway, words(depth - 32)).timings
            prompt = int(timings.get("prompt_n", 0)) + int(timings.get("cache_n", 0))
            prompts += filter(None, [rate_in(timings, "prompt_per_second", "prompt_n", least=depth // 2)])
            made += filter(None, [rate_in(timings, "predicted_per_second", "predicted_n", least=_LEAST_TIMED)])
        points = [Point(kind="prompt", tokens_per_s=max(prompts), depth=prompt)] if prompts else []
        return points + ([Point(kind="generation", tokens_per_s=max(made), depth=prompt)] if made else [])

    def _embedding(self, gateway: GatewayClient, length: int, batch: int) -> list[Point]:
        self.tell(f"embedding {batch} texts of {length} tokens …")
        best, tokens = 0.0, 0
        for _ in range(self.repeats):
            tokens, seconds = self._timed_embedding(gateway, length * 7 // 8, batch)
            best = max(best, tokens / seconds)
        return [Point(kind="embedding", tokens_per_s=best, length=tokens // batch, batch=batch)]

    def _timed_embedding(self, gateway: GatewayClient, length: int, batch: int) -> tuple[int, float]:
        """Tokens and seconds of one request."""
        texts = [words(length) for _ in range(batch)]
        started = self.clock()
        tokens = as_object(gateway.embed(texts).get("usage")).get("prompt_tokens")
        seconds = max(self.clock() - started, 1e-9)
        if not isinstance(tokens, int) or tokens <= 0:
            raise RefusedError("the answer does not say how many tokens it took")
        return tokens, seconds

    def _generating_clients(self, gateway: GatewayClient, clients: int) -> list[Point]:
        self.tell(f"{clients} generating at a time …")

        def ask(client: GatewayClient) -> tuple[int, float]:
            started = self.clock()
            answer = _answer(client, words(32), clock=self.clock)
            return answer.tokens, answer.first_at - started

        return [self._together("generation-clients", clients, ask, gateway)]

    def _embedding_clients(self, gateway: GatewayClient, clients: int) -> list[Point]:
        self.tell(f"{clients} embedding at a time …")

        def ask(client: GatewayClient) -> tuple[int, float]:
            return self._timed_embedding(client, _CLIENT_TOKENS, _CLIENT_TEXTS)

        point = self._together("embedding-clients", clients, ask, gateway)
        return [msgspec.structs.replace(point, length=_CLIENT_TOKENS, batch=_CLIENT_TEXTS)]

    def _together(
        self, kind: Kind, clients: int, ask: Callable[[GatewayClient], tuple[int, float]], gateway: GatewayClient
    ) -> Point:
        """Let that many clients ask at the same moment, each on a connection of its own."""
        begin = threading.Barrier(clients + 1)
        left_s = max(1.0, gateway.remaining_s())

        def one() -> tuple[int, float]:
            with self._client(left_s) as client:
                begin.wait(timeout=30)
                return ask(client)

        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(one) for _ in range(clients)]
            try:
                begin.wait(timeout=30)
            except threading.BrokenBarrierError as error:
                raise RefusedError("the clients could not begin together; the machine is too busy") from error
            started = self.clock()
            answers = [task.result() for task in running]
        seconds = max(self.clock() - started, 1e-9)
        return Point(
            kind=kind,
            tokens_per_s=sum(tokens for tokens, _ in answers) / seconds,
            clients=clients,
            first_s=statistics.median(first for _, first in answers),
        )

    def _client(self, deadline_s: float) -> GatewayClient:
        return GatewayClient(self.gateway_url, self.api_key, deadline_s=deadline_s, clock=self.clock)


def words(tokens: int) -> str:
    """A text of about that many tokens that no cache has seen."""
    chance = secrets.SystemRandom()
    return " ".join(chance.choices(WORDS, k=max(4, round(tokens / _TOKENS_PER_WORD))))


@dataclass(frozen=True)
class _Answer:
    """A streamed answer: the engine's own timings, tokens made, and when the first one came by the clock."""

    timings: dict[str, Any]
    tokens: int
    first_at: float


def _answer(gateway: GatewayClient, prompt: str, *, clock: Callable[[], float] = time.monotonic) -> _Answer:
    body = {
        "messages": [{"role": "user", "content": f"{prompt} Tell a story with these words."}],
        "max_tokens": _ANSWER_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    first_at: float | None = None
    timings: dict[str, Any] = {}
    tokens = 0
    for event in gateway.events("/v1/chat/completions", body):
        texts = [as_object(choice.get("delta")) for choice in objects(event.get("choices"))]
        if first_at is None and any(text.get("content") or text.get("reasoning_content") for text in texts):
            first_at = clock()
        timings = as_object(event.get("timings")) or timings
        made = as_object(event.get("usage")).get("completion_tokens")
        tokens = made if isinstance(made, int) else tokens
    if first_at is None or tokens <= 0:
        raise RefusedError("the answer is empty")
    return _Answer(timings, tokens, first_at)
