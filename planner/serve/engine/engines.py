"""Three engines behind one interface: an `Engine` says how to start a process for a plan, and nothing else.

llamafile and llama-server are programs, started with arguments gated by their own `--help`; the embedded engine is
the `xllamacpp` wheel in a child process of ours. Rules and measurements: docs/engines.md.
"""

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.core.launch.launch_plan import EngineKind, ProcessPlan, embedded_parameters, engine_argv
from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.engine.capabilities import FLOOR_BUILD, Capabilities
from planner.serve.engine.environment import engine_environment

_UNIX_SHIM = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
try:
    os.execvp(sys.argv[2], sys.argv[2:])
except OSError as error:
    sys.stderr.write(f"planner: {sys.argv[2]}: {error.strerror}\\n")
    sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
"""
"""Becomes the engine after asking the kernel to end it with its parent.

A program of its own instead of `preexec_fn`, which is not safe beside threads. The signal survives `exec`.
"""


_CPU_DEVICE = 0
"""llama.cpp's device type of the processor."""


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine that was found: what it is, and why it was chosen.

    `binary` is empty for the embedded engine. `notes` are for people: age, missing features. `shielded`: it is, or
    may be, below the least safe build, so nobody may reach it but the gateway.
    """

    kind: EngineKind
    version: str
    binary: str = ""
    flags: frozenset[str] = frozenset()
    devices: tuple[str, ...] | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    shielded: bool = False

    @property
    def label(self) -> str:
        """Name and version for people: `llama-server 11434`."""
        return f"{self.kind.value} {self.version}".strip()


@dataclass(frozen=True)
class Command:
    """What to start: arguments, environment, and what to write to its stdin (which then stays open)."""

    argv: tuple[str, ...]
    environ: Mapping[str, str]
    stdin: bytes | None = None


@dataclass(frozen=True)
class Files:
    """Where one process finds and leaves things, as absolute paths."""

    model: Path
    key: Path
    config_home: Path
    temp: Path


def make_command(
    engine: Engine,
    process: ProcessPlan,
    *,
    files: Files,
    api_key: str,
    token: str,
    environ: Mapping[str, str],
    port: int = 0,
) -> Command:
    """The command that serves `process` with `engine`. The key is never an argument; `port` 0 = any.

    `token` marks the embedded child as ours in the process list; external engines are known by `files.key`. Raises
    EngineError for what the engine cannot be told.
    """
    if engine.kind is EngineKind.LLAMAFILE and "@" in str(files.model):
        raise EngineError(
            f"llamafile splits paths at “@”, and the model lies in {files.model}.",
            hint="Set data_dir in config.toml to a folder without it, or use --engine embedded.",
            reference="engine-path",
        )
    if engine.kind is EngineKind.EMBEDDED:
        parameters = embedded_parameters(process, model_path=str(files.model), api_key=api_key, port=port)
        return Command(
            # -P: a folder the user happens to stand in must not provide modules.
            argv=(sys.executable, "-P", "-m", "planner.serve.engine.embedded_child", f"{token}-{process.role.value}"),
            environ=engine_environment(environ, config_home=files.config_home, python=True),
            stdin=json.dumps(parameters).encode() + b"\n",
        )
    argv = engine_argv(
        engine.kind,
        process,
        binary=engine.binary,
        model_path=str(files.model),
        key_file=str(files.key),
        flags=engine.flags,
        port=port,
    )
    temp = files.temp if engine.kind is EngineKind.LLAMAFILE else None
    return Command(
        argv=argv if os.name == "nt" else (sys.executable, "-I", "-S", "-c", _UNIX_SHIM, str(os.getpid()), *argv),
        environ=engine_environment(environ, config_home=files.config_home, temp_dir=temp),
    )


def external_engine(kind: EngineKind, binary: Path, capabilities: Capabilities, *, reason: str) -> Engine:
    """An engine from a probed binary, shielded with a note when it is below the least safe build or does not tell."""
    notes: list[str] = []
    unnumbered = kind is EngineKind.LLAMAFILE and capabilities.build is None
    shielded = unnumbered or capabilities.below_floor is not False
    if unnumbered:
        # Its releases do not name their llama.cpp build; by its date 0.10.6 is older than the fix.
        notes.append(
            f"llamafile {capabilities.version} is built from a llama.cpp older than b{FLOOR_BUILD}, as far as is "
            f"known. {_SHIELD}"
        )
    elif capabilities.below_floor:
        notes.append(
            f"{binary} is llama.cpp b{capabilities.build}; below b{FLOOR_BUILD} a remote fault is known: update it. "
            f"{_SHIELD}"
        )
    elif shielded:
        notes.append(
            f"{binary} does not tell its llama.cpp build; b{FLOOR_BUILD} or newer is needed to be safe. {_SHIELD}"
        )
    return Engine(
        kind=kind,
        version=str(capabilities.build or capabilities.version),
        binary=str(binary),
        flags=capabilities.flags,
        devices=capabilities.devices,
        reason=reason,
        notes=tuple(notes),
        shielded=shielded,
    )


_SHIELD = (
    "It runs shielded: reachable only through the gateway, which forwards no field of that fault (CVE-2026-107183), "
    "and never with --no-gateway or --host."
)


def embedded_version() -> str | None:
    """The version of the installed `xllamacpp` wheel; None when there is none. Does not load it."""
    if importlib.util.find_spec("xllamacpp") is None:
        return None
    try:
        return importlib.metadata.version("xllamacpp")
    except importlib.metadata.PackageNotFoundError:
        return ""


def embedded_devices() -> tuple[str, ...] | None:
    """The GPUs the installed wheel was built for and sees; None when it cannot be asked. Loads it in a process."""
    code = (
        "import json, xllamacpp as x; devices = [(d['name'], int(d['type'])) for d in x.get_device_info()]; "
        "print('\\n' + json.dumps(devices))"
    )
    try:
        with tempfile.TemporaryDirectory(prefix="planner-probe-") as empty:
            done = subprocess.run(
                [sys.executable, "-P", "-c", code],
                capture_output=True,
                text=True,
                timeout=30,
                check=True,
                env=engine_environment(os.environ, config_home=Path(empty), python=True),
            )
        listed = json.loads(done.stdout.strip().splitlines()[-1])
        return tuple(str(name) for name, kind in listed if kind != _CPU_DEVICE)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return None


def embedded_engine(version: str, *, reason: str) -> Engine:
    """The engine of the installed wheel. The third part of its version is llama.cpp's build."""
    build = version.rpartition(".")[2]
    safe = build.isdigit() and int(build) >= FLOOR_BUILD
    age = f"is below llama.cpp b{FLOOR_BUILD}" if build.isdigit() else "does not tell its llama.cpp build"
    notes = () if safe else (f"xllamacpp {version} {age}: pip install --upgrade xllamacpp. {_SHIELD}",)
    return Engine(kind=EngineKind.EMBEDDED, version=version, reason=reason, notes=notes, shielded=not safe)


def required_context(process: ProcessPlan) -> int:
    """Tokens per slot: the context is divided by the slots, and an encoder never exceeds its trained length."""
    context = process.settings.context // max(1, process.settings.parallel)
    return min(context, process.model.context_length)


def longest_input(process: ProcessPlan) -> int:
    """The longest embedding input in tokens that one pass takes.

    A causal model with `last` pooling is split over micro-batches, so the slot is the limit; any other needs the
    whole input in one (docs/engines.md).
    """
    context = required_context(process)
    causal = process.model.architecture is not None and process.model.architecture.causal
    if process.role is Role.GENERATION or (
        causal and process.model.pooling is not None and process.model.pooling == "last"
    ):
        return context
    return min(context, process.settings.ubatch)
