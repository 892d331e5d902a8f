"""How fast a running deployment is: generation, prompts and embedding, measured through its gateway.

Each figure is the median of a few runs after one that warms up. Generation and prompts are timed by the engine;
embedding from request to answer, as that is what indexing waits for.
"""

import secrets
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from typing import Literal

import msgspec

from planner.core.model import Role
from planner.errors import EngineError
from planner.serve.client import (
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
_TEXTS = 8
_TEXT_TOKENS = 256
_TOKENS_PER_WORD = 1.4  # only sizes the samples; the engine counts
_WORDS = (
    "river", "stone", "bridge", "harbour", "mill", "water", "village", "market", "winter", "summer", "road", "letter",
    "garden", "window", "teacher", "doctor", "story", "engine", "ticket", "music", "paper", "number", "island",
    "mountain", "weather", "kitchen", "history", "language", "science", "travel",
)  # fmt: skip


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens/s, run by run: of `n_prompt` tokens processed, or of tokens made, after `depth` in the cache."""

    role: Role
    metric: Metric
    runs: tuple[float, ...]
    n_prompt: int
    depth: int

    @property
    def tokens_per_s(self) -> float:
        """The median run."""
        return statistics.median(self.runs)


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

    Takes at most about `deadline_s`. Raises EngineError `bench-failed` when a model does not answer.
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
            raise _failed(str(error)) from error
        except CONNECTION_ERRORS as error:
            raise _failed(connection_failure(error)) from error


def _embedding(gateway: GatewayClient, repeats: int, clock: Callable[[], float]) -> Measured:
    limit = gateway.context(Role.EMBEDDING) or _TEXT_TOKENS
    words = _words(min(_TEXT_TOKENS, limit * 3 // 4))
    runs: list[float] = []
    tokens = 0
    for _ in range(repeats + 1):
        texts = [next(words) for _ in range(_TEXTS)]
        started = clock()
        counted = as_object(gateway.embed(texts).get("usage")).get("prompt_tokens")
        seconds = max(clock() - started, 1e-9)
        if not isinstance(counted, int) or counted <= 0:
            raise RefusedError("the answer does not say how many tokens it took")
        tokens = counted
        runs.append(counted / seconds)
    return Measured(role=Role.EMBEDDING, metric="embed", runs=tuple(runs[1:]), n_prompt=tokens // _TEXTS, depth=0)


def _generation(gateway: GatewayClient, repeats: int) -> list[Measured]:
    context = gateway.context(Role.GENERATION) or 2 * _PROMPT_TOKENS
    words = _words(min(_PROMPT_TOKENS, context // 2))
    tg: list[float] = []
    pp: list[float] = []
    prompt = 0
    for index in range(repeats + 1):
        timings = _timings(gateway, f"{next(words)} Write a long story with these words.")
        generated = rate_in(timings, "predicted_per_second", "predicted_n", least=_LEAST_ANSWER_TOKENS)
        processed = rate_in(timings, "prompt_per_second", "prompt_n", least=32)
        if index and generated is not None:
            tg.append(generated)
        if index and processed is not None:
            pp.append(processed)
        prompt = int(timings.get("prompt_n", 0))
    if not tg or not pp:
        raise RefusedError("the engine timed no run that is long enough to count")
    depth = prompt + _ANSWER_TOKENS // 2
    return [
        Measured(role=Role.GENERATION, metric="pp", runs=tuple(pp), n_prompt=prompt, depth=0),
        Measured(role=Role.GENERATION, metric="tg", runs=tuple(tg), n_prompt=prompt, depth=depth),
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
        yield " ".join(chance.choices(_WORDS, k=max(8, round(tokens / _TOKENS_PER_WORD))))


def _failed(why: str) -> EngineError:
    return EngineError(
        f"The speed could not be measured: {why}.",
        hint="planner status shows how the deployment is, planner logs what its engines said.",
        reference="bench-failed",
    )
