"""What runs."""

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord


def read_servers() -> "tuple[DeploymentRecord, ...]":
    """The deployments of this user, as they are now."""
    from planner.config import load_config

    folder = load_config().deployments_dir
    with contextlib.suppress(FileNotFoundError):
        if any(folder.iterdir()):
            from planner.serve.deployments import list_deployments

            return list_deployments(folder)
    return ()
