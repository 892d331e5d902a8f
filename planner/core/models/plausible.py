"""What is said of a model beside what its architecture gives: numbers that cannot be meant are refused."""

import functools

from planner.core.models.model import Architecture, Model, Variant
from planner.core.models.parameters import count_parameters
from planner.errors import BadDataError

_COUNT_FACTOR = 4
"""Towers for pictures, layers for multi-token prediction and rounding are far less."""
_SMALLEST_BITS, _LARGEST_BITS = 1.56, 32.0
"""A weight in IQ1_S, the smallest type of llama.cpp, and in F32."""
_SMALLER, _LARGER = 5, 4
"""Factors beyond these: architectures of requests are not always told in full."""

_counted = functools.lru_cache(maxsize=256)(count_parameters)


def check_parameters(model: Model) -> None:
    """Raise BadDataError where the architecture has many times more or fewer weights than `parameters` says."""
    if model.architecture is None or model.parameters is None:
        return
    counted = _counted(model.architecture)
    if not counted / _COUNT_FACTOR <= model.parameters <= counted * _COUNT_FACTOR:
        raise BadDataError(
            f"“parameters” of {model.id} is {model.parameters:,}, and its architecture has {counted:,}.",
            hint="One of them is wrong: check layers and lengths, or leave parameters out.",
            reference="bad-spec",
        )


def check_file_bytes(arch: Architecture | None, variant: Variant) -> None:
    """Raise BadDataError for a file that no quant type makes so small or so large."""
    if arch is None or variant.file_bytes is None:
        return
    weights = _counted(arch)
    smallest, largest = weights * _SMALLEST_BITS / 8 / _SMALLER, weights * _LARGEST_BITS / 8 * _LARGER
    if not smallest <= variant.file_bytes <= largest:
        raise BadDataError(
            f"“file_bytes” is {variant.file_bytes:,}: {weights:,} weights take {round(smallest * _SMALLER):,} bytes "
            f"in the smallest type there is and {round(largest / _LARGER):,} in F32.",
            hint="It is the size of all files of the model in bytes; leave it out to have it predicted.",
            reference="bad-file-size",
        )
