"""The catalog: our data files and the user's, as core values.

A broken file of ours is a note while the others load; a broken file of the user's is an error, because leaving
it out silently would answer another question than the one asked.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from planner.catalog.location import data_dir
from planner.catalog.reading import read_file
from planner.catalog.references import find_model, find_variant
from planner.core.hardware import DeviceSpec
from planner.core.model import Model, Variant
from planner.errors import CatalogError, UsageError


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of `catalog/models/`, or one given with `--catalog`."""

    schema: Literal[1]
    family: str
    models: tuple[Model, ...]


class DeviceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`catalog/devices.json`."""

    schema: Literal[1]
    as_of: str
    devices: tuple[DeviceSpec, ...]
    note: str = ""


@dataclass(frozen=True)
class Catalog:
    """Everything that is known about models and devices.

    `models` in a fixed order (by id, without case). `notes` say what could not be loaded and which shipped
    entry a user's file replaces. The other data files of `folder` are read when first asked for.
    """

    models: tuple[Model, ...]
    notes: tuple[str, ...] = ()
    folder: Path | None = None

    @functools.cached_property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """The device table. Raises CatalogError when it is broken."""
        path = self.folder / "devices.json" if self.folder else None
        if path is None or not path.is_file():
            return ()
        return read_file(path, DeviceFile).devices

    def find(self, name: str) -> Model:
        """The model of that id, name without owner, or alias; case does not matter.

        Raises UsageError `unknown-model` with the nearest names, or `ambiguous-model`.
        """
        return find_model(self.models, name)

    def parse_model_ref(self, text: str) -> tuple[Model, Variant | None]:
        """`MODEL` or `MODEL:QUANT`. Raises UsageError (`unknown-model`, `unknown-quant`)."""
        name, colon, quant = text.rpartition(":") if ":" in text else (text, "", "")
        model = self.find(name)
        return model, find_variant(model, quant) if colon else None


def load(extra: Sequence[Path] = (), *, folder: Path | None = None) -> Catalog:
    """The shipped catalog with the user's files on top.

    `extra`: files or folders with models; an entry replaces the shipped one of the same id, with a note.
    `folder`: the data folder, found by `data_dir` when None. Raises CatalogError when nothing could be loaded,
    or when a user's file is broken or holds an id twice; UsageError when it does not exist.
    """
    folder = data_dir() if folder is None else folder
    notes: list[str] = []
    places: dict[str, tuple[Model, str]] = {}
    for path in sorted((folder / "models").glob("*.json")):
        try:
            _add(places, path)
        except CatalogError as error:
            notes.append(f"{error.message} Its models are left out.")
    mine: dict[str, tuple[Model, str]] = {}
    for path in (file for item in extra for file in _user_files(item)):
        _add(mine, path)
    for key, (model, place) in mine.items():
        if key in places:
            notes.append(f"{model.id}: {place} replaces the shipped entry.")
        places[key] = (model, place)
    if not places:
        raise CatalogError(
            f"No catalog file could be loaded from {folder / 'models'}. " + " ".join(notes),
            hint="Reinstall planner, or give models of your own with --catalog PATH.",
        )
    return Catalog(models=tuple(places[key][0] for key in sorted(places)), notes=tuple(notes), folder=folder)


def _add(places: dict[str, tuple[Model, str]], path: Path) -> None:
    """Add a file's models, all or none of them. Raises CatalogError, also for an id that is there already."""
    found: dict[str, tuple[Model, str]] = {}
    for index, model in enumerate(read_file(path, ModelFile).models):
        key, place = model.id.casefold(), f"{path} (models[{index}])"
        earlier = found.get(key) or places.get(key)
        if earlier is not None:
            raise CatalogError(
                f"{model.id} is described twice: in {earlier[1]} and in {place}.",
                hint="Remove one of the two entries.",
                reference="duplicate-model",
            )
        found[key] = (model, place)
    places.update(found)


def _user_files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted([*path.glob("*.json"), *path.glob("models/*.json")])
        if not files:
            raise CatalogError(
                f"{path} holds no catalog file.", hint="Catalog files end in .json; see catalog/README.md."
            )
        return files
    if not path.exists():
        raise UsageError(
            f"There is no catalog file or folder {path}.",
            hint="Give a file in the format of catalog/models/*.json, or a folder of such files.",
            reference="catalog-missing",
        )
    return [path]
