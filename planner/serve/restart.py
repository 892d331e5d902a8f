"""Starting a deployment again as it was planned: after a crash, or to get rid of what went wrong in it.

`python -P -m planner.serve.restart FOLDER` does it in a process of its own, so that whoever asked may go away
meanwhile without leaving the deployment between its end and its start. It answers with one JSON document on stdout.
"""

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from planner.errors import BadDataError, EngineError, NoResultError, PlannerError
from planner.serve.deployments import (
    let_go,
    locked,
    start_supervisor,
    stop_deployment,
    wait_claimed,
    wait_started,
)
from planner.serve.state import DeploymentRecord, DeploymentSpec, Home

EXIT_FAILED = 6


def restart_deployment(
    home: Home,
    *,
    tell: Callable[[str], None],
    on_change: Callable[[DeploymentRecord], None] | None = None,
) -> DeploymentRecord:
    """End a deployment if it runs, and start the same plan at the same address; returns once it answers.

    It is detached from then on, whoever started it before. `tell` hears what happens; how its processes come up it
    hears only without `on_change`, which is called with each new state of them. Raises NoResultError where
    nothing was ever planned, EngineError when a file it needs is gone or it does not start.
    """
    with locked(home):
        spec, record = _plan(home), home.read_state()
        _check_files(spec)
        tell(f"stopping “{home.name}” …")
        with contextlib.suppress(NoResultError):
            stop_deployment(home)
        spec = _at_the_same_address(spec, record)
        spec = msgspec.structs.replace(spec, supervisor_token=secrets.token_hex(16), tied=False)
        supervisor = start_supervisor(home, spec)
        wait_claimed(home, supervisor)
    try:
        # Not before it has begun: who no longer listens must not leave it between its end and its start.
        tell("starting it again …")
        return wait_started(home, supervisor, on_change=on_change or _told_once(tell))
    finally:
        let_go(supervisor)


def _told_once(tell: Callable[[str], None]) -> Callable[[DeploymentRecord], None]:
    seen: set[tuple[str, str]] = set()

    def changed(now: DeploymentRecord) -> None:
        for process in now.processes:
            if (found := (process.role, str(process.state))) not in seen:
                seen.add(found)
                tell(f"{process.role}: {process.state}")

    return changed


def _plan(home: Home) -> DeploymentSpec:
    try:
        return home.read_plan()
    except BadDataError as error:
        raise NoResultError(
            f"What “{home.name}” consists of is not known any more: {error.message}",
            hint="Start it anew: planner up.",
            reference="no-plan",
        ) from error


def _check_files(spec: DeploymentSpec) -> None:
    """Nothing is stopped for a start that cannot succeed."""
    gone = [process.model_path for process in spec.processes if not Path(process.model_path).exists()]
    if spec.engine.binary and not Path(spec.engine.binary).exists():
        gone.append(spec.engine.binary)
    if gone:
        raise EngineError(
            f"{gone[0]} is gone, so it cannot be started again.",
            hint="planner up fetches what is missing.",
            reference="file-gone",
        )


def _at_the_same_address(spec: DeploymentSpec, record: DeploymentRecord | None) -> DeploymentSpec:
    """The plan with the ports that its clients know; without a gateway that is one for each engine."""
    if record is None:
        return spec
    public, local = _port(record.public_url), _port(record.gateway_url)
    engines = {process.role: _port(process.url) for process in record.processes} if local is None else {}
    return msgspec.structs.replace(
        spec,
        port=public or local or spec.port,
        local_port=local if public and local else spec.local_port,
        processes=tuple(
            msgspec.structs.replace(process, port=engines.get(process.plan.role.value) or process.port)
            for process in spec.processes
        ),
    )


def _port(url: str | None) -> int | None:
    return None if url is None else urlsplit(url).port


def main(arguments: list[str]) -> int:
    """Entry of the process: FOLDER. Returns 0 when it runs, 6 when it does not."""
    folder = Path(arguments[0])
    os.umask(0o077)
    try:
        record = restart_deployment(Home(folder.parent, folder.name), tell=_tell)
    except PlannerError as error:
        body: dict[str, object] = {
            "error": {"reference": error.reference, "message": error.message, "hint": error.hint}
        }
        code = EXIT_FAILED
    else:
        body, code = {"deployment": record.public()}, 0
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()
    return code


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
