"""Options of the commands that start a deployment."""

import functools
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from planner.errors import UsageError
from planner.serve.state import Door

_ENGINES = ("auto", "llamafile", "llama-server", "embedded")


def deploy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """How and where a deployment runs; the command gets who can reach it as `door`."""

    @functools.wraps(function)
    def wrapper(
        *args: Any,
        no_gateway: bool,
        host: str | None,
        allow_host: tuple[str, ...],
        tls_cert: Path | None,
        tls_key: Path | None,
        **kwargs: Any,
    ) -> Any:
        door = _door(gateway=not no_gateway, host=host, names=allow_host, certificate=tls_cert, private_key=tls_key)
        return function(*args, door=door, **kwargs)

    options = (
        click.option("--detach", "-d", is_flag=True, help="Return once it answers; end it with planner stop."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help="The gateway's port; 0 = any free one.  [default: 8484, or any if that is taken]",
        ),
        click.option("--name", metavar="NAME", help="What to call the deployment, to run several."),
        click.option("--engine", type=click.Choice(_ENGINES), help="What runs the models.  [default: auto]"),
        click.option(
            "--engine-path",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A llama-server or llamafile of your own.",
        ),
        click.option("--no-gateway", is_flag=True, help="Reach each engine directly, at an address of its own."),
        click.option(
            "--host",
            metavar="ADDRESS",
            help="Open the gateway to others at this address of this machine; 0.0.0.0 = at all. They need a key.",
        ),
        click.option("--allow-host", metavar="NAME", multiple=True, help="A further name clients call it by."),
        click.option(
            "--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="Certificate (PEM) for --host."
        ),
        click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key (PEM)."),
        click.option("--accept-licence", is_flag=True, help="Accept licences without commercial use; remembered."),
    )
    decorated: Callable[..., Any] = wrapper
    for option in reversed(options):
        decorated = option(decorated)
    return decorated


def _door(
    *, gateway: bool, host: str | None, names: tuple[str, ...], certificate: Path | None, private_key: Path | None
) -> Door:
    """Who can reach the deployment. Raises UsageError for options that contradict each other."""
    outside = None if host is None or _is_loopback(host) else host
    if not gateway and (outside is not None or names or certificate or private_key):
        raise UsageError(
            "--no-gateway leaves engines on this machine alone; --host, --allow-host and --tls-* are the gateway's.",
            hint="Leave out --no-gateway.",
            reference="contradiction",
        )
    if outside is None and (certificate or private_key):
        raise UsageError(
            "--tls-cert and --tls-key are for others than this machine, and nothing is open to them.",
            hint="Give --host too: --host 0.0.0.0.",
            reference="contradiction",
        )
    return Door(
        gateway=gateway,
        host=outside,
        names=names,
        certificate=None if certificate is None else str(certificate.expanduser().absolute()),
        private_key=None if private_key is None else str(private_key.expanduser().absolute()),
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
