"""Does a deployment really work? Asked through its own gateway, as a client would, after every start.

“It listens” proves little: an embedder with the wrong pooling answers well-formed nonsense, and a model that thrashes
answers too. So vectors are compared, prompts are seen to matter, an answer is generated, and speed is measured.
"""

import json
import math
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import httpx2
import msgspec

from planner.core.model import Role

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


class _FailedError(Exception):
    """A check's answer is no; the text says why."""


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
    base = gateway_url.rstrip("/").removesuffix("/v1")
    with httpx2.Client(trust_env=False, follow_redirects=False) as http:
        return _Verifier(http, base, api_key, deadline=clock() + deadline_s, clock=clock).run(roles)


class _Verifier:
    """One run: asks, and collects checks and speeds."""

    def __init__(
        self, http: httpx2.Client, base_url: str, api_key: str, *, deadline: float, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._base_url = base_url
        self._key = api_key
        self._deadline = deadline
        self._clock = clock
        self._checks: list[Check] = []
        self._cards: dict[str, dict[str, Any]] = {}
        self._tg: float | None = None
        self._pp: float | None = None
        self._embed: float | None = None

    def run(self, roles: Collection[Role]) -> VerifyReport:
        self._check("gateway", self._gateway)
        self._check("key-required", self._key_required)
        if self._checks[0].ok and Role.EMBEDDING in roles:
            self._check("embedding-vector", self._vector)
            self._check("embedding-meaning", self._meaning)
            self._check("embedding-prompts", self._prompts)
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
        except _FailedError as error:
            self._checks.append(Check(name, ok=False, detail=str(error)))
        except httpx2.TimeoutException:
            self._checks.append(Check(name, ok=False, detail="no answer in time"))
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            self._checks.append(Check(name, ok=False, detail=f"the connection failed ({type(error).__name__})"))

    # --- the checks ---

    def _gateway(self) -> str:
        cards = _objects(self._json("GET", "/v1/models").get("data"))
        self._cards = {card["role"]: card for card in cards if isinstance(card.get("role"), str)}
        return f"answers, with {len(self._cards)} model{'' if len(self._cards) == 1 else 's'}"

    def _key_required(self) -> str:
        status = self._http.get(f"{self._base_url}/v1/models", timeout=self._remaining_s()).status_code
        if status != 401:
            raise _FailedError(f"a request without a key got status {status} instead of 401")
        return "requests without the key are refused"

    def _vector(self) -> str:
        (vector,) = self._vectors([_CLOSE[0]])
        expected = self._card(Role.EMBEDDING).get("embedding_length")
        if expected is not None and len(vector) != expected:
            raise _FailedError(f"vectors have {len(vector)} values instead of {expected}")
        norm = math.hypot(*vector)
        if not abs(norm - 1) <= _NORM_TOLERANCE:
            raise _FailedError(f"vectors have norm {norm:.3f} instead of 1")
        return f"{len(vector)} values, norm {norm:.3f}"

    def _meaning(self) -> str:
        one, other, far = self._vectors([*_CLOSE, _FAR])
        near, distant = _cosine(one, other), _cosine(one, far)
        if not near > distant:
            raise _FailedError(
                f"two texts about cats ({near:.2f}) are no closer than cats and tax law ({distant:.2f}); "
                "pooling or prompts are probably wrong for this model"
            )
        return f"two texts about cats: cosine {near:.2f}; cats and tax law: {distant:.2f}"

    def _prompts(self) -> str:
        types = [str(name) for name in self._card(Role.EMBEDDING).get("input_types") or ()]
        if not types:
            return "this model has no prompts"
        (plain,) = self._vectors([_CLOSE[0]])
        for name in types:
            (prompted,) = self._vectors([_CLOSE[0]], input_type=name)
            if _cosine(plain, prompted) > 1 - 1e-6:
                raise _FailedError(f"the {name} prompt makes no difference to the vector")
        return f"{' and '.join(types)} prompt{'s' if len(types) > 1 else ''} applied"

    def _embedding_speed(self) -> str:
        limit = self._card(Role.EMBEDDING).get("context_length")
        wanted = min(_SPEED_TOKENS, limit * 3 // 4) if isinstance(limit, int) else _SPEED_TOKENS
        text = _SENTENCE * max(1, wanted // _TOKENS_PER_SENTENCE)
        texts = [f"{number}. {text}" for number in range(1, _SPEED_TEXTS + 1)]
        started = self._clock()
        usage = _as_object(self._embed_request(texts).get("usage"))
        seconds = self._clock() - started
        tokens = usage.get("prompt_tokens")
        if not isinstance(tokens, int) or tokens <= 0:
            raise _FailedError("the answer does not say how many tokens it took")
        self._embed = tokens / max(seconds, 1e-9)
        return f"{tokens} tokens in {seconds:.2f} s: {self._embed:.0f} tok/s"

    def _answer(self) -> str:
        """A streamed answer to a prompt long enough to time; random text keeps it out of the engine's cache."""
        context = self._card(Role.GENERATION).get("context_length")
        room = context // 2 if isinstance(context, int) else _PROMPT_TOKENS
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
        for event in self._events("/v1/chat/completions", body):
            for choice in _objects(event.get("choices")):
                delta = _as_object(choice.get("delta"))
                words += [
                    delta[name] for name in ("reasoning_content", "content") if isinstance(delta.get(name), str)
                ]
            self._take_timings(event.get("timings"))
            reported = _as_object(event.get("usage")).get("completion_tokens")
            tokens = reported if isinstance(reported, int) else tokens
        answer = " ".join("".join(words).split())
        if not answer:
            raise _FailedError("the answer is empty")
        speed = f" at {self._tg:.1f} tok/s" if self._tg is not None else ""
        return f"streamed {tokens or 'some'} tokens{speed}: “{_printable(answer)[:100]}”"

    def _take_timings(self, timings: object) -> None:
        """Speeds as the engine timed them. A prompt that was cached, or is very short, says nothing about pp."""
        if not isinstance(timings, dict):
            return
        tg, pp, prompt_tokens = (
            timings.get(name) for name in ("predicted_per_second", "prompt_per_second", "prompt_n")
        )
        if isinstance(tg, int | float) and math.isfinite(tg) and tg > 0 and timings.get("predicted_n", 2) > 1:
            self._tg = float(tg)
        enough = isinstance(prompt_tokens, int) and prompt_tokens >= _LEAST_PROMPT_TOKENS
        if isinstance(pp, int | float) and math.isfinite(pp) and pp > 0 and enough:
            self._pp = float(pp)

    def _rerank(self) -> str:
        body = {"query": _CLOSE[0], "documents": [_FAR, _CLOSE[1]]}
        results = _objects(self._json("POST", "/v1/rerank", body).get("results"))
        if not results or results[0].get("index") != 1:
            raise _FailedError("a text about tax law was ranked above one about cats, for a query about cats")
        return "a text about cats is ranked above one about tax law"

    # --- talking to the gateway ---

    def _card(self, role: Role) -> dict[str, Any]:
        return self._cards.get(role.value, {})

    def _vectors(self, texts: Sequence[str], **options: str) -> list[list[float]]:
        vectors = [item.get("embedding") for item in _objects(self._embed_request(texts, **options).get("data"))]
        good = [v for v in vectors if isinstance(v, list) and v and all(isinstance(x, int | float) for x in v)]
        if len(good) != len(texts):
            raise _FailedError(f"{len(good)} usable vectors came back for {len(texts)} texts")
        return good

    def _embed_request(self, texts: Sequence[str], **options: str) -> dict[str, Any]:
        body = {"input": list(texts), "encoding_format": "float", **options}
        return self._json("POST", "/v1/embeddings", body)

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        response = self._http.request(
            method, self._base_url + path, json=body, headers=self._headers(), timeout=self._remaining_s()
        )
        answer = _object(response.content)
        if response.status_code != 200:
            raise _FailedError(_said(response.status_code, answer))
        return answer

    def _events(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """All events of a stream, which must end with `[DONE]`."""
        events: list[dict[str, Any]] = []
        with self._http.stream(
            "POST", self._base_url + path, json=body, headers=self._headers(), timeout=self._remaining_s()
        ) as response:
            if response.status_code != 200:
                response.read()
                raise _FailedError(_said(response.status_code, _object(response.content)))
            for line in response.iter_lines():
                self._remaining_s()
                data = line.removeprefix("data:").strip()
                if data == "[DONE]":
                    return events
                if data and line.startswith("data:"):
                    events.append(_object(data.encode()))
                    if "error" in events[-1]:
                        raise _FailedError(_said(200, events[-1]))
        raise _FailedError("the streamed answer stopped before its end")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}

    def _remaining_s(self) -> float:
        """Seconds left of the whole run. Raises when there are none."""
        remaining = self._deadline - self._clock()
        if remaining <= 0:
            raise _FailedError("the time for verification is over")
        return remaining


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object; anything else counts as an empty one."""
    try:
        return _as_object(json.loads(raw))
    except (ValueError, RecursionError):
        return {}


def _as_object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _said(status: int, answer: dict[str, Any]) -> str:
    message = _as_object(answer.get("error")).get("message")
    return _printable(message)[:300] if isinstance(message, str) else f"status {status}"


def _printable(text: str) -> str:
    """Without control characters: models and engines write what they like, and this reaches a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    if len(a) != len(b):
        raise _FailedError(f"vectors of one model have different lengths ({len(a)}, {len(b)})")
    product = sum(x * y for x, y in zip(a, b, strict=True))
    norms = math.hypot(*a) * math.hypot(*b)
    return product / norms if norms else 0.0
