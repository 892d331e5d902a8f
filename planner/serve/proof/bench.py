"""How fast a running deployment is: generation, prompts and embedding, measured through its gateway.

What else runs on a machine only ever makes a run slower. So after one run that warms up they are repeated until the
fastest few agree, and the figure is the median of these. Generation and prompts are timed by the engine; embedding
from request to answer, as that is what indexing waits for.
"""

import secrets
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import msgspec

from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.proof.client import (
    CONNECTION_ERRORS,
    GatewayClient,
    RefusedError,
    as_object,
    connection_failure,
    rate_in,
)

Metric = Literal["tg", "pp", "embed"]

_PROMPT_TOKENS = 512
_ANSWER_TOKENS = 64
_LEAST_ANSWER_TOKENS = 8
_AGREE = 1.1
"""Runs agree when the fastest is no more than this times as fast as the slowest of them."""
_ATTEMPTS = 4
"""Times the wanted number of runs, after which runs that do not agree are taken as they are."""
_TEXTS = 8
_TEXT_TOKENS = 256
_TOKENS_PER_WORD = 1.4  # only sizes the samples; the engine counts
WORDS = (
    "river", "stone", "bridge", "harbour", "mill", "water", "village", "market", "winter", "summer", "road", "letter",
    "garden", "window", "teacher", "doctor", "story", "engine", "ticket", "music", "paper", "number", "island",
    "mountain", "weather", "kitchen", "history", "language", "science", "travel",
)  # fmt: skip
"""Of which texts are made."""


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens/s, run by run: of `n_prompt` tokens processed, or of tokens made, after `depth` in the cache.

    `runs` are the fastest that were wanted, fastest first.
    """

    role: Role
    metric: Metric
    runs: tuple[float, ...]
    n_prompt: int
    depth: int

    @property
    def tokens_per_s(self) -> float:
        """The median run."""
        return statistics.median(self.runs)

    @property
    def spread(self) -> float:
        """The fastest run over the slowest."""
        return self.runs[0] / self.runs[-1]

    @property
    def steady(self) -> bool:
        """Whether the runs agree; they do not on a machine that is busy."""
        return self.spread <= _AGREE


class _Runs:
    """Runs of one kind, of which the `wanted` fastest count."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._all: list[float] = []

    def add(self, tokens_per_s: float | None) -> None:
        """One run; None if it was too short to time."""
        if tokens_per_s is not None:
            self._all.append(tokens_per_s)

    @property
    def best(self) -> tuple[float, ...]:
        """The fastest ones, fastest first."""
        return tuple(sorted(self._all, reverse=True)[: self._wanted])

    @property
    def agree(self) -> bool:
        """Whether there are enough, and they agree."""
        best = self.best
        return len(best) == self._wanted and best[0] <= _AGREE * best[-1]


def measure(
    gateway_url: str,
    api_key: str,
    roles: Collection[Role],
    *,
    repeats: int = 3,
    deadline_s: float = 600.0,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Measured, ...]:
    """Speeds of the generation and the embedding model behind `gateway_url`; a reranker is not measured.

    `repeats` runs have to agree. Takes about `deadline_s` at most. Raises EngineError `bench-failed` when a model
    does not answer.
    """
    with GatewayClient(gateway_url, api_key, deadline_s=deadline_s, clock=clock) as gateway:
        try:
            gateway.meet()
            found: list[Measured] = []
            if Role.EMBEDDING in roles:
                tell("measuring the embedding model …")
                found.append(_embedding(gateway, repeats, clock))
            if Role.GENERATION in roles:
                tell("measuring the generation model …")
                found += _generation(gateway, repeats)
            return tuple(found)
        except RefusedError as error:
            raise bench_failed(str(error)) from error
        except CONNECTION_ERRORS as error:
            raise bench_failed(connection_failure(error)) from error


def _embedding(gateway: GatewayClient, repeats: int, clock: Callable[[], float]) -> Measured:
    limit = gateway.context(Role.EMBEDDING) or _TEXT_TOKENS
    words = _words(min(_TEXT_TOKENS, limit * 3 // 4))
    runs = _Runs(repeats)
    tokens = 0
    for attempt in range(1 + _ATTEMPTS * repeats):
        texts = [next(words) for _ in range(_TEXTS)]
        started = clock()
        counted = as_object(gateway.embed(texts).get("usage")).get("prompt_tokens")
        seconds = max(clock() - started, 1e-9)
        if not isinstance(counted, int) or counted <= 0:
            raise RefusedError("the answer does not say how many tokens it took")
        tokens = counted
        if attempt:
            runs.add(counted / seconds)
        if runs.agree:
            break
    return Measured(role=Role.EMBEDDING, metric="embed", runs=runs.best, n_prompt=tokens // _TEXTS, depth=0)


def _generation(gateway: GatewayClient, repeats: int) -> list[Measured]:
    context = gateway.context(Role.GENERATION) or 2 * _PROMPT_TOKENS
    words = _words(min(_PROMPT_TOKENS, context // 2))
    tg, pp = _Runs(repeats), _Runs(repeats)
    prompt = 0
    for attempt in range(1 + _ATTEMPTS * repeats):
        timings = _timings(gateway, f"{next(words)} Write a long story with these words.")
        prompt = int(timings.get("prompt_n", 0))
        if attempt:
            tg.add(rate_in(timings, "predicted_per_second", "predicted_n", least=_LEAST_ANSWER_TOKENS))
            pp.add(rate_in(timings, "prompt_per_second", "prompt_n", least=32))
        if tg.agree and pp.agree:
            break
    if not tg.best or not pp.best:
        raise RefusedError("the engine timed no run that is long enough to count")
    depth = prompt + _ANSWER_TOKENS // 2
    return [
        Measured(role=Role.GENERATION, metric="pp", runs=pp.best, n_prompt=prompt, depth=0),
        Measured(role=Role.GENERATION, metric="tg", runs=tg.best, n_prompt=prompt, depth=depth),
    ]


def _timings(gateway: GatewayClient, prompt: str) -> dict[str, float]:
    """One answer's timings, as the engine gives them with the last event."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": _ANSWER_TOKENS,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    timings: dict[str, float] = {}
    for event in gateway.events("/v1/chat/completions", body):
        timings = as_object(event.get("timings")) or timings
    return timings


def _words(tokens: int) -> Iterator[str]:
    """Texts of about `tokens` tokens, each another one, so that no cache of the engine helps."""
    chance = secrets.SystemRandom()
    while True:
        yield " ".join(chance.choices(WORDS, k=max(8, round(tokens / _TOKENS_PER_WORD))))


def bench_failed(why: str) -> EngineError:
    """What is raised when a model does not answer as it should."""
    return EngineError(
        f"The speed could not be measured: {why}.",
        hint="planner status shows how the deployment is, planner logs what its engines said.",
        reference="bench-failed",
    )
