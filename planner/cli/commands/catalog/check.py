"""`planner catalog check`: mistakes in data files, ours or the user's."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli import output
from planner.cli.diagnostics import ExitCode, error_body
from planner.cli.session import Session, common_options
from planner.errors import CatalogError

if TYPE_CHECKING:
    from planner.catalog.check import Finding


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(path_type=Path))
@common_options
def check(session: Session, paths: tuple[Path, ...]) -> int:
    r"""Check catalog files for mistakes: the given files and folders, or all that is in use.

    Without PATH these are the shipped catalog and your own, in the settings folder. A PATH may be any kind of data
    file: models, devices, quants, evals, engines. Exit code 4 when there is any mistake.

    \b
    Examples:
      planner catalog check
      planner catalog check my-models.json
    """
    from planner.catalog.check import check as check_files

    own = None if paths else session.config.own_catalog_dir
    report = check_files((*session.config.catalogs, *paths), shipped=not paths, own=own)
    counts = {"file": len(report.files), "model": report.models, "finding": len(report.findings)}
    summary = ", ".join(f"{count} {word if count == 1 else f'{word}s'}" for word, count in counts.items()) + "."
    if session.as_json:
        document: dict[str, object] = {
            "schema": 1,
            "files": report.files,
            "models": report.models,
            "findings": [
                {"file": f.file, "model": f.model, "field": f.field, "message": f.message} for f in report.findings
            ],
        }
        if report.findings:
            document |= error_body(CatalogError(summary, hint="Correct what the findings name."))
        output.write_json(document)
    else:
        output.write_lines([*(_line(finding) for finding in report.findings), summary])
    return ExitCode.BAD_DATA if report.findings else ExitCode.OK


def _line(finding: "Finding") -> str:
    return ": ".join(part for part in (finding.file, finding.model, finding.message) if part)
