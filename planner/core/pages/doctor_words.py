"""A doctor's findings in words: labels and values as people read them. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from planner.units import format_gb, format_gib

_NOTHING = {"packages": "not installed", "settings": "none", "limits": "none"}
"""What a missing value means, by section; elsewhere it is unknown."""


def fact_rows(section: str, facts: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Label and words of each value; lists of several have a row for each item, without the label from the second."""
    for label, value in facts.items():
        shown = label.removesuffix("_bytes").removesuffix("_s").replace("_", " ") if label.islower() else label
        items = [value]
        if isinstance(value, Sequence) and not isinstance(value, str):
            items = list(value) or ["none"]
        for item in items:
            yield shown, fact_words(section, label, item)
            shown = ""


def fact_words(section: str, label: str, value: object) -> str:
    """A value in words: sizes, seconds, yes and no."""
    text = str(value)
    if value is None:
        text = _NOTHING.get(section, "unknown")
    elif isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int) and label.endswith("bytes"):
        text = format_gib(value) if section == "limits" else format_gb(value)
    elif isinstance(value, int | float) and label.endswith("_s"):
        text = f"{value:g} s"
    elif isinstance(value, Mapping) and set(value) == {"value", "source"}:
        text = f"{fact_words(section, '', value['value'])} ({value['source']})"
    elif isinstance(value, Mapping):
        unit = "_s" if label.endswith("_s") else ""
        pairs = ((key.removesuffix("_bytes"), fact_words(section, key + unit, item)) for key, item in value.items())
        text = ", ".join(f"{key.replace('_', ' ')} {words}" for key, words in pairs)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        text = ", ".join(map(str, value)) or "none"
    return text
