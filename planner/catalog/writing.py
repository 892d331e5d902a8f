"""Writing into the user's catalog folder: a file per model, whole or not at all, never one that cannot be read."""

import hashlib
import re
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from planner.catalog.loader import ModelFile
from planner.catalog.reading import decode, read_file
from planner.catalog.rules import contradictions
from planner.core.models.model import Model
from planner.errors import CatalogError, UsageError
from planner.files import replace_file
from planner.units import printable

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def own_file(folder: Path, identity: str) -> Path:
    """The file of a model of that id in the user's catalog folder."""
    flat = identity.replace("/", "--")
    name = _UNSAFE.sub("_", flat).strip(".")[:100]
    if name != flat or "--" in identity or identity.count("/") != 1:
        # Not to be mixed up with another id of the same letters, nor with a name that means something to Windows.
        name = f"{name}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    return folder / f"{name}.json"


def write_model(folder: Path, model: Model, *, instead_of: Path | None = None) -> Path:
    """Write a model into `folder`, or over its entry in `instead_of`, a file of the same folder with others in it.

    Raises CatalogError for an entry that contradicts itself or an `instead_of` that cannot be read, UsageError where
    nothing can be written. The file is there as a whole or as it was.
    """
    for problem in contradictions(model):
        raise CatalogError(f"{printable(model.id)} is not written: {problem}.", hint="Correct the entry.")
    path = own_file(folder, model.id)
    content = ModelFile(schema=1, family=model.family, models=(model,))
    if instead_of is not None and instead_of != path:
        path = instead_of
        before = read_file(path, ModelFile)
        models = tuple(model if other.id.casefold() == model.id.casefold() else other for other in before.models)
        content = msgspec.structs.replace(before, models=models)
    raw = msgspec.json.format(msgspec.json.encode(plain(content)), indent=1) + b"\n"
    if decode(raw, ModelFile, name=str(path)) != content:
        raise CatalogError(f"{model.id} cannot be written so that it reads back the same.", hint="Please report it.")
    _replace(path, raw)
    return path


def plain(value: object) -> Any:
    """A value as JSON has it, without the fields that are as they would be if they were left out."""
    if isinstance(value, msgspec.Struct):
        return {
            field.encode_name: plain(getattr(value, field.name))
            for field in msgspec.structs.fields(value)
            if field.required or getattr(value, field.name) != _default(field)
        }
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def _replace(path: Path, raw: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, raw, mode=0o644)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Free some space there, or change the rights of your settings folder (XDG_CONFIG_HOME moves it).",
            reference="catalog-not-writable",
        ) from error
