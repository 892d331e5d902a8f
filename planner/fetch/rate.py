"""`--limit-rate`: a download that leaves others on the line their share."""

import time
from collections.abc import Callable

from planner.fetch.stream import SLICE_S


class RateLimit:
    """Keeps the average of what is taken at `bytes_per_s` or below; None = as fast as it comes.

    What was not used in a pause is not made up for: a stall is not followed by a burst.
    """

    def __init__(
        self,
        bytes_per_s: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.bytes_per_s = bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._free_at = float("-inf")

    def take(self, count: int, tick: Callable[[], None]) -> None:
        """Count bytes that came, and sleep as long as they are ahead of the rate. `tick` may raise to cancel."""
        if self.bytes_per_s is None:
            return
        now = self._clock()
        self._free_at = max(self._free_at, now) + count / self.bytes_per_s
        self.sleep(self._free_at - now, tick)

    def sleep(self, seconds: float, tick: Callable[[], None]) -> None:
        """Sleep in slices, with a `tick` before each."""
        end = self._clock() + seconds
        while (left_s := end - self._clock()) > 0:
            tick()
            self._sleep(min(SLICE_S, left_s))
