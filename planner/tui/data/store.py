"""What lies in the store of models, how much room there is, and what could be fetched."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from planner.core.models.model import Model, Variant
from planner.tui.data.machine import Situation

if TYPE_CHECKING:
    from planner.core.values import RepoPath


@dataclass(frozen=True)
class Stored:
    """A model in a quant that was fetched, its parts together; or a file that belongs to no model.

    `reference` is what the command line takes for it: `MODEL:QUANT`, or the path of such a file. `verified`: hashes
    equal the promised ones. `missing`: the note is there, and a file is not as it was.
    """

    reference: str
    name: str
    quant: str
    bytes: int
    fetched_on: str
    verified: bool
    missing: bool = False
    model: str = ""


@dataclass(frozen=True)
class StoreView:
    """The folder, what is in it, and the room there is on its disk. Sizes in bytes.

    `begun` says by reference how much of a download that was not finished lies there already.
    """

    folder: str
    stored: tuple[Stored, ...]
    begun: dict[str, int]
    unfinished_bytes: int
    free_bytes: int

    @property
    def bytes(self) -> int:
        """Of all finished files."""
        return sum(one.bytes for one in self.stored)


def read_store(models: Sequence[Model]) -> StoreView:
    """The store as it is now; files that were touched since are hashed, which takes a while."""
    from planner.config import load_config
    from planner.fetch.disk import Disk, used_bytes
    from planner.fetch.places import owners
    from planner.fetch.store import Store

    folder = load_config().models_dir
    store = Store(folder)
    owned = owners(store, models)
    found: dict[str, Stored] = {}
    for place, entry in store.noted():
        owner = owned.get(place.final)
        whole = store.check(place, entry) is not None
        one = _stored(place.final, owner, entry.bytes, entry.fetched_at[:10], entry.verified, missing=not whole)
        found[one.reference] = _together(found.get(one.reference), one)
    begun: dict[str, int] = {}
    for path, (model, variant) in owned.items():
        partial = store.place_at(path.parent.relative_to(folder).as_posix(), _name(path)).partial
        if size := used_bytes(partial):
            reference = f"{model.id}:{variant.quant}"
            begun[reference] = begun.get(reference, 0) + size
    return StoreView(
        str(folder),
        tuple(sorted(found.values(), key=lambda one: one.name.casefold())),
        begun,
        store.unfinished_bytes(),
        Disk().free_bytes(folder),
    )


def _name(path: Path) -> "RepoPath":
    from planner.core.values import RepoPath

    return RepoPath(path.name)


def _stored(
    path: Path, owner: tuple[Model, Variant] | None, size: int, fetched_on: str, verified: bool, *, missing: bool
) -> Stored:
    if owner is None:
        return Stored(str(path), path.name, "", size, fetched_on, verified, missing)
    model, variant = owner
    reference = f"{model.id}:{variant.quant}"
    return Stored(reference, model.name, variant.quant, size, fetched_on, verified, missing, model.id)


def _together(before: Stored | None, part: Stored) -> Stored:
    """The parts of a split model as one."""
    if before is None:
        return part
    return Stored(
        part.reference,
        part.name,
        part.quant,
        before.bytes + part.bytes,
        max(before.fetched_on, part.fetched_on),
        before.verified and part.verified,
        before.missing or part.missing,
        part.model,
    )


@dataclass(frozen=True)
class Fetchable:
    """A model in a quant that can be fetched; `bytes` None where nobody knows."""

    model: str
    quant: str
    role: str
    bytes: int | None

    @property
    def reference(self) -> str:
        """What the command line takes for it."""
        return f"{self.model}:{self.quant}"


def fetchable(situation: Situation) -> tuple[Fetchable, ...]:
    """Everything that can be fetched, by name and size."""
    from planner.core.models.variants import is_fetchable

    found = [
        Fetchable(model.id, variant.quant, model.role.value, variant.file_bytes)
        for model in situation.models
        if model.deployable
        for variant in model.variants
        if is_fetchable(model, variant)
    ]
    return tuple(sorted(found, key=lambda one: (one.model.rsplit("/", 1)[-1].casefold(), one.bytes or 0)))
