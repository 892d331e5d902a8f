"""Does a deployment really work? Asked through its own gateway, as a client would, after every start.

“It listens” proves little: an embedder with the wrong pooling answers well-formed nonsense, and a model that thrashes
answers too. So vectors are compared, prompts are seen to matter, an answer is generated, and speed is measured.
"""

import math
import secrets
import time
from collections.abc import Callable, Collection, Sequence

import msgspec

from planner.core.models.model import Role
from planner.serve.proof.client import (
    CONNECTION_ERRORS,
    GatewayClient,
    RefusedError,
    as_object,
    connection_failure,
    objects,
    printable,
    rate_in,
)
from planner.serve.proof.retrieval_check import PASSAGES, QUESTIONS, cosine, judge

_CLOSE = ("The cat is sleeping on the warm sofa.", "A kitten naps on a cosy couch.")
_FAR = "Corporate income tax returns are due at the end of the fiscal year."
_SENTENCE = (
    "The river rises in the hills, passes two old mills and a stone bridge, and reaches the sea near the harbour. "
)
_TOKENS_PER_SENTENCE = 26  # by the starter embedder's tokenizer; only sizes the sample, the engine counts
_SPEED_TEXTS = 8
_SPEED_TOKENS = 200
_ANSWER_TOKENS = 32
_PROMPT_TOKENS = 200
_LEAST_PROMPT_TOKENS = 32
_NORM_TOLERANCE = 0.01


class Check(msgspec.Struct, frozen=True):
    """One question asked of the deployment and what came out, in words for people."""

    name: str
    ok: bool
    detail: str


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """All checks in the order they were made, and measured speeds in tokens/s (None = not measured).

    `tg_tokens_per_s` and `pp_tokens_per_s` are the generation model's as its engine timed them;
    `embed_tokens_per_s` is the embedding model's from request to answer, all overhead included.
    """

    checks: tuple[Check, ...]
    tg_tokens_per_s: float | None = None
    pp_tokens_per_s: float | None = None
    embed_tokens_per_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether every check passed; False when none could be made."""
        return bool(self.checks) and all(check.ok for check in self.checks)


def verify(
    gateway_url: str,
    api_key: str,
    roles: Collection[Role],
    *,
    deadline_s: float = 300.0,
    clock: Callable[[], float] = time.monotonic,
) -> VerifyReport:
    """Check the roles of the deployment behind `gateway_url` (`http://127.0.0.1:PORT`, with or without `/v1`).

    Takes at most about `deadline_s`. Never raises for what the deployment does; a failing check says what happened.
    """
    with GatewayClient(gateway_url, api_key, deadline_s=deadline_s, clock=clock) as gateway:
        return _Verifier(gateway, clock).run(roles)


class _Verifier:
    """One run: asks, and collects checks and speeds."""

    def __init__(self, gateway: GatewayClient, clock: Callable[[], float]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._checks: list[Check] = []
        self._tg: float | None = None
        self._pp: float | None = None
        self._embed: float | None = None

    def run(self, roles: Collection[Role]) -> VerifyReport:
        self._check("gateway", self._answers)
        self._check("key-required", self._key_required)
        if self._checks[0].ok and Role.EMBEDDING in roles:
            self._check("embedding-vector", self._vector)
            self._check("embedding-meaning", self._meaning)
            self._check("embedding-prompts", self._prompts)
            self._check("retrieval", self._retrieval)
            self._check("embedding-speed", self._embedding_speed)
        if self._checks[0].ok and Role.GENERATION in roles:
            self._check("generation-answer", self._answer)
        if self._checks[0].ok and Role.RERANKER in roles:
            self._check("reranker-order", self._rerank)
        return VerifyReport(
            checks=tuple(self._checks),
            tg_tokens_per_s=self._tg,
            pp_tokens_per_s=self._pp,
            embed_tokens_per_s=self._embed,
        )

    def _check(self, name: str, ask: Callable[[], str]) -> None:
        """Record what `ask` returns as a success, and its failure as one."""
        try:
            self._checks.append(Check(name, ok=True, detail=ask()))
        except RefusedError as error:
            self._checks.append(Check(name, ok=False, detail=str(error)))
        except CONNECTION_ERRORS as error:
            self._checks.append(Check(name, ok=False, detail=connection_failure(error)))

    def _answers(self) -> str:
        count = self._gateway.meet()
        return f"answers, with {count} model{'' if count == 1 else 's'}"

    def _key_required(self) -> str:
        status = self._gateway.status_without_key("/v1/models")
        if status != 401:
            raise RefusedError(f"a request without a key got status {status} instead of 401")
        return "requests without the key are refused"

    def _vector(self) -> str:
        (vector,) = self._gateway.vectors([_CLOSE[0]])
        expected = self._gateway.card(Role.EMBEDDING).get("embedding_length")
        if expected is not None and len(vector) != expected:
            raise RefusedError(f"vectors have {len(vector)} values instead of {expected}")
        norm = math.hypot(*vector)
        if not abs(norm - 1) <= _NORM_TOLERANCE:
            raise RefusedError(f"vectors have norm {norm:.3f} instead of 1")
        return f"{len(vector)} values, norm {norm:.3f}"

    def _meaning(self) -> str:
        one, other, far = self._gateway.vectors([*_CLOSE, _FAR])
        near, distant = _cosine(one, other), _cosine(one, far)
        if not near > distant:
            raise RefusedError(
                f"two texts about cats ({near:.2f}) are no closer than cats and tax law ({distant:.2f}); "
                "pooling or prompts are probably wrong for this model"
            )
        return f"two texts about cats: cosine {near:.2f}; cats and tax law: {distant:.2f}"

    def _prompts(self) -> str:
        types = [str(name) for name in self._gateway.card(Role.EMBEDDING).get("input_types") or ()]
        if not types:
            return "this model has no prompts"
        (plain,) = self._gateway.vectors([_CLOSE[0]])
        for name in types:
            (prompted,) = self._gateway.vectors([_CLOSE[0]], input_type=name)
            if _cosine(plain, prompted) > 1 - 1e-6:
                raise RefusedError(f"the {name} prompt makes no difference to the vector")
        return f"{' and '.join(types)} prompt{'s' if len(types) > 1 else ''} applied"

    def _retrieval(self) -> str:
        """Asked as a client should: with the prompts for questions and passages, where the model has any."""
        types = self._gateway.card(Role.EMBEDDING).get("input_types") or ()
        query = {"input_type": "query"} if "query" in types else {}
        document = {"input_type": "document"} if "document" in types else {}
        passages = self._gateway.vectors(PASSAGES, **document)
        questions = self._gateway.vectors([question for question, _ in QUESTIONS], **query)
        if len({len(vector) for vector in (*passages, *questions)}) != 1:
            raise RefusedError("vectors of one model have different lengths")
        found = judge(questions, passages)
        wrong = [answer for answer in found if not answer.right]
        if wrong:
            raise RefusedError(
                f"{len(found) - len(wrong)} of {len(found)} questions found their passage among {len(PASSAGES)}: "
                f"“{wrong[0].question}” found “{PASSAGES[wrong[0].first]}”"
            )
        closest = min(answer.margin for answer in found)
        count = len(found)
        return f"{count} of {count} questions found their passage among {len(PASSAGES)}, by {closest:.2f} or more"

    def _embedding_speed(self) -> str:
        limit = self._gateway.context(Role.EMBEDDING)
        wanted = min(_SPEED_TOKENS, limit * 3 // 4) if limit is not None else _SPEED_TOKENS
        text = _SENTENCE * max(1, wanted // _TOKENS_PER_SENTENCE)
        texts = [f"{number}. {text}" for number in range(1, _SPEED_TEXTS + 1)]
        started = self._clock()
        usage = as_object(self._gateway.embed(texts).get("usage"))
        seconds = self._clock() - started
        tokens = usage.get("prompt_tokens")
        if not isinstance(tokens, int) or tokens <= 0:
            raise RefusedError("the answer does not say how many tokens it took")
        self._embed = tokens / max(seconds, 1e-9)
        return f"{tokens} tokens in {seconds:.2f} s: {self._embed:.0f} tok/s"

    def _answer(self) -> str:
        """A streamed answer to a prompt long enough to time; random text keeps it out of the engine's cache."""
        context = self._gateway.context(Role.GENERATION)
        room = context // 2 if context is not None else _PROMPT_TOKENS
        background = _SENTENCE * max(1, min(room, _PROMPT_TOKENS) // _TOKENS_PER_SENTENCE)
        question = f"Note {secrets.token_hex(8)}: {background}Tell the story of this river in your own words."
        body = {
            "messages": [{"role": "user", "content": question}],
            "max_tokens": _ANSWER_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        words: list[str] = []
        tokens = 0
        for event in self._gateway.events("/v1/chat/completions", body):
            for choice in objects(event.get("choices")):
                delta = as_object(choice.get("delta"))
                words += [
                    delta[name] for name in ("reasoning_content", "content") if isinstance(delta.get(name), str)
                ]
            self._take_timings(event.get("timings"))
            reported = as_object(event.get("usage")).get("completion_tokens")
            tokens = reported if isinstance(reported, int) else tokens
        answer = " ".join("".join(words).split())
        if not answer:
            raise RefusedError("the answer is empty")
        speed = f" at {self._tg:.1f} tok/s" if self._tg is not None else ""
        return f"streamed {tokens or 'some'} tokens{speed}: “{printable(answer)[:100]}”"

    def _take_timings(self, timings: object) -> None:
        """Speeds as the engine timed them. A prompt that was cached, or is very short, says nothing about pp."""
        self._tg = rate_in(timings, "predicted_per_second", "predicted_n", least=2) or self._tg
        self._pp = rate_in(timings, "prompt_per_second", "prompt_n", least=_LEAST_PROMPT_TOKENS) or self._pp

    def _rerank(self) -> str:
        body = {"query": _CLOSE[0], "documents": [_FAR, _CLOSE[1]]}
        results = objects(self._gateway.json("POST", "/v1/rerank", body).get("results"))
        if not results or results[0].get("index") != 1:
            raise RefusedError("a text about tax law was ranked above one about cats, for a query about cats")
        return "a text about cats is ranked above one about tax law"


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    if len(a) != len(b):
        raise RefusedError(f"vectors of one model have different lengths ({len(a)}, {len(b)})")
    return cosine(a, b)
