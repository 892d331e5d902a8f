"""The program around the app: what is set up before it, and what is put in order whatever ended it."""

import os
import sys
import threading
import traceback
from functools import partial

from rich.console import Console

from planner.tui.app import PlannerApp
from planner.tui.crash import report_crash
from planner.tui.data.aside import Aside
from planner.tui.hang_up import watch_terminal
from planner.tui.marks import ASCII, UNICODE, speaks_unicode
from planner.tui.services import Services
from planner.tui.signals import ENDING


def run(services: Services | None = None, *, aside: Aside | None = None, page: str = "home", model: str = "") -> int:
    """Run the app on this terminal, beginning with a page and a model's on top of it; returns the exit code.

    `aside`: where the first look at the machine is under way. The terminal is restored whatever happens.
    """
    aside = aside or Aside()
    services = services or Services(look=aside.look, plan=aside.plan, more=aside.more, give_up=aside.give_up)
    marks = UNICODE if speaks_unicode(os.environ, sys.stdout.encoding) else ASCII
    sys.setswitchinterval(0.001)  # estimates made in threads let go of the interpreter sooner when a key comes
    app: PlannerApp | None = None
    crash: str | None = None
    watch: threading.Event | None = None
    try:
        few_colours = Console(force_terminal=True).color_system == "standard"
        app = PlannerApp(services, marks=marks, signals=ENDING, page=page, model=model, few_colours=few_colours)
        watch = watch_terminal(app.hung_up, partial(_settle, app, aside))
        app.run()
        crash = app.crash
    except Exception:  # noqa: BLE001  # the last line of defence: one line, not a traceback
        crash = traceback.format_exc()
    finally:
        _settle(app, aside)
        if watch is not None:
            watch.set()
    if crash is not None:
        sys.stderr.write(report_crash(crash))
        return 1
    return app.return_code or 0 if app is not None else 1


def _settle(app: PlannerApp | None, aside: Aside) -> None:
    """What is to be done whatever ended the app: work under way is ended, choices are written."""
    aside.close()
    if app is not None:
        app.end()
