"""Which screen lives where. A module is imported when its screen is first opened: start-up time is a feature."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from textual.screen import Screen

TITLES: Mapping[str, str] = {
    "home": "Home",
    "models": "Models",
    "what-if": "What-if",
    "prices": "Prices",
    "downloads": "Downloads",
    "servers": "Servers",
    "doctor": "Doctor",
}
"""Page → title, in the order of the tabs; its key is its place, from 1."""

PAGES: Mapping[str, str] = {
    "home": "planner.tui.screens.home:HomeScreen",
}
"""Page → `module:class`, called with `marks`. A page that is not here is not offered."""

DETAILS: Mapping[str, str] = {}
"""`model` (called with a model's id), `compare` (ids) and `explain` (what to explain), all with `marks`."""


def offered() -> tuple[str, ...]:
    """The pages there are, in the order of the tabs."""
    return tuple(name for name in TITLES if name in PAGES)


def load_screen(name: str) -> Callable[..., Screen[Any]]:
    """The class of a page or detail. Raises KeyError when there is none."""
    module, _, attribute = {**PAGES, **DETAILS}[name].partition(":")
    found: Callable[..., Screen[Any]] = getattr(importlib.import_module(module), attribute)
    return found
