"""The few disk operations a download depends on, behind one object so that a full disk can be tried out."""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from planner.core.values import Digest
from planner.errors import NoSpaceError, PlannerError, UsageError
from planner.fetch.progress import Phase, Progress
from planner.units import format_gb

CHUNK_BYTES = 2**20
_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Disk:
    """The real disk."""

    def free_bytes(self, folder: Path) -> int:
        """Bytes this user may still write in `folder` (or its nearest existing parent)."""
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write all of `data` to an unbuffered file."""
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def sync(self, file: BinaryIO) -> None:
        """Bring the file's bytes to stable storage."""
        os.fsync(file.fileno())

    def sync_folder(self, folder: Path) -> None:
        """Bring a rename in `folder` to stable storage; systems that cannot are left alone."""
        if sys.platform == "win32":
            return
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError:
            pass  # some network file systems refuse; the rename itself stands
        finally:
            os.close(descriptor)


def require_space(disk: Disk, folder: Path, *, size_bytes: int, have_bytes: int = 0) -> None:
    """Raise NoSpaceError unless `size_bytes` + 5 % fit into `folder`, of which `have_bytes` are there already."""
    need = max(0, size_bytes + size_bytes // 20 - have_bytes)
    free = disk.free_bytes(folder)
    if free < need:
        raise NoSpaceError(
            f"Not enough disk space in {folder}: {format_gb(need)} needed, {format_gb(free)} free. "
            "Nothing was downloaded.",
            hint=f"Free {format_gb(need - free)} there, or set data_dir in config.toml to a larger disk.",
        )


@contextlib.contextmanager
def disk_errors(path: Path, *, kept: Path | None = None) -> Iterator[None]:
    """Turn an OSError of the body into the error for people; `kept` is the unfinished file that stays."""
    try:
        yield
    except PlannerError:
        raise
    except OSError as error:
        raise _explained(error, path, kept) from error


def _explained(error: OSError, path: Path, kept: Path | None) -> PlannerError:
    if error.errno in _FULL:
        size = used_bytes(kept) if kept is not None else 0
        return NoSpaceError(
            f"The disk is full: writing {path.name} in {path.parent} stopped"
            + (f" after {format_gb(size)}, which are kept." if size else "."),
            hint="Free some space and run the same command again; it goes on where it stopped.",
        )
    if error.errno == errno.EFBIG:
        return NoSpaceError(
            f"The file system of {path.parent} does not take files as large as {path.name}.",
            hint="FAT32 ends at 4 GiB: set data_dir in config.toml to another disk.",
            reference="file-too-large",
        )
    return UsageError(
        f"{path} cannot be written: {error.strerror or error}.",
        hint="Check the permissions, or set data_dir in config.toml to a folder of yours.",
        reference="store-not-writable",
    )


def used_bytes(path: Path) -> int:
    """What a file takes on its disk: less than its size while pieces in its middle are missing. 0 without a file."""
    try:
        status = path.stat()
    except OSError:
        return 0
    blocks: int | None = getattr(status, "st_blocks", None)  # not on Windows
    return status.st_size if blocks is None else min(status.st_size, blocks * 512)


def hash_file(path: Path, progress: Progress) -> Digest:
    """sha256 of a file, in pieces that leave room for cancelling. Raises OSError."""
    hasher = hashlib.sha256()
    done, total = 0, path.stat().st_size
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            hasher.update(chunk)
            done += len(chunk)
            progress.update(Phase.CHECKING, done, total)
    return Digest(hasher.hexdigest())


def write_atomically(path: Path, data: bytes, disk: Disk) -> None:
    """Replace `path` by `data` so that a reader sees the old bytes or the new ones, never a mixture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb", buffering=0) as file:
            disk.write(file, data)
            disk.sync(file)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
