"""JSON Schema of the data files, for editors and for people who write catalogs with other tools."""

from typing import Any

import msgspec

from planner.catalog.answers import AnswersFile
from planner.catalog.device_table import DeviceFile
from planner.catalog.evals import EvalFile
from planner.catalog.loader import ModelFile
from planner.catalog.prices import SnapshotFile
from planner.catalog.quant_table import QuantTable
from planner.catalog.speed import SpeedFile
from planner.core.values import Digest, RepoId, RepoPath

_FILES: dict[str, Any] = {
    "models.schema.json": ModelFile,
    "devices.schema.json": DeviceFile,
    "evals.schema.json": EvalFile,
    "answers.schema.json": AnswersFile,
    "quants.schema.json": QuantTable,
    "speed.schema.json": SpeedFile,
    "prices.schema.json": SnapshotFile,
}
_DESCRIPTIONS: dict[type, dict[str, Any]] = {
    Digest: {"type": "string", "pattern": "^(sha256:)?[0-9a-fA-F]{64}$"},
    RepoId: {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"},
    RepoPath: {
        "type": "string",
        "minLength": 1,
        "maxLength": 512,
        "description": "A relative path, parts joined by /.",
    },
}


def schemas() -> dict[str, bytes]:
    """File name → content of every schema in `catalog/schema/`."""
    return {
        name: msgspec.json.format(
            msgspec.json.encode(msgspec.json.schema(kind, schema_hook=_describe), order="sorted"), indent=2
        )
        + b"\n"
        for name, kind in _FILES.items()
    }


def _describe(kind: type) -> dict[str, Any]:
    return _DESCRIPTIONS[kind]
