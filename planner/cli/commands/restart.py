"""`planner restart`: end a deployment and start it as it was planned."""

import click

from planner.cli.session import Session, common_options
from planner.errors import NoResultError, UsageError
from planner.serve.state import ENDED, Home


@click.command(short_help="Start a deployment again, as it was planned.")
@click.argument("name", required=False)
@common_options
def restart(session: Session, *, name: str | None) -> None:
    r"""End a deployment if it runs, and start the same plan again, with the same key, at the same address.

    Nothing is planned or fetched anew, and nothing is stopped where a file it needs is gone. It runs detached from
    then on, whatever started it before.

    Without NAME the only one that runs; when none does, the only one that failed. One that was stopped has to be
    named.

    \b
    Examples:
      planner restart
      planner restart default --json
    """
    from planner.cli.deploying import unwritable
    from planner.cli.deployment_view import changes
    from planner.cli.foreground import show
    from planner.serve.restart import restart_deployment

    home = Home(session.config.deployments_dir, _only(session) if name is None else name)
    if name is not None and not home.path.is_dir():
        raise NoResultError(
            f"There is no deployment named “{name}”.",
            hint="planner status lists what runs; planner up starts one.",
            reference="no-such-deployment",
        )
    try:
        record = restart_deployment(home, tell=session.note, on_change=changes(session.note))
    except OSError as error:
        raise unwritable(session, error) from error
    show(session, record)


def _only(session: Session) -> str:
    """The name of the one that runs or, where none does, of the one that failed."""
    from planner.serve.deployments import list_deployments

    records = list_deployments(session.config.deployments_dir)
    meant = [record.name for record in records if record.state not in ENDED] or [record.name for record in records]
    if not meant:
        raise NoResultError(
            "Nothing is running, so there is nothing to restart.",
            hint="Start a pair with planner up; one that was stopped is started by its name: planner restart NAME.",
            reference="not-running",
        )
    if len(meant) > 1:
        raise UsageError(
            f"Several deployments are here: {', '.join(meant)}.",
            hint="Name one: planner restart NAME.",
            reference="which-deployment",
        )
    return meant[0]
