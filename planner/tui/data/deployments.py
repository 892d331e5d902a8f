"""What runs."""

from planner.serve.state import DeploymentRecord


def read_servers() -> tuple[DeploymentRecord, ...]:
    """The deployments of this user, as they are now."""
    from planner.config import load_config
    from planner.serve.deployments import list_deployments

    return list_deployments(load_config().deployments_dir)
