"""One supervisor per deployment: the lock it holds as long as it lives, whatever becomes of its state file."""

import filelock
import psutil

from planner.errors import EngineError
from planner.serve.state import Home

CLAIM_WAIT_S = 5.0
"""How long a lock may stay held by somebody who only looks, or by a supervisor that is just ending."""
SUPERVISOR = "planner.serve.supervision.supervisor"
"""The module that a supervisor runs, by which its process is known."""


def claim(home: Home, *, wait_s: float = CLAIM_WAIT_S) -> filelock.BaseFileLock:
    """Make this process the folder's only supervisor until it releases the lock or ends. Raises EngineError."""
    lock = filelock.FileLock(home.supervisor_lock, mode=0o600)
    try:
        lock.acquire(timeout=wait_s)
    except filelock.Timeout as error:
        raise held_error(home) from error
    return lock


def is_claimed(home: Home, *, wait_s: float = 0.0) -> bool:
    """Whether a supervisor still holds the folder after `wait_s` seconds.

    Where the lock's file is gone (somebody removed the folder), its process tells.
    """
    if not home.supervisor_lock.exists():
        _, alive = psutil.wait_procs(supervisors(home), timeout=wait_s)
        return bool(alive)
    try:
        claim(home, wait_s=wait_s).release()
    except EngineError:
        return True
    return False


def held_error(home: Home) -> EngineError:
    """That a supervisor lives in the folder, and what its state file tells of it."""
    pids = ", ".join(str(process.pid) for process in supervisors(home))
    problem = home.state_problem()
    return EngineError(
        f"A supervisor of “{home.name}” still runs{f' (pid {pids})' if pids else ''}"
        + (f", but not even its state is known: {problem}." if problem else "."),
        hint=f"End it: planner stop {home.name}. Or run another: --name OTHER.",
        reference="deployment-held",
    )


def supervisors(home: Home) -> list[psutil.Process]:
    """The supervisors of this folder, told by their arguments."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if SUPERVISOR in arguments and str(home.path) in arguments:
            found.append(process)
    return found
