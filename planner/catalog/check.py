"""Looking for mistakes in catalog files: what the loader refuses, and what only people can judge."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.catalog.answers import answer_files
from planner.catalog.evals import Figures, all_figures, wrong_scores
from planner.catalog.kinds import DATA_FILES, FileKind, kind_of, mistakes
from planner.catalog.loader import Catalog, Entry, add_models, model_files, own_files, user_files
from planner.catalog.location import data_dir
from planner.catalog.prices import snapshot_files
from planner.catalog.quant_table import QuantTable
from planner.catalog.rules import doubts
from planner.catalog.upkeep import gaps, shared_names
from planner.core.models.model import Model
from planner.errors import CatalogError


@dataclass(frozen=True)
class Finding:
    """One mistake. `model` is empty when the whole file is meant, `file` when there is none to name.

    `field` is the field it is about, as far as one can be named; the message names it too.
    """

    file: str
    model: str
    message: str
    field: str = ""


@dataclass(frozen=True)
class Report:
    """What was looked at and what was found."""

    files: tuple[str, ...]
    models: int
    findings: tuple[Finding, ...]


def check(
    paths: Sequence[Path] = (), *, shipped: bool = True, own: Path | None = None, folder: Path | None = None
) -> Report:
    """Check the given files and folders, the user's catalog folder `own`, and the shipped catalog if `shipped`.

    `folder`: the data folder, found by `data_dir` when None. The given files may hold anything that a data folder
    holds. Whatever is broken or missing is a finding and does not hide the others' mistakes. Raises UsageError for a
    path that does not exist.
    """
    given, findings = _given(paths)
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
    mine = [file for file, kind in given.items() if kind is FileKind.MODELS]
    count = 0
    for group in (ours, own_files(own), mine):
        entries: dict[str, Entry] = {}
        for file in group:
            findings += _model_file(file, entries, quants, pools, shipped=group is ours)
        shared = shared_names(entry.model for entry in entries.values())
        findings += [
            Finding(str(entries[model.id.casefold()].file), model.id, text, "aliases") for model, text in shared
        ]
        count += len(entries)
    others: dict[Path, FileKind] = {
        file: kind for file, kind in given.items() if kind is not None and kind is not FileKind.MODELS
    }
    if shipped and folder is not None:
        others |= {folder / name: kind for name, kind in DATA_FILES.items()}
        others |= dict.fromkeys(answer_files(folder), FileKind.ANSWERS)
        others |= dict.fromkeys(snapshot_files(folder), FileKind.PRICES)
    for file, kind in others.items():
        findings += _other_file(file, kind)
    files = (*ours, *own_files(own), *given)
    return Report(files=tuple(str(file) for file in files), models=count, findings=tuple(findings))


def _given(paths: Sequence[Path]) -> tuple[dict[Path, FileKind | None], list[Finding]]:
    """The files that paths mean with what they hold, None for those that cannot be read; and what is wrong there."""
    files: dict[Path, FileKind | None] = {}
    findings: list[Finding] = []
    for path in paths:
        try:
            files |= dict.fromkeys(_files(path))
        except CatalogError as error:
            findings.append(_broken(path, error))
    for file in files:
        try:
            files[file] = kind_of(file)
        except CatalogError as error:
            findings.append(_broken(file, error))
    return files, findings


def _files(path: Path) -> list[Path]:
    """The files to look at for a path: all of a data folder, models or not."""
    files = user_files(path)
    if path.is_dir():
        files = sorted({*files, *path.glob("*.json"), *path.glob("evals/*.json"), *path.glob("prices/*.json")})
    return files


def _model_file(
    file: Path, entries: dict[str, Entry], quants: QuantTable | None, pools: dict[str, Figures], *, shipped: bool
) -> list[Finding]:
    """What is wrong with a file of models, which are added to `entries`; ours have more to hold."""
    try:
        content = add_models(entries, file)
    except CatalogError as error:
        return [_broken(file, error)]
    findings: list[Finding] = []
    for model in content.models:
        texts = [*doubts(model, quants), *wrong_scores(model, pools), *(gaps(model) if shipped else ())]
        if model.family != content.family:
            texts.append(f"family: “{model.family}” in the file of “{content.family}”")
        findings += [Finding(str(file), model.id, text, _field_of(text)) for text in texts]
    return findings


_FIELDS = "|".join(field for field in Model.__struct_fields__ if field != "id")
_LEADING = re.compile(r"(?P<field>[a-z_]+(?:\[[^\]]*\])?(?:\.[a-z_]+)*): ")
_NAMED = re.compile(rf"\b(?P<field>{_FIELDS})\b")


def _field_of(text: str) -> str:
    """The field that a sentence is about: what it begins with, else the first field that it names."""
    found = _LEADING.match(text) or _NAMED.search(text)
    return found["field"] if found else ""


def _quants(folder: Path | None) -> QuantTable | None:
    """The quant table; None where it cannot be had, which is a finding of its own."""
    if folder is None:
        return None
    try:
        return Catalog(models=(), folder=folder).quants
    except CatalogError:
        return None


def _other_file(file: Path, kind: FileKind) -> list[Finding]:
    try:
        return [Finding(str(file), "", text) for text in mistakes(file, kind)]
    except CatalogError as error:
        return [_broken(file, error)]


def _broken(file: Path, error: CatalogError) -> Finding:
    """A finding from the loader's message, which names the file that the finding names already."""
    name = re.escape(str(file))
    text = re.sub(rf"{name} \((models\[\d+\])\)", r"\1", error.message)
    return Finding(str(file), "", text.removeprefix(f"{file} "), getattr(error, "field", ""))
