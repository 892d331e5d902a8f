"""An 80 % interval as factors on the middle, and how intervals combine."""

import math
from typing import Annotated

import msgspec

Below = Annotated[float, msgspec.Meta(gt=0, le=1)]
Above = Annotated[float, msgspec.Meta(ge=1, le=1e6)]


class Interval(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measured over predicted: the factors an 80 % interval spans."""

    low: Below
    high: Above

    def wider(self, other: "Interval") -> "Interval":
        """Both uncertainties together, as independent log errors."""
        return Interval(
            low=math.exp(-math.hypot(math.log(self.low), math.log(other.low))),
            high=math.exp(math.hypot(math.log(self.high), math.log(other.high))),
        )

    def hull(self, other: "Interval") -> "Interval":
        """The narrowest interval around both."""
        return Interval(low=min(self.low, other.low), high=max(self.high, other.high))

    def scaled(self, factor: float) -> "Interval":
        """The interval with log errors `factor` times as large."""
        return Interval(low=self.low**factor, high=self.high**factor)


NONE = Interval(1.0, 1.0)
"""No uncertainty: where combining starts."""
