"""Sizes and rates: parsing what people type, printing what people read.

GiB = 2^30 bytes for memory; GB = 10^9 bytes for disk and network. Both are always written out.
"""

import math
import re

from planner.errors import UsageError

KIB = 2**10
MIB = 2**20
GIB = 2**30
GB = 10**9

_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kmgt]?(?:i?b)?)", re.IGNORECASE | re.ASCII)
_BINARY = {"": GIB, "k": KIB, "m": MIB, "g": GIB, "t": 2**40}
_DECIMAL = {"k": 10**3, "m": 10**6, "g": GB, "t": 10**12}


def parse_memory(text: str) -> int:
    """Bytes for a memory size as people type it: `8`, `8G`, `24GiB`, `512M` are binary, `8GB` is too.

    Memory is sold in binary gigabytes whatever the label says, so `GB` means GiB here.
    Raises UsageError for anything that is not a positive size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"“{text}” is not a memory size.", hint="Write GiB as a number: 8, 8G, 24GiB or 512M.")
    prefix = match["unit"].lower().rstrip("b").rstrip("i")
    size = float(match["number"]) * (1 if match["unit"].lower() == "b" else _BINARY[prefix])
    if not 0 < size < 2**60:
        raise UsageError(f"A memory size of “{text}” makes no sense.", hint="Give a positive number of GiB.")
    return math.floor(size)


def parse_memory_list(text: str) -> tuple[int, ...]:
    """Sizes of several cards: `8` is one, `24x2` (or `2x24`) is two alike, `24,12` is two different ones.

    Raises UsageError; the smaller of the two numbers around `x` is the count when both readings are possible.
    """
    sizes: list[int] = []
    for part in text.split(","):
        left, cross, right = (piece.strip() for piece in part.lower().replace("*", "x").partition("x"))
        if not cross:
            sizes.append(parse_memory(left))
            continue
        size, count = left, right
        if not right.isdigit() or (left.isdigit() and int(left) < int(right)):
            size, count = right, left
        if not count.isdigit() or not 1 <= int(count) <= 64:
            raise UsageError(f"“{part.strip()}” is not SIZExCOUNT.", hint="Two cards of 24 GiB: 24x2.")
        sizes.extend([parse_memory(size)] * int(count))
    return tuple(sizes)


def parse_disk(text: str) -> int:
    """Bytes for a disk or download size: `20`, `20G`, `20GB` are 10^9, `20GiB` is 2^30."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"“{text}” is not a size.", hint="Write GB as a number: 20, 20GB or 20GiB.")
    unit = match["unit"].lower()
    factor = _BINARY[unit[0]] if "i" in unit else _DECIMAL.get(unit[:1], GB if not unit else 1)
    return math.floor(float(match["number"]) * factor)


def parse_count(text: str) -> int:
    """Parameters as people type them: `8B` and `8` are 8 · 10^9, `335M` 335 · 10^6; from 100,000 on a plain count."""
    match = re.fullmatch(r"(?P<number>\d{1,18}(?:\.\d{1,9})?)\s*(?P<unit>[kmbt]?)", text.strip().lower(), re.ASCII)
    if match is None or not float(match["number"]):
        raise UsageError(f"“{text[:40]}” is not a number of parameters.", hint="Write 335M, 8B or 1.5B.")
    number = float(match["number"])
    plain = not match["unit"] and number >= 10**5
    return round(number * (1 if plain else {"k": 10**3, "m": 10**6, "t": 10**12}.get(match["unit"], 10**9)))


def format_gib(size_bytes: int) -> str:
    """Memory for people: `5.4 GiB`; below 1 GiB in MiB."""
    if abs(size_bytes) < GIB:
        return f"{size_bytes / MIB:.0f} MiB"
    return f"{size_bytes / GIB:.1f} GiB"


def format_gb(size_bytes: int) -> str:
    """Disk and network sizes for people: `4.92 GB`; below 1 GB in MB."""
    if abs(size_bytes) < GB:
        return f"{size_bytes / 10**6:.0f} MB"
    return f"{size_bytes / GB:.2f} GB"


def format_count(count: int) -> str:
    """Parameters or tokens for people: `135M`, `8.03B`."""
    for divisor, suffix in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= divisor:
            return f"{count / divisor:.3g}{suffix}"
    return str(count)


def duration_range(low_s: float, high_s: float) -> str:
    """A range of times for people, in the unit of its longer end: `6 to 18 min`, `1.2 to 3.0 s`, `less than 1 s`."""
    if high_s < 1:
        return "less than 1 s"
    seconds, unit = next(
        (size, name)
        for size, name in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min"), (0.5, "s"))
        if high_s >= 2 * size
    )
    seconds = max(seconds, 1.0)
    low, high = (f"{t / seconds:.0f}" if t >= 10 * seconds else f"{t / seconds:.1f}" for t in (low_s, high_s))
    return f"{high} {unit}" if low == high else f"{low} to {high} {unit}"


def format_duration(seconds: float) -> str:
    """How long something takes, or took: `42 s`, `1:31 min`, `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def format_rate(tokens_per_s: float) -> str:
    """Tokens per second with no more digits than an estimate has."""
    return f"{tokens_per_s:.0f}" if tokens_per_s >= 10 else f"{tokens_per_s:.1f}"


def format_tokens(tokens: int) -> str:
    """A context for people: `32k` for 32,768."""
    return f"{tokens // 1024}k" if tokens >= 1024 else str(tokens)


def format_rates(low: float, high: float) -> str:
    """A range of tokens per second where room is short: `5.8k-38k`, `53-92`."""
    return f"{_rate_short(low)}-{_rate_short(high)}"


def _rate_short(tokens_per_s: float) -> str:
    return format_rate(tokens_per_s) if tokens_per_s < 1000 else f"{format_rate(tokens_per_s / 1000)}k"


def printable(text: str) -> str:
    """Text from outside made safe for a terminal: C0 and C1 controls (escape sequences) are dropped, tabs kept."""
    return "".join(char for char in text if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160))
