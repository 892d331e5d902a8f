"""Calm themes of our own; Textual's are there too, by the command palette."""

from collections.abc import Container, Iterable

from textual.theme import Theme

DARK = Theme(
    name="planner-dark",
    primary="#7aa2d6",
    secondary="#8fb996",
    accent="#c4a7e0",
    success="#8fb996",
    warning="#d9b36c",
    error="#d98080",
    foreground="#d6dae0",
    background="#14171c",
    surface="#14171c",
    panel="#1f242c",
    dark=True,
)
LIGHT = Theme(
    name="planner-light",
    primary="#2f6299",
    secondary="#3f7d4b",
    accent="#7a4fa3",
    success="#3f7d4b",
    warning="#8a5a00",
    error="#b03a3a",
    foreground="#23272e",
    background="#fafafa",
    surface="#fafafa",
    panel="#e9ecf0",
    dark=False,
)
CONTRAST = Theme(
    name="planner-contrast",
    primary="#6cb8ff",
    secondary="#7ee787",
    accent="#e2b8ff",
    success="#7ee787",
    warning="#ffd75f",
    error="#ff8f8f",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#2b2b2b",
    dark=True,
)
CONTRAST_LIGHT = Theme(
    name="planner-contrast-light",
    primary="#003d99",
    secondary="#00520f",
    accent="#5b007a",
    success="#00520f",
    warning="#6b3f00",
    error="#9b0000",
    foreground="#000000",
    background="#ffffff",
    surface="#ffffff",
    panel="#d9d9d9",
    dark=False,
)
THEMES = (DARK, LIGHT, CONTRAST, CONTRAST_LIGHT)
ABOUT = {
    DARK.name: "calm, dark",
    LIGHT.name: "calm, light",
    CONTRAST.name: "high contrast, dark",
    CONTRAST_LIGHT.name: "high contrast, light",
    "ansi-dark": "the terminal's own 16 colours, dark",
    "ansi-light": "the terminal's own 16 colours, light",
}
"""Those named first in the palette."""


def described(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Themes with a word about each, ours first; Textual's own default pair is left out, ours stand for it."""
    others = sorted(set(names) - set(ABOUT) - {"textual-dark", "textual-light"})
    return (*ABOUT.items(), *((name, "") for name in others))


def first_theme(remembered: str, available: Container[str], *, few_colours: bool) -> str:
    """What to begin with: that of last time, if it is still there."""
    if remembered in available:
        return remembered
    return "ansi-dark" if few_colours else DARK.name  # ours rounded to 16 lose the quiet ones
