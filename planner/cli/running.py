"""The one deployment that a command is about, where it may be left unnamed."""

from planner.cli.session import Session
from planner.core.launch.supervise import DeploymentState
from planner.errors import NoResultError, UsageError
from planner.serve.state import ENDED, DeploymentRecord

_ANSWERS = (DeploymentState.RUNNING, DeploymentState.DEGRADED)


def running_deployment(
    session: Session,
    name: str | None,
    *,
    to: str,
    no_gateway: tuple[str, str],
    because: str = "",
    naming: str = "{}",
) -> DeploymentRecord:
    """The deployment `name`, or the only one, that answers through a gateway.

    `to`: what is to be done with it, in the words of the error. `because`: why it has to be one. `naming`: how it is
    named on the command line, `{}` for the names there are. `no_gateway`: what it means that it runs without one, and
    what to do. Raises NoResultError, UsageError.
    """
    from planner.serve.deployments import list_deployments

    meant = [r for r in list_deployments(session.config.deployments_dir) if name in (None, r.name)]
    usable = [record for record in meant if record.state in _ANSWERS]
    if not usable:
        starting = next((record.name for record in meant if record.state not in ENDED), None)
        if starting is not None:
            what, hint = f"“{starting}” does not answer yet", "Wait for it: planner status --watch."
        else:
            what = "Nothing is running" if name is None else f"No deployment “{name}” is running"
            hint = "Start one: planner up --detach."
        raise NoResultError(f"{what}, so there is nothing to {to}.", hint=hint, reference="not-running")
    if len(usable) > 1:
        raise UsageError(
            f"Several deployments are running{because}.",
            hint=f"Name one: {naming.format(', '.join(record.name for record in usable))}.",
            reference="several-running",
        )
    if usable[0].gateway_url is None:
        meaning, hint = no_gateway
        raise UsageError(f"“{usable[0].name}” runs without a gateway{meaning}", hint=hint, reference="no-gateway")
    return usable[0]
