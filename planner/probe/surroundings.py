"""Where the probes look: a file tree, an environment, a way to run programs. Tests hand in their own."""

import contextlib
import os
import platform as host_platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planner.core.machines.hardware import Device

OUTPUT_CAP_BYTES = 4 * 2**20
"""More than any of the programs asked here ever prints."""


@dataclass(frozen=True)
class Finished:
    """What a program left: `returncode` is negative for a signal, None if it could not be started or was stopped.

    `output` is what it had printed to stdout until then.
    """

    returncode: int | None
    output: str
    timed_out: bool = False
    error: str = ""


Runner = Callable[[Sequence[str], float, Mapping[str, str]], Finished]
"""Runs argv for at most so many seconds, with variables added to the environment."""


def run_program(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
    """Run a program in its own session, for as long as asked: what hangs is killed with its children."""
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **extra_env},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        return Finished(None, "", error=str(error))
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                _kill_group(process)
            try:
                output, _ = process.communicate(timeout=1.0)
            except subprocess.TimeoutExpired:
                # Stuck in the kernel: not even SIGKILL is delivered. Let go of it without waiting.
                if process.stdout is not None:
                    process.stdout.close()
                process.returncode = -signal.SIGTERM
                return Finished(None, "", timed_out=True, error="it cannot be stopped")
            return Finished(None, _text(output), timed_out=True)
    return Finished(process.returncode, _text(output))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)


def _text(output: bytes) -> str:
    """Capped and decoded; probes read ASCII, the rest is replaced."""
    return output[:OUTPUT_CAP_BYTES].decode("utf-8", "replace")


def _can_open(path: Path) -> bool:
    """Whether this process may read and write a file: what driving a device node takes."""
    return os.access(path, os.R_OK | os.W_OK)


@dataclass(frozen=True)
class Surroundings:
    """Everything a probe may look at. `root` stands for `/`; `machine` is the processor's architecture.

    `which` finds a program's path on PATH, `can_open` tells whether a device node may be read and written.
    """

    root: Path = Path("/")
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    run: Runner = run_program
    platform: str = sys.platform
    machine: str = field(default_factory=host_platform.machine)
    which: Callable[[str], str | None] = shutil.which
    can_open: Callable[[Path], bool] = _can_open

    def path(self, absolute: str) -> Path:
        """A path below the root."""
        return self.root / absolute.lstrip("/")

    def read(self, path: Path | str) -> str | None:
        """A small text file, stripped; None if it is missing, unreadable or not text."""
        try:
            with (self.path(path) if isinstance(path, str) else path).open("rb") as file:
                return file.read(1 << 20).decode("utf-8", "replace").strip()
        except (OSError, ValueError):  # ValueError: a path with a null byte, made of another file's content
            return None

    def read_int(self, path: Path | str, base: int = 10) -> int | None:
        """A file with one whole number."""
        text = self.read(path)
        try:
            return None if text is None else int(text, base)
        except ValueError:
            return None


@dataclass(frozen=True)
class Finding:
    """What one source found. Any of it may be empty; `drivers` are versions by name."""

    devices: tuple[Device, ...] = ()
    notes: tuple[str, ...] = ()
    drivers: Mapping[str, str] = field(default_factory=dict)
