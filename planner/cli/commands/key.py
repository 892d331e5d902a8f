"""`planner key`: API keys for single clients, beside the deployment's own."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from planner.cli.output import table, write_json, write_lines
from planner.cli.session import Session, common_options
from planner.errors import NoResultError
from planner.serve.gateway.keys import add_named, read_named, remove_named
from planner.serve.state import DEFAULT_NAME, ENDED, Home

_DEPLOYMENT = click.option(
    "--deployment", default=DEFAULT_NAME, show_default=True, metavar="NAME", help="Whose gateway it opens."
)


@click.group(short_help="Give a client a key of its own, and take it away again.")
def key() -> None:
    r"""Keys for single clients: each is counted under its name, and can be taken away without disturbing the others.

    They work at once, without a restart, and stay until they are removed. Only their SHA-256 sums are kept.

    \b
    Examples:
      planner key add open-webui
      planner key list
      planner key remove open-webui
    """


@key.command(short_help="Make a key and show it, once.")
@click.argument("name")
@_DEPLOYMENT
@common_options
def add(session: Session, *, name: str, deployment: str) -> None:
    r"""Make a key for the client NAME and print it: the only time it is seen.

    \b
    Example:
      planner key add notebook
    """
    with _writing(session):
        secret = add_named(_file(session, deployment), name)
    if session.as_json:
        write_json({"schema": 1, "deployment": deployment, "name": name, "key": secret})
        return
    session.note(f"This key is not shown again; take it away with: planner key remove {shlex.quote(name)}")
    record = Home(session.config.deployments_dir, deployment).read_state()
    if record is not None and record.gateway_url is None and record.state not in ENDED:
        session.note(f"“{deployment}” runs without a gateway: this key opens nothing until it is started with one.")
    write_lines([secret])


@key.command("list", short_help="Names of the keys that were made.")
@_DEPLOYMENT
@common_options
def list_(session: Session, *, deployment: str) -> None:
    r"""Show the names of the clients that have a key, and when it was made.

    \b
    Example:
      planner key list
    """
    known = read_named(_file(session, deployment))
    if session.as_json:
        keys = [{"name": item.name, "made_on": item.made_on} for item in known]
        write_json({"schema": 1, "deployment": deployment, "keys": keys})
        return
    if not known:
        write_lines(["No client has a key of its own. Make one: planner key add NAME"])
        return
    write_lines(table(("client", "made on"), [(item.name, item.made_on) for item in known]))


@key.command(short_help="Take a client's key away.")
@click.argument("name")
@_DEPLOYMENT
@common_options
def remove(session: Session, *, name: str, deployment: str) -> None:
    r"""Take the key of the client NAME away: within a second it opens nothing any more.

    \b
    Example:
      planner key remove notebook
    """
    with _writing(session):
        removed = remove_named(_file(session, deployment), name)
    if not removed:
        raise NoResultError(
            f"There is no key named “{name}”.", hint="planner key list shows them.", reference="no-such-key"
        )
    if session.as_json:
        write_json({"schema": 1, "deployment": deployment, "removed": name})
        return
    write_lines([f"Removed the key of “{name}”."])


@contextlib.contextmanager
def _writing(session: Session) -> Iterator[None]:
    """A full disk, or a folder that is not ours, is told as where deployments are started."""
    try:
        yield
    except OSError as error:
        from planner.cli.deploying import unwritable

        raise unwritable(session, error) from error


def _file(session: Session, deployment: str) -> Path:
    home = Home(session.config.deployments_dir, deployment)
    if not home.path.is_dir():
        raise NoResultError(
            f"There is no deployment named “{deployment}”.",
            hint="planner status lists what runs; keys are made after the first planner up.",
            reference="no-such-deployment",
        )
    return home.path / "clients.json"
