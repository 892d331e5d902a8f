"""Two calm themes; Textual's own are there too (command palette)."""

from textual.theme import Theme

THEMES = (
    Theme(
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
    ),
    Theme(
        name="planner-light",
        primary="#2f6299",
        secondary="#3f7d4b",
        accent="#7a4fa3",
        success="#3f7d4b",
        warning="#9a6a0f",
        error="#b03a3a",
        foreground="#23272e",
        background="#fafafa",
        surface="#fafafa",
        panel="#e9ecf0",
        dark=False,
    ),
)
