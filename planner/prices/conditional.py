"""Conditional requests: asking a server whether anything has changed since its last answer (RFC 9110, section 13)."""

from planner.prices.provider import Answer, Part

_LONGEST = 200
_HEADERS = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
"""Header of an answer → header of the next request that hands it back."""


def conditions(before: Part | None) -> dict[str, str]:
    """The headers that make a request conditional on what is known; none where nothing is."""
    known = {} if before is None else before.validators
    return {ask: known[told] for told, ask in _HEADERS.items() if told in known}


def validators_of(answer: Answer) -> dict[str, str]:
    """What an answer gives for the next request; what no header can hold is left out."""
    found = {told: answer.headers.get(told, "") for told in _HEADERS}
    return {told: text for told, text in found.items() if text and len(text) <= _LONGEST and _fits_a_header(text)}


def unchanged(answer: Answer, before: Part | None, now: float) -> Part | None:
    """What is known, as new, where the server says that it still holds; else None."""
    if answer.status != 304 or before is None:
        return None
    return Part(fetched_at=now, quotes=before.quotes, complete=before.complete, validators=before.validators)


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
