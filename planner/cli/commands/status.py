"""`planner status`: what runs, measured against estimated."""

import time
from collections.abc import Sequence
from pathlib import Path

import click

from planner.cli.output import is_terminal, redraw_lines, write_json, write_json_line, write_lines
from planner.cli.session import Session, common_options
from planner.errors import NoResultError, UsageError
from planner.serve.state import DeploymentRecord

_WATCH_S = 1.0


@click.command(short_help="What runs, measured against estimated.")
@click.argument("name", required=False)
@click.option("--watch", "-w", is_flag=True, help="Go on until Ctrl-C, showing every change.")
@click.option(
    "--save-profile",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Save NAME, to be started again exactly so: planner up --profile FILE.",
)
@common_options
def status(session: Session, *, name: str | None, watch: bool, save_profile: Path | None) -> None:
    r"""Show the deployments: state, address, and memory and speed as measured beside the estimates.

    A deployment whose supervisor is gone says “failed”, never “running”. With --watch a terminal is redrawn; anything
    else gets the whole again after each change, with --json one document a line.

    \b
    Examples:
      planner status
      planner status --watch
      planner status default --json
      planner status default --save-profile work.json
    """
    if save_profile is not None:
        if watch:
            raise UsageError("--watch and --save-profile do not go together.", hint="Give one of them.")
        _save(session, name, save_profile)
        return
    if watch:
        _watch(session, name)
        return
    found = _found(session, name)
    if session.as_json:
        write_json(_document(found))
        return
    if not found:
        session.note(_nothing(name))
    write_lines(_lines(found))


def _nothing(name: str | None) -> str:
    """What is said instead of a deployment."""
    if name is not None:
        return f"There is no deployment named “{name}”; planner status lists what runs."
    return "Nothing is running. Start a pair with: planner up"


def _found(session: Session, name: str | None) -> tuple[DeploymentRecord, ...]:
    from planner.serve.deployments import list_deployments

    records = list_deployments(session.config.deployments_dir)
    return tuple(record for record in records if name is None or record.name == name)


def _document(records: Sequence[DeploymentRecord]) -> dict[str, object]:
    return {"deployments": [record.public() for record in records]}


def _lines(records: Sequence[DeploymentRecord]) -> list[str]:
    from planner.cli.deployment_view import status_lines

    return [line for record in records for line in status_lines(record)]


def _watch(session: Session, name: str | None) -> None:
    """Show what is there, and again whenever it changed."""
    shown: tuple[DeploymentRecord, ...] | None = None
    while True:
        found = _found(session, name)
        if found != shown:
            lines = _lines(found) or [_nothing(name)]
            if session.as_json:
                write_json_line(_document(found))
            elif is_terminal():
                redraw_lines([*lines, "", "Ctrl-C ends this view; the deployments go on."])
            else:
                write_lines([*([] if shown is None else [""]), *lines])
        shown = found
        time.sleep(_WATCH_S)


def _save(session: Session, name: str | None, path: Path) -> None:
    from planner.serve.profile import profile_of, write_profile
    from planner.serve.state import Home

    found = _found(session, name)
    if name is None and len(found) > 1:
        raise UsageError(
            f"Several deployments are here: {', '.join(record.name for record in found)}.",
            hint="Name one: planner status NAME --save-profile FILE",
            reference="which-deployment",
        )
    if not found:
        raise NoResultError(
            f"There is no deployment named “{name}”." if name else "Nothing is running.",
            hint="Start it once; planner status lists what runs.",
            reference="no-such-deployment",
        )
    profile = profile_of(Home(session.config.deployments_dir, found[0].name).read_plan())
    write_profile(path, profile)
    if session.as_json:
        write_json({"profile": str(path), "name": found[0].name})
        return
    session.note(f"Saved “{found[0].name}”. Start it so again: planner up --profile {path}")
