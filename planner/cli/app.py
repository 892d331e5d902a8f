"""The click tree: which command lives where, and what happens when one fails."""

import gc
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from planner import __version__
from planner.cli.diagnostics import ExitCode, complain, error_body, exit_code, note
from planner.cli.output import ReaderGoneError, write_json
from planner.errors import PlannerError, UsageError

COMMANDS: dict[str, str] = {
    "recommend": "planner.cli.commands.recommend:recommend",
    "estimate": "planner.cli.commands.estimate:estimate",
    "need": "planner.cli.commands.need:need",
    "models": "planner.cli.commands.models:models",
    "show": "planner.cli.commands.show:show",
    "compare": "planner.cli.commands.compare:compare",
    "prices": "planner.cli.commands.prices:prices",
    "rank": "planner.cli.commands.rank:rank",
    "inspect": "planner.cli.commands.inspect:inspect",
    "fetch": "planner.cli.commands.fetch:fetch",
    "engine": "planner.cli.commands.engine:engine",
    "up": "planner.cli.commands.up:up",
    "launch": "planner.cli.commands.launch:launch",
    "status": "planner.cli.commands.status:status",
    "logs": "planner.cli.commands.logs:logs",
    "connect": "planner.cli.commands.connect:connect",
    "key": "planner.cli.commands.key:key",
    "bench": "planner.cli.commands.bench:bench",
    "restart": "planner.cli.commands.restart:restart",
    "stop": "planner.cli.commands.stop:stop",
    "service": "planner.cli.commands.service:service",
    "hardware": "planner.cli.commands.hardware:hardware",
    "doctor": "planner.cli.commands.doctor:doctor",
    "catalog": "planner.cli.commands.catalog:catalog",
}
"""Command → `module:attribute`. Modules are imported when their command runs: start-up time is a feature."""


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order of the table: the main job first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return the command."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return keep_example_lines(command)


def keep_example_lines(command: click.Command) -> click.Command:
    r"""Let the lines under a `\b` stand as written in the help text.

    Click wants a backspace character there; docstrings are raw, so that they hold the two characters.
    """
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    for child in command.commands.values() if isinstance(command, click.Group) else ():
        keep_example_lines(child)
    return command


@click.group(cls=LazyGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="planner")
@click.option(
    "--screen", metavar="NAME", help="Open the app on this screen: models, prices, ...; model:ID for a model."
)
@click.pass_context
def cli(ctx: click.Context, screen: str | None) -> None:
    r"""Plan, fetch and run a private RAG stack on the hardware at hand.

    On a terminal, `planner` alone opens the app; elsewhere it prints a short recommendation.

    \b
    Examples:
      planner recommend --vram 8      the best pairs for an 8 GiB card
      planner up --starter            two small models, running in a minute
      planner status                  what runs, measured against estimated
      planner --screen models         the app, at a screen of its own
    """
    if ctx.invoked_subcommand is None:
        from planner.cli.home import home

        home(screen)
    elif screen is not None:
        raise click.UsageError(f"--screen opens the app; it does not go with {ctx.invoked_subcommand}.", ctx)


keep_example_lines(cli)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with the contract's exit code."""
    gc.set_threshold(200_000, 20, 20)  # a catalog stays: to look for what does not takes a third of the time
    arguments = list(sys.argv[1:] if argv is None else argv)
    code = run(arguments)
    gc.freeze()  # nothing will be kept, so at the end there is no garbage to look for
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Errors are printed where they belong, never raised."""
    as_json = "--json" in arguments or "--jsonl" in arguments
    try:
        result = cli.main(args=list(arguments), prog_name="planner", standalone_mode=False)
    except (click.ClickException, PlannerError) as error:
        return _fail(error if isinstance(error, PlannerError) else _usage_error(error), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        note("Interrupted.")
        if as_json:
            _print_error(PlannerError("Interrupted.", hint="The same command goes on.", reference="interrupted"))
        return ExitCode.INTERRUPTED
    except ReaderGoneError:
        sys.stdout = None  # so that nothing is flushed at exit
        return ExitCode.OK
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, not a traceback
        return _fail(_unexpected(error), as_json=as_json)
    return result if isinstance(result, int) else ExitCode.OK


def _usage_error(error: click.ClickException) -> UsageError:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"See: {context.command_path} --help" if context is not None else ""
    return UsageError(error.format_message(), hint=hint)


def _unexpected(error: Exception) -> PlannerError:
    import os
    import traceback

    if os.environ.get("PLANNER_DEBUG"):
        traceback.print_exc()
    return PlannerError(
        f"This should not happen: {type(error).__name__}: {error}",
        hint="Please report it; PLANNER_DEBUG=1 shows where it came from.",
        reference="unexpected",
    )


def _fail(error: PlannerError, *, as_json: bool) -> int:
    if as_json and error.reference != "no-output":
        _print_error(error)
    else:
        complain(error)
    return exit_code(error)


def _print_error(error: PlannerError) -> None:
    write_json(error_body(error))
