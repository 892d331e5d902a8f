"""What providers that say everything in one answer have in common."""

from planner.prices.provider import Wanted


class OneRequest:
    """The head of a provider without a key whose whole market is one part; who it is reads the answer in `fetch`."""

    name: str
    key_name: str | None = None
    workers = 1
    requests_a_minute: int | None = None
    instead_of: str | None = None

    def __init__(self, url: str) -> None:
        self._url = url

    def parts(self, wanted: Wanted) -> tuple[str, ...]:
        """There is one part, whatever is wanted."""
        return ("all",)
