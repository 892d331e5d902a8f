"""Tails of the distributions that rank tests need, without a numeric library.

Regularised incomplete gamma and beta functions by series and continued fractions (Lentz), as in Abramowitz and
Stegun 6.5 and 26.5.8; the studentized range by Simpson's rule over its integral for infinite degrees of freedom.
"""

import math
from collections.abc import Iterator

_TINY = 1e-300
_PRECISION = 1e-15
_MAX_TERMS = 100_000


def chi_square_tail(value: float, degrees: float) -> float:
    """P(X > value) for chi-square with that many degrees of freedom."""
    if value <= 0:
        return 1.0
    a, x = degrees / 2, value / 2
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        for step in range(1, _MAX_TERMS):
            term *= x / (a + step)
            total += term
            if term < total * _PRECISION:
                break
        return max(0.0, 1 - scale * total)
    steps = ((-n * (n - a), x + 2 * n + 1 - a) for n in range(1, _MAX_TERMS))
    return scale / (x + 1 - a + _continued(steps))


def f_tail(value: float, degrees_1: float, degrees_2: float) -> float:
    """P(X > value) for the F distribution."""
    if value <= 0:
        return 1.0
    if math.isinf(value):
        return 0.0
    return _beta(degrees_2 / (degrees_2 + degrees_1 * value), degrees_2 / 2, degrees_1 / 2)


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return min(1.0, max(0.0, x))
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta(1 - x, b, a)
    log_scale = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

    def steps() -> Iterator[tuple[float, float]]:
        for m in range(_MAX_TERMS):
            yield -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)), 1.0
            n = m + 1
            yield n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n)), 1.0

    return math.exp(log_scale) / (a * (1 + _continued(steps())))


def _continued(steps: Iterator[tuple[float, float]]) -> float:
    """The continued fraction a1/(b1 + a2/(b2 + …)) by the modified Lentz method."""
    value = c = _TINY
    d = 0.0
    for a, b in steps:
        d = 1 / ((b + a * d) or _TINY)
        c = (b + a / c) or _TINY
        value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def studentized_range_quantile(share: float, groups: int) -> float:
    """The q that the range of `groups` standard normal values stays below with probability `share`.

    Infinite degrees of freedom: P(q) = k ∫ φ(z) (Φ(z) - Φ(z - q))^(k-1) dz. Good to 1e-6 up to 1000 groups.
    """
    step = 1 / 32
    nodes = [-9 + step * index for index in range(round(18 / step) + 1)]
    weights = [
        (1 if index in {0, len(nodes) - 1} else 4 if index % 2 else 2)
        * step / 3 * groups * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        for index, z in enumerate(nodes)
    ]  # fmt: skip
    below = [_normal(z) for z in nodes]

    def probability(q: float) -> float:
        return math.fsum(
            weight * (high - _normal(z - q)) ** (groups - 1)
            for z, weight, high in zip(nodes, weights, below, strict=True)
        )

    low, high = 0.0, 1.0
    while probability(high) < share:
        low, high = high, 2 * high
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if probability(middle) < share else (low, middle)
    return (low + high) / 2


def _normal(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2
