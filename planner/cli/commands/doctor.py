"""`planner doctor`: everything a bug report needs, with everything private removed."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import click

from planner.cli.output import write_json, write_lines


@click.command(short_help="Everything a bug report needs, secrets removed.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
@click.option("--offline", is_flag=True, help="Never open a network connection; doctor opens none anyway.")
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file or folder with more models; may be given several times.",
)
def doctor(*, as_json: bool, offline: bool, catalogs: tuple[Path, ...]) -> None:
    r"""Look at everything planner depends on, and say what is wrong and what to do.

    Nothing is started, changed or sent anywhere. Keys, addresses and the names of user and machine are replaced.

    \b
    Examples:
      planner doctor
      planner doctor --json > report.json
    """
    from planner.cli.doctor.private import scrub_all
    from planner.cli.doctor.report import Context, gather
    from planner.cli.doctor.sections import SECTIONS, private_here
    from planner.config import default_config, load_config
    from planner.errors import PlannerError
    from planner.serve.engine.engines import embedded_version

    problem = None
    try:
        config = load_config()
    except PlannerError as error:
        config, problem = default_config(), error
    context = Context(
        config=replace(config, offline=config.offline or offline, catalogs=(*config.catalogs, *catalogs)),
        environ=dict(os.environ),
        config_error=problem,
        flags=frozenset(name for name, given in (("offline", offline), ("catalogs", catalogs)) if given),
        which=shutil.which,
        embedded=embedded_version,
    )
    report = scrub_all(gather(context, SECTIONS), private_here(context.environ))
    assert isinstance(report, dict)
    if as_json:
        write_json(report)
    else:
        from planner.cli.doctor.text import report_lines

        write_lines(report_lines(report))
