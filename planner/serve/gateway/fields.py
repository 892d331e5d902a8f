"""Which fields of a request go on to an engine, and what they may hold.

Lists of what is allowed, not of what is forbidden: engines grow fields that reach into parsers, slots and caches
(`chat_parser`, `n_discard`, `id_slot`: three of them had memory-safety bugs), and a field nobody thought of must
not get through. Fields that are null count as not sent; unknown ones are dropped without a word, as clients
send many.
"""

from collections.abc import Callable, Mapping
from typing import Any

from planner.serve.gateway.errors import ApiError, wrong

_TOKEN_DIGITS = 10
_MAX_LOOKBACK = 2**18

Check = Callable[[str, Any], Any]
"""(name, value) → the value to forward. Raises ApiError 400 naming the field. None = do not forward."""


def boolean(name: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(name, "must be true or false")
    return value


def text(name: str, value: Any) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(name, "must be a string")
    return value


def number(low: float, high: float) -> Check:
    """A number within bounds."""

    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong(name, "must be a number")
        if not low <= value <= high:
            raise wrong(name, f"must be between {low:g} and {high:g}")
        return value

    return check


def integer(low: int, high: int) -> Check:
    """A whole number within bounds; `3.0` is one."""

    def check(name: str, value: Any) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(name, "must be a whole number")
        if not low <= value <= high:
            raise wrong(name, f"must be between {low} and {high}")
        return value

    return check


def one_of(*words: str) -> Check:
    """One of some words."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in words:
            raise wrong(name, f"must be one of {', '.join(words)}")
        return value

    return check


def token_limit(name: str, value: Any) -> int | None:
    """How many tokens to generate; -1 (“as many as fit”) is the engine's own default."""
    limit: int = integer(-1, 2**31 - 1)(name, value)
    if limit == 0:
        raise wrong(name, "must be at least 1")
    return None if limit < 0 else limit


def seed(name: str, value: Any) -> int:
    """A seed; -1 means random. llama.cpp's are 32 bits wide."""
    wide: int = integer(-(2**63), 2**64 - 1)(name, value)
    return wide if wide == -1 else wide % 2**32


def stop(name: str, value: Any) -> list[str]:
    """One stop text or several."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts) or len(texts) > 64:
        raise wrong(name, "must be a string or a list of at most 64 strings")
    return [item for item in texts if item]


def only_one(name: str, value: Any) -> None:
    """`n`: one answer per request."""
    if integer(1, 2**31)(name, value) != 1:
        raise wrong(name, "can only be 1: one answer per request")


def logit_bias(name: str, value: Any) -> dict[str, float]:
    """Token id (as text) → bias."""
    if not isinstance(value, dict) or len(value) > 1024:
        raise wrong(name, "must be an object of at most 1024 token ids")
    for token, bias in value.items():
        if not (token.isascii() and token.isdecimal() and len(token) <= _TOKEN_DIGITS):
            raise wrong(name, "must have token ids as its keys")
        number(-100, 100)(name, bias)
    return value


def lookback(name: str, value: Any) -> int:
    """Tokens to look back at; -1 is the whole context.

    An engine sets the memory for them aside at once, 8 GiB at the most it accepts, so what no context reaches is cut.
    """
    tokens: int = integer(-1, 2**31 - 1)(name, value)
    return min(tokens, _MAX_LOOKBACK)


def stream_options(name: str, value: Any) -> dict[str, bool]:
    """`{"include_usage": bool}`."""
    if not isinstance(value, dict):
        raise wrong(name, "must be an object")
    return {key: boolean(f"{name}.{key}", value[key]) for key in ("include_usage",) if value.get(key) is not None}


def prompt(name: str, value: Any) -> str:
    """A text, or a list of exactly one: token ids of a foreign tokenizer would be answered, and wrongly."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        value = value[0]
    if isinstance(value, list):
        raise wrong(name, "must be one text; token ids and several prompts at once are not supported")
    return text(name, value)


SAMPLING: Mapping[str, Check] = {
    "temperature": number(0, 100),
    "top_p": number(0, 1),
    "top_k": integer(-1, 2**31 - 1),
    "min_p": number(0, 1),
    "typical_p": number(0, 100),
    "seed": seed,
    "stop": stop,
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "repeat_penalty": number(0, 100),
    "repeat_last_n": lookback,
    "logit_bias": logit_bias,
    "stream": boolean,
}
COMPLETION: Mapping[str, Check] = {
    "prompt": prompt,
    "max_tokens": token_limit,
    "n": only_one,
    "stream_options": stream_options,
    "logprobs": integer(0, 20),
    **SAMPLING,
}
LEGACY_COMPLETION: Mapping[str, Check] = {
    **SAMPLING,
    "prompt": prompt,
    "n_predict": token_limit,
    "mirostat": integer(0, 2),
    "mirostat_tau": number(0, 1000),
    "mirostat_eta": number(0, 1000),
    "frequency_penalty": number(-100, 100),
    "presence_penalty": number(-100, 100),
}


def pick(body: Mapping[str, Any], allowed: Mapping[str, Check], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The known fields of a request, checked. Raises ApiError 400 naming the first that is wrong or missing."""
    for name in required:
        if body.get(name) is None:
            raise ApiError(400, f"'{name}' is missing.", code="missing_field", param=name)
    checked = {name: check(name, body[name]) for name, check in allowed.items() if body.get(name) is not None}
    return {name: value for name, value in checked.items() if value is not None}


def model_name(body: Mapping[str, Any]) -> str | None:
    """The `model` field: a string, or not sent."""
    name = body.get("model")
    return None if name is None else text("model", name).strip() or None
