"""Least squares for the constants of a speed formula, in logs, without anything but the standard library.

Least squares on log(predicted ÷ measured) with a soft-L1 loss; every row has a weight, every constant a value it is
pulled to. The formula is called, not rewritten: a constant's effect is measured by changing it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.throughput_rows import Row, weights
from planner.core.speed.calibration import Calibration

_SOFT = 0.15
"""Log error beyond which a row counts by its error, not by its square."""
_STEP = 1e-4


@dataclass(frozen=True)
class Term:
    """A constant in logs: `start` is what it is pulled to, `pull` how much (in rows of a device of its own, √)."""

    start: float
    pull: float


@dataclass(frozen=True)
class Form:
    """A formula: its constants, the calibration they make, and which of them a row depends on."""

    terms: Mapping[str, Term]
    make: Callable[[Mapping[str, float], Calibration], Calibration]
    uses: Callable[[Row], tuple[str, ...]]
    seconds: Callable[[Row, Calibration], float]


def _solve(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Cholesky: the matrix is positive definite, every constant is pulled somewhere."""
    size = len(right)
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = math.sqrt(rest) if i == j else rest / lower[j][j]
    middle: list[float] = []
    for i in range(size):
        middle.append((right[i] - sum(lower[i][k] * middle[k] for k in range(i))) / lower[i][i])
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (middle[i] - sum(lower[k][i] * found[k] for k in range(i + 1, size))) / lower[i][i]
    return found


def _damped(matrix: list[list[float]], damping: float) -> list[list[float]]:
    return [[value * (1 + damping * (i == j)) for j, value in enumerate(line)] for i, line in enumerate(matrix)]


class Problem:
    """A form and its rows: errors, cost and normal equations at constants x."""

    def __init__(self, form: Form, rows: Sequence[Row], base: Calibration) -> None:
        self.form, self.rows, self.base = form, rows, base
        self.names = list(form.terms)
        self.place = {name: index for index, name in enumerate(self.names)}
        self.weights = weights(rows)
        self.used = [form.uses(row) for row in rows]

    def errors(self, x: Mapping[str, float]) -> list[float]:
        """log(predicted ÷ measured) by row."""
        calibration = self.form.make(x, self.base)
        return [-math.log(self.form.seconds(row, calibration) * row.rate) for row in self.rows]

    def cost(self, x: Mapping[str, float], errors: Sequence[float]) -> float:
        """The loss and the pulls."""
        rows = zip(self.weights, errors, strict=True)
        loss = sum(weight * 2 * _SOFT**2 * (math.hypot(1, error / _SOFT) - 1) for weight, error in rows)
        return loss + sum((term.pull * (x[name] - term.start)) ** 2 for name, term in self.form.terms.items())

    def equations(self, x: Mapping[str, float], errors: Sequence[float]) -> tuple[list[list[float]], list[float]]:
        """Gauss-Newton's matrix and right side; a row far off weighs less, as its loss grows less."""
        matrix = [[0.0] * len(self.names) for _ in self.names]
        right = [0.0] * len(self.names)
        changed = {name: self.form.make({**x, name: x[name] + _STEP}, self.base) for name in self.names}
        for row, weight, error, terms in zip(self.rows, self.weights, errors, self.used, strict=True):
            scale = weight / math.hypot(1, error / _SOFT)
            slopes = [
                (self.place[name], (-math.log(self.form.seconds(row, changed[name]) * row.rate) - error) / _STEP)
                for name in terms
            ]
            for i, slope in slopes:
                right[i] -= scale * slope * error
                for j, other in slopes:
                    matrix[i][j] += scale * slope * other
        for name, term in self.form.terms.items():
            matrix[self.place[name]][self.place[name]] += term.pull**2
            right[self.place[name]] -= term.pull**2 * (x[name] - term.start)
        return matrix, right

    def solution(self) -> dict[str, float]:
        """Levenberg-Marquardt."""
        x = {name: term.start for name, term in self.form.terms.items()}
        errors, damping = self.errors(x), 1e-3
        best = self.cost(x, errors)
        while damping < 1e6:
            matrix, right = self.equations(x, errors)
            step = _solve(_damped(matrix, damping), right)
            tried = {name: x[name] + step[self.place[name]] for name in self.names}
            found = self.errors(tried)
            reached = self.cost(tried, found)
            gained = best - reached
            if gained < 0:
                damping *= 4
                continue
            x, errors, best, damping = tried, found, reached, max(damping / 5, 1e-9)
            if gained < 1e-8 * best:
                break
        return x
