"""Looking for mistakes in catalog files: what the loader refuses, and what only people can judge."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from planner.catalog.evals import Figures, all_figures, wrong_scores
from planner.catalog.loader import Catalog, DeviceFile, Entry, add_models, model_files, user_files
from planner.catalog.location import data_dir
from planner.catalog.quant_table import QuantTable
from planner.catalog.reading import read_file
from planner.catalog.rules import doubts
from planner.core.values import Digest
from planner.errors import CatalogError


class _EnginePin(msgspec.Struct):
    """What an entry of `engines.json` must hold; the room that fetches engines knows the rest."""

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


class _EngineFile(msgspec.Struct):
    schema: Literal[1]
    as_of: str
    minimum_llama_cpp_build: int
    minimum_reason: str
    minimum_source: str
    engines: tuple[_EnginePin, ...]


_OTHER_FILES: dict[str, type[msgspec.Struct]] = {
    "devices.json": DeviceFile,
    "engines.json": _EngineFile,
    "quants.json": QuantTable,
}


@dataclass(frozen=True)
class Finding:
    """One mistake. `model` is empty when the whole file is meant, `file` when there is none to name."""

    file: str
    model: str
    message: str


@dataclass(frozen=True)
class Report:
    """What was looked at and what was found."""

    files: tuple[str, ...]
    models: int
    findings: tuple[Finding, ...]


def check(paths: Sequence[Path] = (), *, shipped: bool = True, folder: Path | None = None) -> Report:
    """Check the given files and folders, and the shipped catalog unless `shipped` is False.

    `folder`: the data folder, found by `data_dir` when None. Whatever is broken or missing is a finding and does
    not hide the others' mistakes. Raises UsageError for a path that does not exist.
    """
    findings: list[Finding] = []
    mine: list[Path] = []
    for path in paths:
        try:
            mine += user_files(path)
        except CatalogError as error:
            findings.append(_broken(path, error))
    try:
        folder = data_dir() if folder is None else folder
    except CatalogError as error:
        if shipped:
            findings.append(Finding("", "", error.message))
    ours = model_files(folder) if shipped and folder is not None else []
    quants = _quants(folder)
    pools, broken = ({}, {}) if folder is None else all_figures(folder)
    if shipped:
        findings += [_broken(file, error) for file, error in broken.items()]
    count = 0
    for group in (ours, mine):
        entries: dict[str, Entry] = {}
        for file in group:
            findings += _model_file(file, entries, quants, pools)
        count += len(entries)
    if shipped and folder is not None:
        findings += _other_files(folder)
    return Report(files=tuple(str(file) for file in (*ours, *mine)), models=count, findings=tuple(findings))


def _model_file(
    file: Path, entries: dict[str, Entry], quants: QuantTable | None, pools: dict[str, Figures]
) -> list[Finding]:
    """What is wrong with a file of models, which are added to `entries`."""
    try:
        content = add_models(entries, file)
    except CatalogError as error:
        return [_broken(file, error)]
    findings: list[Finding] = []
    for model in content.models:
        findings += [Finding(str(file), model.id, text) for text in doubts(model, quants)]
        findings += [Finding(str(file), model.id, text) for text in wrong_scores(model, pools)]
        if model.family != content.family:
            text = f"family: “{model.family}” in the file of “{content.family}”"
            findings.append(Finding(str(file), model.id, text))
    return findings


def _quants(folder: Path | None) -> QuantTable | None:
    """The quant table; None where it cannot be had, which is a finding of its own."""
    if folder is None:
        return None
    try:
        return Catalog(models=(), folder=folder).quants
    except CatalogError:
        return None


def _other_files(folder: Path) -> list[Finding]:
    findings: list[Finding] = []
    for name, kind in _OTHER_FILES.items():
        try:
            content = read_file(folder / name, kind)
        except CatalogError as error:
            findings.append(_broken(folder / name, error))
            continue
        if isinstance(content, DeviceFile) and not content.devices:
            findings.append(Finding(str(folder / name), "", "it holds no device"))
    return findings


def _broken(file: Path, error: CatalogError) -> Finding:
    """A finding from the loader's message, which names the file that the finding names already."""
    name = re.escape(str(file))
    text = re.sub(rf"{name} \((models\[\d+\])\)", r"\1", error.message)
    return Finding(str(file), "", text.removeprefix(f"{file} "))
