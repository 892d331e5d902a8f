"""What an engine binary can do, asked of the binary itself: `--version`, `--help`, `--list-devices`.

Never judged by the version string alone: custom builds say `build 0`. A passing probe does not prove that the
build runs on this processor (one passed everything and died with SIGILL at warm-up, measured); such a death is
remembered per binary.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from planner.core.launch.launch_plan import SHELL, EngineKind
from planner.files import replace_file
from planner.serve.engine.environment import engine_environment
from planner.serve.engine.failure import LaunchError, explain_exit, explain_os_error

FLOOR_BUILD = 11393
"""The least safe llama.cpp build: below it a request field reaches a use-after-free (CVE-2026-107183)."""

_PROBE_TIMEOUT_S = 20.0
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_BUILD = re.compile(r"\(build (\d+)|\bb(\d{4,6})\b|version:\s*(\d{3,6})\b")
_VERSION = re.compile(r"llamafile v?(\d[\w.-]*)|version:?\s*v?(\S+)")
_DEVICE = re.compile(r"^\s{2,}(?!\(none\))(\S.*?)\s*$", re.MULTILINE)
_REQUIRED = ("--host", "--port", "--api-key-file", "--ctx-size", "--alias")
_SAFE_RELEASE = (0, 6, 0)
"""llama.cpp v0.6.0 is b11429."""
_LEAST_LLAMAFILE = (0, 10)
"""Before it the server was another program (docs/engines.md)."""

Runner = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str]]
"""Runs a program to its end: (argv, environment) → (exit code, stdout and stderr together). Raises OSError."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """A binary's own account of itself. `build` is llama.cpp's build number, None when it does not tell.

    `flags` are the long flags its `--help` names; `devices` the GPUs it sees, None when it cannot be asked. The
    version of a `llamafile` is its own and says nothing about its llama.cpp.
    """

    version: str
    build: int | None
    flags: frozenset[str]
    devices: tuple[str, ...] | None = None
    wrong_cpu: bool = False
    llamafile: bool = False

    @property
    def below_floor(self) -> bool | None:
        """Whether it is older than the least safe build; None when it does not tell."""
        if self.build is not None:
            return self.build < FLOOR_BUILD
        release = re.match(r"(\d+)\.(\d+)\.(\d+)", self.version)
        if release is None or self.llamafile:
            return None
        return None if tuple(map(int, release.groups())) < _SAFE_RELEASE else False


def parse_flags(help_text: str) -> frozenset[str]:
    """The long flags a help text names, as whole words."""
    return frozenset(_FLAG.findall(help_text))


def parse_version(text: str) -> tuple[str, int | None]:
    """Version and build number from `--version` output; `("", None)` when there is nothing to recognise.

    Understands `version: 11434 (8f3c1ab)`, `version: 0.6.0-dev (build 11434, commit …)` and `llamafile v0.10.6`.
    Builds 0 and 1 are placeholders of custom builds.
    """
    named = _VERSION.search(text)
    version = (named[1] or named[2]) if named else ""
    numbered = _BUILD.search(text)
    build = int(next(group for group in numbered.groups() if group)) if numbered else None
    return version, build if build and build > 1 else None


def run_program(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
    """The real runner: no input, a deadline, output capped at 1 MiB."""
    with tempfile.TemporaryFile() as output:
        code = subprocess.run(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
            start_new_session=True,
        ).returncode
        output.seek(0)
        return code, output.read(2**20).decode("utf-8", errors="replace")


def probe_binary(
    kind: EngineKind,
    binary: Path,
    *,
    cache_dir: Path,
    environ: Mapping[str, str] | None = None,
    run: Runner = run_program,
) -> Capabilities:
    """Ask a llama-server or llamafile what it is; the answer is cached per content of the file.

    Raises LaunchError when it cannot be executed, is for another system or processor, or lacks a flag that is
    needed to run it safely.
    """
    cache = cache_dir / "engines" / f"{_fingerprint(binary)}.json"
    known = _read_cache(cache)
    if known is None:
        with tempfile.TemporaryDirectory(prefix="planner-probe-") as empty:
            source = os.environ if environ is None else environ
            known = _ask(kind, binary, engine_environment(source, config_home=Path(empty)), run)
        _write_cache(cache, known)
    if known.wrong_cpu:
        raise LaunchError(
            f"{binary} needs CPU instructions this machine lacks: it died of that before.",
            hint="Use a build for this processor, or --engine embedded.",
            reference="engine-wrong-cpu",
            permanent=True,
        )
    if kind is EngineKind.LLAMAFILE and _release(known.version) < _LEAST_LLAMAFILE:
        raise LaunchError(
            f"{binary} is llamafile {known.version}: before 0.10 its server answers no embeddings, or wrong ones, "
            "and listens on another port than it is told when that is taken.",
            hint="Use llamafile 0.10 or newer (planner engine install), or --engine embedded.",
            reference="engine-too-old",
            permanent=True,
        )
    if missing := [flag for flag in _REQUIRED if flag not in known.flags]:
        raise LaunchError(
            f"{binary} does not know {', '.join(missing)}: it is too old, or not a llama.cpp server.",
            hint=f"Use llama.cpp b{FLOOR_BUILD} or newer, or --engine embedded.",
            reference="engine-too-old",
            permanent=True,
        )
    return known


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version; as if it were new when there are none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return tuple(map(int, found.groups())) if found else _LEAST_LLAMAFILE


def known_capabilities(binary: Path, *, cache_dir: Path) -> Capabilities | None:
    """What this very binary said when it was asked before; None if it never was. Nothing is executed.

    Raises LaunchError when it cannot be read.
    """
    return _read_cache(cache_dir / "engines" / f"{_fingerprint(binary)}.json")


def remember_wrong_cpu(binary: Path, *, cache_dir: Path) -> None:
    """Note that this very binary died of an illegal instruction here, so that it is not chosen again."""
    with contextlib.suppress(OSError):
        cache = cache_dir / "engines" / f"{_fingerprint(binary)}.json"
        known = _read_cache(cache)
        if known is not None:
            _write_cache(cache, msgspec.structs.replace(known, wrong_cpu=True))


def _ask(kind: EngineKind, binary: Path, environ: Mapping[str, str], run: Runner) -> Capabilities:
    # A llamafile is not executable by every kernel, and names the server's flags only in server mode.
    head = [SHELL, str(binary)] if kind is EngineKind.LLAMAFILE else [str(binary)]

    def ask(*arguments: str) -> str:
        try:
            code, text = run([*head, *arguments], environ)
        except subprocess.TimeoutExpired as error:
            raise LaunchError(
                f"{binary} {arguments[-1]} did not answer within {_PROBE_TIMEOUT_S:.0f} s.",
                hint="Is it a llama.cpp server? Use another with --engine-path, or --engine embedded.",
                reference="engine-silent",
            ) from error
        except OSError as error:
            raise explain_os_error(error, str(binary)) from error
        if code:
            raise explain_exit(code, text.splitlines(), engine=str(binary), asked=arguments[-1])
        return text

    version, build = parse_version(ask("--version"))
    server = ["--server"] if kind is EngineKind.LLAMAFILE else []
    flags = parse_flags(ask(*server, "--help"))
    devices: tuple[str, ...] | None = None
    if kind is EngineKind.LLAMA_SERVER and "--list-devices" in flags:
        _, found, listed = ask("--list-devices").partition("Available devices:")
        devices = tuple(_DEVICE.findall(listed)) if found else None
    return Capabilities(
        version=version, build=build, flags=flags, devices=devices, llamafile=kind is EngineKind.LLAMAFILE
    )


def _fingerprint(binary: Path) -> str:
    """Sha256 over the file, and over name, size and time of the libraries beside it, where backends live."""
    digest = hashlib.sha256()
    try:
        with binary.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        for path in sorted(binary.resolve().parent.iterdir()):
            if ".so" in path.suffixes or path.suffix in {".dylib", ".dll"}:
                facts = path.stat()
                digest.update(f"{path.name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    except OSError as error:
        raise explain_os_error(error, str(binary)) from error
    return digest.hexdigest()


def _read_cache(path: Path) -> Capabilities | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Capabilities)
    except (OSError, msgspec.DecodeError):
        return None


def _write_cache(path: Path, capabilities: Capabilities) -> None:
    """Best effort: a cache that cannot be written costs a second probe, nothing else."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(capabilities))
