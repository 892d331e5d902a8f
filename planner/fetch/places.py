"""Which places of the store belong to which model."""

from collections.abc import Iterable
from pathlib import Path

from planner.core.models.file_pins import Pins, pinned_variant
from planner.core.models.model import Artifact, Model, Variant
from planner.core.values import RepoPath
from planner.errors import BadDataError
from planner.fetch import brought
from planner.fetch.job import shard_names
from planner.fetch.pins import read_pins
from planner.fetch.store import Place, Store


def store_file(model: Model, variant: Variant, artifact: Artifact) -> RepoPath | None:
    """The name under which the store keeps an artifact that is converted; None when it keeps its own."""
    if artifact.convert is None:
        return None
    return RepoPath(f"{model.name}-{variant.quant}.gguf")


def places_of(store: Store, model: Model, variant: Variant, pins: Pins) -> tuple[Place, ...]:
    """Where the store keeps the variant's files, there or not, whichever of its sources they come from.

    A user's file that is used where it lies has no place.
    """
    variant = pinned_variant(model, variant, pins)
    places: list[Place] = []
    for artifact in variant.artifacts:
        if artifact.source == "file":
            pin = pins.get((model.id.casefold(), variant.quant.casefold()))
            if pin is not None and pin.location is not None and brought.is_address(pin.location):
                places.append(brought.web_place(store, pin.location, artifact.file))
            continue
        names = shard_names(artifact) or (store_file(model, variant, artifact),)
        places += [store.place(artifact, name) for name in names]
    return tuple(places)


def owners(store: Store, models: Iterable[Model]) -> dict[Path, tuple[Model, Variant]]:
    """To whom each path belongs, as far as the catalog and the pins say; entries that make no sense own nothing."""
    pins = read_pins(store.root)
    found: dict[Path, tuple[Model, Variant]] = {}
    for model in models:
        for variant in model.variants:
            try:
                places = places_of(store, model, variant, pins)
            except (BadDataError, ValueError):
                continue
            for place in places:
                found.setdefault(place.final, (model, variant))
    return found
