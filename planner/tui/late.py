"""Functions that are imported when they are first called."""

import importlib
from collections.abc import Callable
from typing import Any


class Late:
    """A function of `planner.tui.data`, named `module:function`. `made`: a class whose instance is the function."""

    def __init__(self, where: str, *, made: bool = False) -> None:
        self._where = where
        self._made = made
        self._found: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Import it the first time, and call it."""
        if self._found is None:
            module, _, name = self._where.partition(":")
            found = getattr(importlib.import_module(f"planner.tui.data.{module}"), name)
            self._found = found() if self._made else found
        return self._found(*arguments, **options)
