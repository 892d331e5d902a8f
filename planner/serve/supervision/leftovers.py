"""What a dead supervisor's engines left behind: found without ever meaning a stranger's process, and ended."""

import contextlib
import os
import sys

import psutil

from planner.serve.state import DeploymentRecord, Home, ProcessRecord, process_matches

_BIRTH_SLACK_S = 2.0


def end_leftovers_of(home: Home, record: DeploymentRecord) -> None:
    """End engines whose supervisor is gone (where the system did not end them with it)."""
    left = [member for process in record.processes for member in _leftover(home, record, process)]
    for member in left:
        with contextlib.suppress(psutil.Error):
            member.terminate()
    _, alive = psutil.wait_procs(left, timeout=5)
    for member in alive:
        with contextlib.suppress(psutil.Error):
            member.kill()
    psutil.wait_procs(alive, timeout=5)


def _leftover(home: Home, record: DeploymentRecord, process: ProcessRecord) -> list[psutil.Process]:
    """What is left of an engine of a dead supervisor; never a process that merely got its number.

    Every engine leads a session. One that ended may leave servers of its own in it: they are told by its number, a
    later birth, the same user, and our folder in the environment they inherited.
    """
    if process.pid is None or process.create_time is None:
        return _marked_leader(home, record, process)
    found = {member.pid: member for member in _marked_leader(home, record, process)}
    for other in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if (
                other.pid not in found
                and _in_session(other.pid, process.pid)
                and other.create_time() >= process.create_time - _BIRTH_SLACK_S
                and other.username() == psutil.Process().username()
                and any(str(home.path) in value for value in other.environ().values())
            ):
                found[other.pid] = other
    return list(found.values())


def _marked_leader(home: Home, record: DeploymentRecord, process: ProcessRecord) -> list[psutil.Process]:
    """The engine with its children, told by its arguments."""
    markers = (f"{record.supervisor_token}-{process.role}", str(home.engine_key), str(home.gateway_key))
    if not any(process_matches(process.pid, create_time=process.create_time, marker=marker) for marker in markers):
        return []
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(process.pid)
        return [*leader.children(recursive=True), leader]
    return []


def _in_session(pid: int, leader: int) -> bool:
    """Whether the process belongs to the session or the group of that number (never, where there are none)."""
    if sys.platform == "win32" or pid == os.getpid():
        return False
    return leader in (os.getsid(pid), os.getpgid(pid))
