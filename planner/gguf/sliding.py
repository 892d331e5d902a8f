"""Which layers attend to a window only, where the file itself does not say.

Periods as llama.cpp's `src/models/*.cpp` sets them when `<architecture>.attention.sliding_window_pattern` is
missing (read September 2026). Getting one wrong mis-sizes the KV cache of a whole family.
"""

from typing import NamedTuple


class Period(NamedTuple):
    """Every `every`-th layer is a full one: the last of each group, or the first with `full_first`.

    `window` is used when the file gives none; None means that such a file has no sliding layers.
    """

    every: int
    full_first: bool = False
    window: int | None = None


PERIODS: dict[str, Period] = {
    "afmoe": Period(4),
    "cohere2": Period(4),
    "cohere2moe": Period(4, full_first=True),
    "exaone-moe": Period(4),
    "exaone4": Period(4),
    "gemma-embedding": Period(6),
    "gemma2": Period(2, window=4096),
    "gemma3": Period(6),
    "gemma3n": Period(5),
    "gpt-oss": Period(2),
    "llama4": Period(4, window=8192),
    "modern-bert": Period(3, full_first=True),
    "olmo2": Period(4),
    "plamo3": Period(8),
    "smallthinker": Period(4, full_first=True),
}

IGNORED = frozenset({"phi3"})
"""Architectures whose files name a window that llama.cpp switches off again."""


def sliding_layers(architecture: str, layers: int, pattern: object) -> tuple[bool, ...] | None:
    """Per layer, whether it slides; None when it cannot be known (then treat every layer as a full one).

    `pattern` is the file's own value: a period, one flag per layer, or None.
    """
    known = PERIODS.get(architecture)
    if isinstance(pattern, tuple):
        flags = tuple(bool(flag) for flag in pattern)
        return flags if len(flags) == layers else None
    if isinstance(pattern, int) and 0 <= pattern <= layers:
        every = int(pattern)
    elif pattern is None and known is not None:
        every = known.every
    else:
        return None
    if every == 0:
        return (True,) * layers
    full = 0 if known is not None and known.full_first else every - 1
    return tuple(layer % every != full for layer in range(layers))
