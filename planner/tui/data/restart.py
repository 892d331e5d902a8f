"""Starting a deployment again, in a process of its own."""

import os
import sys

from planner.tui.child import ChildJob, Job, OnLine

COMMAND = (sys.executable, "-P", "-m", "planner.serve.restart")


def start_again(name: str, on_line: OnLine) -> Job:
    """The job that ends a deployment and starts it as it was planned. Raises OSError, UsageError."""
    from planner.config import load_config
    from planner.serve.state import Home

    home = Home(load_config().deployments_dir, name)
    return ChildJob([str(home.path)], on_line, command=COMMAND, environ=os.environ)
