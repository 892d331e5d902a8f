"""`planner catalog`: the data files themselves, and the user's own."""

import importlib

import click

_COMMANDS = ("add", "update", "check")


class _Group(click.Group):
    """Imports a command when it is needed, as the whole program does."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order one needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, with the lines of its examples kept."""
        if cmd_name not in _COMMANDS:
            return None
        from planner.cli.app import keep_example_lines

        command = getattr(importlib.import_module(f"{__name__}.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return keep_example_lines(command)


@click.group(cls=_Group)
def catalog() -> None:
    """Look after the model catalog: models of your own, files that changed on the Hub, mistakes in catalog files."""
