"""Reading answers of strangers: a field that is missing, null or of another type is unknown, never an error."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from decimal import Decimal

from planner.errors import RemoteError

_PLAIN = re.compile(r"-?\d{1,12}(?:\.\d{1,40})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_LONGEST_TEXT = 120
_LARGEST = 10**15

Row = dict[str, object]


def parse_json(body: bytes, provider: str) -> object:
    """The document of an answer, numbers as written. Raises RemoteError `bad-answer` for what is no JSON."""
    try:
        tree: object = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        page = body.lstrip()[:1] == b"<"
        what = "a web page" if page else "something that is not JSON, or breaks off"
        raise RemoteError(
            f"{provider} answered with {what}.",
            hint="Its interface may be down or changed; the other providers are not affected.",
            reference="bad-answer",
        ) from error
    return tree


def unreadable(provider: str, what: str) -> RemoteError:
    """The error for an answer without the part that holds the offers."""
    return RemoteError(
        f"{provider} answered without {what}.",
        hint="Its interface may have changed; the other providers are not affected.",
        reference="bad-answer",
    )


def number(value: object) -> Decimal | None:
    """A finite number, also one written as text ("0.35", "$0.35"); None for anything else, True included."""
    found: Decimal | None = None
    if isinstance(value, Decimal):
        found = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = Decimal(repr(value)) if abs(value) < _LARGEST else None
    elif isinstance(value, str) and _PLAIN.fullmatch(plain := value.strip().removeprefix("$").strip()):
        found = Decimal(plain)
    return found if found is not None and found.is_finite() and abs(found) < _LARGEST else None


def real(value: object) -> float | None:
    """A number as a float; None where it is none."""
    found = number(value)
    return None if found is None else float(found)


def whole(value: object) -> int | None:
    """A whole number that is not negative; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found >= 0 and found == found.to_integral_value() else None


def text(value: object) -> str | None:
    """A text of one line that is not empty, cut to a sensible length; None for anything else."""
    if not isinstance(value, str):
        return None
    line = " ".join("".join(char if char.isprintable() else " " for char in value).split())
    return line[:_LONGEST_TEXT] or None


def truth(value: object) -> bool | None:
    """True or false; None for anything else."""
    return value if isinstance(value, bool) else None


def part(value: object, *names: str) -> object:
    """What lies under these names, one in the other; None where one is missing."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def rows(value: object) -> Iterator[Row]:
    """The objects of a list, or a lone object; what is no object is passed over."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def share(value: object) -> float | None:
    """A number between 0 and 1; None for anything else."""
    found = real(value)
    return found if found is not None and 0 <= found <= 1 else None


def amount(value: object) -> Decimal | None:
    """A number that is not negative, 0 included; None for anything else."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def price(value: object) -> Decimal | None:
    """A positive number; None for anything else: 0 is how some say “not for rent”."""
    found = number(value)
    return found if found is not None and found > 0 else None


def iso(epoch_s: float) -> str:
    """A time as ISO 8601 UTC to the second."""
    return dt.datetime.fromtimestamp(int(epoch_s), dt.UTC).isoformat().replace("+00:00", "Z")


def epoch(when: str) -> float | None:
    """Seconds since 1970 of ISO 8601 or of a day (its beginning, UTC); None for anything else."""
    try:
        found = dt.datetime.fromisoformat(when)
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
