"""A program on a pseudo-terminal, for the benchmarks of the app: what is written to it, and when. POSIX only."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import psutil

PLANNER = (sys.executable, "-P", "-m", "planner")
POINTER = "▸".encode()
"""Stands before the chosen plan and nowhere else."""
DEADLINE_S = 60.0


class Terminal:
    """`command` as a shell would start it, in a home folder of its own. Times are of `time.perf_counter`."""

    def __init__(
        self, home: str, *, command: Sequence[str] = PLANNER, columns: int = 120, rows: int = 40, **environ: str
    ) -> None:
        self.master, self._slave = pty.openpty()
        self.resize(columns, rows)
        self.seen = b""
        self.started_s = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**_environ(home), **environ},
            start_new_session=True,
        )

    def resize(self, columns: int, rows: int) -> None:
        """Another size; the program is told."""
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, keys: bytes) -> float:
        """Press keys; returns when."""
        pressed_s = time.perf_counter()
        os.write(self.master, keys)
        return pressed_s

    def until(self, wanted: bytes, deadline_s: float = DEADLINE_S, *, forget: bool = True) -> float:
        """When `wanted` has been written since the last call that waited (and forgot). Raises TimeoutError."""
        return self.until_match(re.compile(re.escape(wanted)), deadline_s, forget=forget)

    def until_match(self, wanted: re.Pattern[bytes], deadline_s: float = DEADLINE_S, *, forget: bool = True) -> float:
        """The same for a pattern."""
        end_s = time.perf_counter() + deadline_s
        while not wanted.search(self.seen):
            left_s = end_s - time.perf_counter()
            if left_s <= 0:
                raise TimeoutError(f"{wanted.pattern!r} was never written: {self.seen[-500:]!r}")
            if select.select([self.master], [], [], left_s)[0]:
                self.seen += os.read(self.master, 65536)
        found_s = time.perf_counter()
        if forget:
            self.seen = b""
        return found_s

    def rest(self, length_s: float) -> None:
        """Let it write for that long, and forget what it wrote."""
        end_s = time.perf_counter() + length_s
        while select.select([self.master], [], [], max(0.0, end_s - time.perf_counter()))[0]:
            os.read(self.master, 65536)
        self.seen = b""

    def rss_bytes(self) -> int:
        """Memory the program holds now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def processor_s(self) -> float:
        """Processor time the program itself has used, its children's left out."""
        used = psutil.Process(self.process.pid).cpu_times()
        return float(used.user + used.system)

    def end(self) -> tuple[int, float, int]:
        """Press q and wait; the exit code, seconds of processor time, the most memory it held in bytes."""
        os.write(self.master, b"q")
        while True:
            if select.select([self.master], [], [], 0.05)[0]:
                os.read(self.master, 65536)
            pid, status, used = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                break
        self.process.returncode = os.waitstatus_to_exitcode(status)
        unit_bytes = 1 if sys.platform == "darwin" else 1024
        return self.process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss * unit_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self._slave)


def _environ(home: str) -> Mapping[str, str]:
    folders = {f"XDG_{name}_HOME": f"{home}/{name.lower()}" for name in ("DATA", "CACHE", "STATE", "CONFIG")}
    return {
        **os.environ,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "HOME": home,
        **folders,
    }
