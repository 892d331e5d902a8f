"""`planner status`: what runs, measured against estimated."""

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options


@click.command(short_help="What runs, measured against estimated.")
@click.argument("name", required=False)
@common_options
def status(session: Session, *, name: str | None) -> None:
    r"""Show the deployments: state, address, and memory and speed as measured beside the estimates.

    A deployment whose supervisor is gone says “failed”, never “running”.

    \b
    Examples:
      planner status
      planner status default --json
    """
    from planner.cli.deployment_view import status_lines
    from planner.serve.deployments import list_deployments

    found = list_deployments(session.config.deployments_dir)
    if name is not None:
        found = tuple(record for record in found if record.name == name)
    if session.as_json:
        write_json({"deployments": [record.public() for record in found]})
        return
    if not found:
        session.note("Nothing is running. Start a pair with: planner up")
    for record in found:
        write_lines(status_lines(record))
