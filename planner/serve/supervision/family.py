"""A process and everything it started: looking at them, and ending them all."""

import contextlib
import ipaddress
import os
import signal
import sys

import msgspec
import psutil

SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class Listening(msgspec.Struct, frozen=True):
    """A TCP socket that waits for connections, and the process that has it."""

    pid: int
    host: str
    port: int

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def listening(pid: int) -> tuple[Listening, ...] | None:
    """Where the process and its children listen; None where the system does not tell."""
    found: list[Listening] = []
    told = False
    for member in members(pid):
        try:
            connections = member.net_connections(kind="tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            return None
        told = True
        found += [
            Listening(int(member.pid), str(connection.laddr.ip), int(connection.laddr.port))
            for connection in connections
            if connection.status == psutil.CONN_LISTEN and connection.laddr
        ]
    return tuple(found) if told or sys.platform == "linux" else None


def listener(pid: int, port: int) -> int | None:
    """Which of the process and its children listens on that port; `pid` where the system does not tell."""
    sockets = listening(pid)
    if sockets is None:
        return pid
    return next((socket.pid for socket in sockets if socket.port == port), None)


def is_stopped(pid: int) -> bool:
    """Whether the process is held by a signal (SIGSTOP, a debugger): it can do nothing, and not end politely."""
    try:
        return bool(psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP))
    except psutil.Error:
        return False


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
