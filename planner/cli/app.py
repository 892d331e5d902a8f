"""The click tree."""

import click


@click.group()
def main() -> None:
    """Plan, fetch and run a private RAG stack."""
