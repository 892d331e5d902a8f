"""Numbers of the command line that click reads too generously."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range of numbers without those that are none: no bound holds `nan`, as every comparison with it is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error for `nan`, `inf` and what is beyond the bounds."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is not a number that can be asked for.", param, ctx)
        return found
