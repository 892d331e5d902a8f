"""`planner stop`: end deployments and everything they started."""

from collections.abc import Sequence

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.errors import UsageError
from planner.serve.state import ENDED, DeploymentRecord


@click.command(short_help="End a deployment and everything it started.")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="End all deployments.")
@common_options
def stop(session: Session, *, name: str | None, everything: bool) -> None:
    r"""End a deployment: the gateway, the engines and whatever they started. Waits until nothing is left.

    Without NAME the only one that runs; when none does, what ended earlier is cleared away.

    \b
    Examples:
      planner stop
      planner stop --all
    """
    from planner.serve.deployments import list_deployments, stop_deployment
    from planner.serve.state import Home

    if name is not None and everything:
        raise UsageError("A name and --all were given.", hint="Give one of them.")
    folder = session.config.deployments_dir
    names = [name] if name is not None else _meant(list_deployments(folder), everything=everything)
    if len(names) > 1 and name is None and not everything:
        raise UsageError(
            f"Several deployments are running: {', '.join(names)}.",
            hint="Name one, or end them all: planner stop --all.",
            reference="which-deployment",
        )
    stopped = [stop_deployment(Home(folder, each)) for each in names]
    if name is None and not everything and not names:
        # Nothing runs: what earlier attempts left is cleared away, so that it is in nobody's way.
        stopped = [stop_deployment(Home(folder, record.name)) for record in list_deployments(folder)]
    if session.as_json:
        write_json({"deployments": [record.public() for record in stopped]})
        return
    if not stopped:
        session.note("Nothing is running.")
    write_lines(f"Stopped “{record.name}”." for record in stopped)


def _meant(records: Sequence[DeploymentRecord], *, everything: bool) -> list[str]:
    """The deployments meant when none is named: those that live, or all there are."""
    return [record.name for record in records if everything or record.state not in ENDED]
