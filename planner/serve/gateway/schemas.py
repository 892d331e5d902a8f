"""How many choices a client's JSON schema may offer.

An engine makes a grammar of it and tries every token of its vocabulary against every choice that is open. Measured
with the starter generator (49,152 tokens, 2 busy processors): 1,000 values of an `enum` take about 2 s a token; with
20,000 one request kept the engine for longer than six minutes, its client long gone, and nobody else was answered.
"""

from typing import Any

from planner.serve.gateway.errors import wrong

MAX_CHOICES = 1000
"""In the schema an answer must follow."""
MAX_TOOL_CHOICES = 4000
"""In the parameters of all tools together, of which an answer follows one at a time."""
_CHOICES = ("enum", "anyOf", "oneOf", "allOf", "properties", "patternProperties", "prefixItems")


def check_choices(name: str, schema: Any, *, most: int = MAX_CHOICES) -> None:
    """Raises ApiError 400 for a schema (or a list of them) with more than `most` choices, however deep they are."""
    count = 0
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            count += sum(len(part[word]) for word in _CHOICES if isinstance(part.get(word), list | dict))
            if isinstance(pattern := part.get("pattern"), str):
                count += pattern.count("|")
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
        if count > most:
            raise wrong(name, f"offers more than {most} choices (values, alternatives, properties); offer fewer")
