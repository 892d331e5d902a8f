"""Typed access to a header's metadata: values may be missing, or of a type nobody expects."""

from planner.gguf.header import LongArray, Value


class Keys:
    """Typed access to `<architecture>.<key>`; remembers the keys whose value has the wrong type."""

    def __init__(self, metadata: dict[str, Value]) -> None:
        self.metadata = metadata
        self.wrong: dict[str, str] = {}
        self.architecture = self.text("general.architecture")

    def text(self, key: str) -> str | None:
        """A text, None if it is missing or empty."""
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, str):
            self.wrong[key] = _describe(value)
        return value if isinstance(value, str) and value else None

    def get(self, key: str) -> Value | None:
        """The raw value of an architecture key."""
        return self.metadata.get(f"{self.architecture}.{key}")

    def number(self, key: str) -> int | None:
        """A whole number; of one per layer the largest."""
        values = self.numbers(key)
        return max(values) if values else None

    def numbers(self, key: str) -> tuple[int, ...]:
        """A whole number, or one per layer, as a tuple; () if missing or of another type."""
        value = self.get(key)
        if value is None:
            return ()
        values = value if isinstance(value, tuple) else (value,)
        numbers = tuple(v for v in values if isinstance(v, int) and not isinstance(v, bool))
        if len(numbers) != len(values):
            self.wrong[f"{self.architecture}.{key}"] = _describe(value)
            return ()
        return numbers


def _describe(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, tuple):
        return f"an array of {len(value):,} items"
    if isinstance(value, LongArray):
        return f"an array of {value.count:,} items"
    names = {str: "a text", float: "a fraction", int: "a number"}
    return names.get(type(value), "a very long text")
