"""The kinds of data file there are, and how one is told from another: by what it holds, else by its name."""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from planner.catalog.answers import PREFIX, read_answers
from planner.catalog.device_table import DeviceFile
from planner.catalog.evals import read_pool
from planner.catalog.prices import SnapshotFile, snapshot_mistakes
from planner.catalog.quant_table import QuantTable
from planner.catalog.reading import FileError, parse, read_bytes, read_file
from planner.catalog.speed import SpeedFile
from planner.core.launch.engine_pins import EnginePins


class FileKind(StrEnum):
    """What a file of the catalog holds."""

    MODELS = "models"
    DEVICES = "devices"
    ENGINES = "engines"
    QUANTS = "quants"
    SPEED = "speed"
    EVALS = "evals"
    ANSWERS = "answers"
    PRICES = "prices"


DATA_FILES: dict[str, FileKind] = {
    "devices.json": FileKind.DEVICES,
    "engines.json": FileKind.ENGINES,
    "quants.json": FileKind.QUANTS,
    "speed.json": FileKind.SPEED,
}
"""The files that stand beside `models/` in a data folder."""

_TELLING: dict[FileKind, frozenset[str]] = {
    FileKind.DEVICES: frozenset({"devices"}),
    FileKind.ENGINES: frozenset({"engines", "minimum_llama_cpp_build"}),
    FileKind.QUANTS: frozenset({"block_types", "file_types"}),
    FileKind.SPEED: frozenset({"calibration"}),
    FileKind.ANSWERS: frozenset({"figure", "reported"}),
    FileKind.EVALS: frozenset({"kind", "tasks", "base", "exclude"}),
    FileKind.PRICES: frozenset({"offers"}),
}
"""Keys that no file of another kind has."""


def kind_of(path: Path) -> FileKind:
    """What a file holds. Raises FileError when it cannot be read as JSON at all."""
    tree = parse(read_bytes(path), name=str(path))
    keys = set(tree) if isinstance(tree, dict) else set()
    if keys & {"$schema", "$defs"}:
        raise FileError(
            f"{path} cannot be used: it is a JSON Schema, not a file of data.",
            hint="Check the files that the schema describes.",
        )
    for kind, telling in _TELLING.items():
        if keys & telling and "family" not in keys:
            return kind
    if not keys & {"family", "models"}:
        if path.name in DATA_FILES:
            return DATA_FILES[path.name]
        if path.parent.name == "prices":
            return FileKind.PRICES
        if path.parent.name == "evals":
            return FileKind.ANSWERS if path.name.startswith(PREFIX) else FileKind.EVALS
    return FileKind.MODELS


def mistakes(path: Path, kind: FileKind) -> Iterator[str]:
    """What is wrong with a file that holds no models, beyond its form. Raises CatalogError for a wrong form."""
    match kind:
        case FileKind.DEVICES:
            if not read_file(path, DeviceFile).devices:
                yield "it holds no device"
        case FileKind.ENGINES:
            read_file(path, EnginePins)
        case FileKind.QUANTS:
            read_file(path, QuantTable)
        case FileKind.SPEED:
            read_file(path, SpeedFile)
        case FileKind.EVALS:
            read_pool(path)
        case FileKind.ANSWERS:
            read_answers(path)
        case FileKind.PRICES:
            yield from snapshot_mistakes(read_file(path, SnapshotFile))
        case FileKind.MODELS:
            raise AssertionError("models are checked by planner.catalog.check")
