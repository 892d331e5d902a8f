"""The catalog: our data files and the user's, as core values.

A broken file of ours is a note while the others load; a broken file of the user's is an error, because leaving
it out silently would answer another question than the one asked.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from planner.catalog.answers import AnswersFile, answer_files, read_answers, with_answers
from planner.catalog.device_table import shipped_devices
from planner.catalog.location import data_dir
from planner.catalog.quant_table import QuantTable
from planner.catalog.reading import FileError, read_file, read_shipped
from planner.catalog.references import find_model, find_variant
from planner.catalog.rules import contradictions
from planner.catalog.speed import SpeedFile
from planner.core.machines.hardware import DeviceSpec
from planner.core.models.model import Model, Variant
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import CatalogError, UsageError
from planner.units import printable


class ModelFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of `catalog/models/`, or one given with `--catalog`."""

    schema: Literal[1]
    family: str
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Catalog:
    """Everything that is known about models and devices.

    `models` in a fixed order (by id, without case). `notes` say what could not be loaded and which shipped
    entry a user's file replaces. `files` says where each model was read, by its case-folded id. The other data files
    of `folder` are read when first asked for.
    """

    models: tuple[Model, ...]
    notes: tuple[str, ...] = ()
    folder: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)

    @functools.cached_property
    def quants(self) -> QuantTable:
        """Bits per weight by quant type. Raises CatalogError when the file is missing or broken."""
        return read_shipped((self.folder or data_dir()) / "quants.json", QuantTable)

    @functools.cached_property
    def speed(self) -> Calibration:
        """The constants of the speed formulas; without the file, those assumed before any measurement.

        Raises CatalogError when it is broken.
        """
        path = self.folder / "speed.json" if self.folder else None
        if path is None or not path.is_file():
            return GENERIC
        return read_shipped(path, SpeedFile).calibration

    @functools.cached_property
    def devices(self) -> tuple[DeviceSpec, ...]:
        """The device table. Raises CatalogError when it is broken."""
        return () if self.folder is None else shipped_devices(self.folder)

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


def load(extra: Sequence[Path] = (), *, own: Path | None = None, folder: Path | None = None) -> Catalog:
    """The shipped catalog, on it the files of the user's catalog folder, on these the files given by hand.

    `own`: the folder in the settings, which need not exist. `extra`: files or folders with models. An entry replaces
    one of the same id from below, with a note. `folder`: the data folder, found by `data_dir` when None; when there
    is none at all, the user's models are enough and a note says what is missing. Raises CatalogError when nothing
    could be loaded, or when a user's file is broken or one level holds an id twice; UsageError when a file of
    `extra` does not exist.
    """
    notes: list[str] = []
    if folder is None:
        try:
            folder = data_dir()
        except CatalogError as error:
            if not extra and not own_files(own):
                raise
            notes.append(f"{error.message} Only your own models are known, and no device by its name.")
    entries: dict[str, Entry] = {}
    for path in () if folder is None else model_files(folder):
        try:
            add_models(entries, path, shipped=True)
        except CatalogError as error:
            notes.append(f"{error.message} Its models are left out.")
    for files in (own_files(own), [file for item in extra for file in user_files(item)]):
        mine: dict[str, Entry] = {}
        for path in files:
            add_models(mine, path)
        notes += _replacements(entries, mine)
        entries |= mine
    if not entries:
        where = "" if folder is None else f" from {folder / 'models'}"
        raise CatalogError(
            " ".join([f"No model could be loaded{where}.", *notes]),
            hint="Reinstall planner, or give models of your own with --catalog PATH.",
        )
    tables = _answers(folder, notes)
    return Catalog(
        models=with_answers([entries[key].model for key in sorted(entries)], tables),
        notes=tuple(notes),
        folder=folder,
        files={key: entry.file for key, entry in entries.items()},
    )


def _answers(folder: Path | None, notes: list[str]) -> list[AnswersFile]:
    """The benchmarks of generation models; a broken table is left out with a note."""
    tables: list[AnswersFile] = []
    for path in () if folder is None else answer_files(folder):
        try:
            tables.append(read_answers(path, shipped=True))
        except CatalogError as error:
            notes.append(f"{error.message} Its figures are left out.")
    return tables


def _replacements(below: dict[str, "Entry"], mine: dict[str, "Entry"]) -> list[str]:
    """What the user's entries replace, one sentence a file."""
    replaced: dict[Path, list[str]] = {}
    for key, entry in mine.items():
        if key in below:
            replaced.setdefault(entry.file, []).append(entry.model.id)
    notes = []
    for file, names in replaced.items():
        if len(names) == 1:
            notes.append(f"{names[0]}: {file} replaces the catalog's entry.")
        else:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            notes.append(f"{file} replaces the catalog's entries of {', '.join(names[:3])}{more}.")
    return notes


class Entry(NamedTuple):
    """A model and where it was read: file and position in it."""

    model: Model
    file: Path
    field: str

    @property
    def place(self) -> str:
        """File and position in words."""
        return f"{self.file} ({self.field})"


def as_written(path: Path, identity: str) -> Model:
    """The entry of that id as its file has it, without what tables add when a catalog is loaded."""
    return next(model for model in read_file(path, ModelFile).models if model.id.casefold() == identity.casefold())


def model_files(folder: Path) -> list[Path]:
    """The model files of a data folder, in a fixed order."""
    try:
        found = list((folder / "models").iterdir())
    except OSError:
        return []
    return sorted((path for path in found if path.suffix == ".json"), key=lambda path: path.name)


def add_models(entries: dict[str, Entry], path: Path, *, shipped: bool = False) -> ModelFile:
    """Add a file's models under their case-folded ids, all or none of them, and return the file.

    `shipped` files are ours, which `planner catalog check` and the tests hold to the rules. Raises CatalogError for
    a file that cannot be read, an entry that contradicts itself, and an id that is in `entries` already; the message
    names both places.
    """
    content = read_shipped(path, ModelFile) if shipped else read_file(path, ModelFile)
    found: dict[str, Entry] = {}
    for index, model in enumerate(content.models):
        entry = Entry(model, path, f"models[{index}]")
        for problem in () if shipped else contradictions(model):
            raise FileError(
                f"{entry.place} cannot be used: {printable(model.id)}: {problem}.",
                hint="Correct the entry.",
                field=f"{entry.field}.{problem.partition(':')[0]}",
            )
        key = model.id.casefold()
        earlier = found.get(key) or entries.get(key)
        if earlier is not None:
            raise CatalogError(
                f"{model.id} is described twice: in {earlier.place} and in {entry.place}.",
                hint="Remove one of the two entries.",
                reference="duplicate-model",
            )
        found[key] = entry
    entries.update(found)
    return content


_NO_MODELS = frozenset({"devices.json", "engines.json", "quants.json", "speed.json"})
"""Files of a data folder that hold something else than models."""


def own_files(folder: Path | None) -> list[Path]:
    """The model files of the user's catalog folder, in a fixed order; none where it does not exist."""
    return [] if folder is None else sorted(folder.glob("*.json"))


def user_files(path: Path) -> list[Path]:
    """The catalog files that a user's path means. Raises CatalogError for an empty folder, UsageError for nothing."""
    if path.is_dir():
        files = sorted([*path.glob("*.json"), *path.glob("models/*.json")])
        if (path / "models").is_dir():
            files = [file for file in files if file.parent != path or file.name not in _NO_MODELS]
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
