"""Options of the commands that start a deployment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

_ENGINES = ("auto", "llamafile", "llama-server", "embedded")


def deploy_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--detach`, `--port`, `--name`, `--engine`, `--engine-path` and `--accept-licence`."""
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
        click.option("--accept-licence", is_flag=True, help="Accept licences without commercial use; remembered."),
    )
    for option in reversed(options):
        function = option(function)
    return function
