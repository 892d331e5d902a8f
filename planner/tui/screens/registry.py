"""Which screen lives where. A module is imported when its screen is first opened: start-up time is a feature."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.errors import UsageError

if TYPE_CHECKING:  # the command line asks for the names before it is known that an app is wanted
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
    "models": "planner.tui.screens.models:ModelsScreen",
    "prices": "planner.tui.screens.prices:PricesPage",
    "servers": "planner.tui.screens.servers:ServersPage",
    "what-if": "planner.tui.screens.what_if:WhatIfPage",
    "downloads": "planner.tui.screens.downloads:DownloadsPage",
    "doctor": "planner.tui.screens.doctor:DoctorPage",
}
"""Page → `module:class`, called with `marks`. A page that is not here is not offered."""

DETAILS: Mapping[str, str] = {
    "compare": "planner.tui.screens.compare:CompareScreen",
    "model": "planner.tui.screens.model_page:ModelScreen",
    "explain": "planner.tui.screens.explain:Explain",
    "launch": "planner.tui.screens.launch:LaunchScreen",
}
"""On top of a page, called with `marks` and: `model` a model's id, `compare` ids, `explain` what to explain."""


def offered() -> tuple[str, ...]:
    """The pages there are, in the order of the tabs."""
    return tuple(name for name in TITLES if name in PAGES)


def load_screen(name: str) -> "type[Screen[Any]]":
    """The class of a page or detail. Raises KeyError when there is none."""
    module, _, attribute = {**PAGES, **DETAILS}[name].partition(":")
    found: type[Screen[Any]] = getattr(importlib.import_module(module), attribute)
    return found


def name_of(screen: object) -> str:
    """The name of a page or detail that is open; empty for other screens."""
    kind = type(screen)
    return next(
        (name for name, path in {**PAGES, **DETAILS}.items() if path == f"{kind.__module__}:{kind.__name__}"), ""
    )


def page_and_model(text: str) -> tuple[str, str]:
    """What `--screen` asks for: a page, and the model on top of it (`model:ID`) or nothing. Raises UsageError."""
    kind, colon, model = text.partition(":")
    if kind == "model" and model and "model" in DETAILS:
        return "models", model
    if text in offered() and not colon:
        return text, ""
    also = ", and model:ID for a model's page" if "model" in DETAILS else ""
    raise UsageError(
        f"There is no screen “{text}”.", hint=f"Screens: {', '.join(offered())}{also}.", reference="unknown-screen"
    )
