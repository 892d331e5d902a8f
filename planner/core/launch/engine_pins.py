"""The releases of engines that are fetched, as `catalog/engines.json` names them."""

from typing import Literal

import msgspec

from planner.core.values import Digest
from planner.errors import EngineError


class EnginePin(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One release. `llama_cpp_build` None = not published; `below_minimum`: older than the least safe build."""

    name: str
    version: str
    variant: str
    default: bool
    url: str
    bytes: int | None
    sha256: Digest
    llama_cpp_build: int | None
    below_minimum: bool
    licence: str
    note: str = ""
    source: str = ""


class EnginePins(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`catalog/engines.json`. `minimum_llama_cpp_build` is the least build without known server holes.

    `newest_known_good_build` is the newest one that planner's own flags and answers were tried with.
    """

    schema: Literal[1]
    as_of: str
    minimum_llama_cpp_build: int
    minimum_reason: str
    minimum_source: str
    engines: tuple[EnginePin, ...]
    newest_known_good_build: int | None = None
    newest_known_good_source: str = ""

    def pin(self, name: str, variant: str | None = None) -> EnginePin:
        """The release of `name` to use: the default one, or the one of that variant. Raises EngineError."""
        for pin in self.engines:
            if pin.name == name and (pin.default if variant is None else pin.variant == variant):
                return pin
        known = ", ".join(f"{pin.name}:{pin.variant}" for pin in self.engines)
        raise EngineError(
            f"No release of {name}{f':{variant}' if variant else ''} is pinned, so none is downloaded.",
            hint=f"Pinned: {known}. Or give a program of your own with --engine-path.",
            reference="no-engine-pin",
        )
