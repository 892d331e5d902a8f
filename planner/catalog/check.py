"""Looking for mistakes in catalog files: what the loader refuses, and what only people can judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.catalog.loader import Catalog, Entry, add_models, model_files, user_files
from planner.catalog.location import data_dir
from planner.catalog.rules import doubts
from planner.errors import CatalogError


@dataclass(frozen=True)
class Finding:
    """One mistake. `model` is empty when the whole file is meant."""

    file: str
    model: str
    message: str


@dataclass(frozen=True)
class Report:
    """What was looked at and what was found."""

    files: tuple[str, ...]
    models: int
    findings: tuple[Finding, ...]


def check(paths: Sequence[Path] = (), *, shipped: bool = True) -> Report:
    """Check the given files and folders, and the shipped catalog unless `shipped` is False.

    A broken file does not hide the others' mistakes.
    Raises UsageError for a path that does not exist.
    """
    folder = data_dir()
    mine = [file for path in paths for file in user_files(path)]
    ours = model_files(folder) if shipped else []
    quants = Catalog(models=(), folder=folder).quants
    findings: list[Finding] = []
    count = 0
    for group in (ours, mine):
        entries: dict[str, Entry] = {}
        for file in group:
            try:
                content = add_models(entries, file)
            except CatalogError as error:
                findings.append(Finding(str(file), "", error.message))
                continue
            for model in content.models:
                findings += [Finding(str(file), model.id, text) for text in doubts(model, quants)]
                if model.family != content.family:
                    text = f"family: “{model.family}” in the file of “{content.family}”"
                    findings.append(Finding(str(file), model.id, text))
        count += len(entries)
    if shipped:
        findings += _other_files(folder)
    return Report(files=tuple(str(file) for file in (*ours, *mine)), models=count, findings=tuple(findings))


def _other_files(folder: Path) -> list[Finding]:
    try:
        devices = Catalog(models=(), folder=folder).devices
    except CatalogError as error:
        return [Finding(str(folder / "devices.json"), "", error.message)]
    return [] if devices else [Finding(str(folder / "devices.json"), "", "there is no device table")]
