"""A process and everything it started: looking at them, and ending them all."""

import contextlib
import os
import signal
import sys

import psutil

SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def listener(pid: int, port: int) -> int | None:
    """Which of the process and its children listens on that loopback port; `pid` where the system does not tell."""
    told = False
    for member in members(pid):
        try:
            connections = member.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            return pid
        told = True
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and getattr(connection.laddr, "port", None) == port:
                return int(member.pid)
    return None if told or sys.platform == "linux" else pid


def members(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty when it is gone."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return []


def cpu_seconds(pid: int) -> float:
    """Processor time the family has used so far."""
    total = 0.0
    for member in members(pid):
        with contextlib.suppress(psutil.Error):
            times = member.cpu_times()
            total += times.user + times.system
    return total


def create_time(pid: int) -> float | None:
    """When the process was made (seconds since the epoch); None when it is gone."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the process group that `pid` leads; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
