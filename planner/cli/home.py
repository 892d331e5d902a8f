"""`planner` alone: the app on a terminal, a short recommendation anywhere else."""

import os
import sys


def home(screen: str | None = None) -> None:
    """Open the app (at a screen), or print what it would open with. Raises UsageError for an unknown screen."""
    from planner.tui.screens.registry import page_and_model

    page, model = page_and_model(screen or "home")
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from planner.tui.data.aside import Aside

        aside = Aside()
        aside.begin()  # before the app is imported: the two take about as long

        from planner.tui.run import run

        sys.exit(run(aside=aside, page=page, model=model))
    from planner.cli.diagnostics import note
    from planner.cli.output import write_lines
    from planner.cli.planning import plan, planned_hardware
    from planner.cli.recommend_page import machine_lines, short_lines
    from planner.cli.session import Session
    from planner.config import load_config
    from planner.core.memory.workload import Workload

    session = Session(config=load_config())
    best = plan(session, Workload(limit=1))[0]
    write_lines([*machine_lines(planned_hardware(session, live=True)), "", *short_lines(best)])
    note("More: planner recommend, planner models, planner --help. On a terminal, planner opens the app.")
