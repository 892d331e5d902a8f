"""Choices of the user, in memory: read at once, written behind the app's back."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class Remembered:
    """Names such as `models.sort` with JSON values. A value of another kind than the default counts as not there."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)
        self.changed = False

    def get(self, name: str, default: T) -> T:
        """What was remembered under a name, if it is of the default's kind; lists and dicts are not looked into."""
        value = self._values.get(name, default)
        return value if type(value) is type(default) else default

    def put(self, name: str, value: object) -> None:
        """Remember; None forgets."""
        if self._values.get(name) == value:
            return
        if value is None:
            del self._values[name]
        else:
            self._values[name] = value
        self.changed = True

    def taken(self) -> dict[str, Any]:
        """All values, to be written; from now on nothing is unwritten."""
        self.changed = False
        return dict(self._values)
