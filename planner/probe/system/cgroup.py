"""Limits that Linux control groups put on this process: memory and CPU time, v1, v2, hybrid and nested.

psutil and `/proc/meminfo` show the machine, not the group: 24 GiB were reported inside a 96 MiB group. Swap is no
memory for models, so swap limits are not looked at.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from planner.probe.surroundings import Surroundings

NO_LIMIT = 2**60
"""cgroup v1 writes 9223372036854771712 (the largest page-aligned number) where there is no limit."""

_OCTAL = re.compile(r"\\([0-7]{3})")
_WHOLE = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True)
class Limits:
    """The tightest limits on the way from this process's group to the root; None where there is none.

    `memory_free_bytes` is the least of limit less used (reclaimable file pages do not count as used).
    """

    memory_bytes: int | None = None
    memory_free_bytes: int | None = None
    cpu_cores: float | None = None
    memory_source: str = ""
    cpu_source: str = ""

    @property
    def whole_cores(self) -> int | None:
        """The CPU quota as a number of threads, rounded up: 1.5 cores keep two threads busy."""
        return None if self.cpu_cores is None else max(1, math.ceil(self.cpu_cores - 1e-9))


@dataclass(frozen=True)
class _Mount:
    root: PurePosixPath
    point: Path
    version: int
    controllers: frozenset[str]


def read_limits(here: Surroundings) -> Limits:
    """The limits on this process, from `/proc/self/cgroup` and the mounted hierarchies. Never fails."""
    memory: list[tuple[int, int, str]] = []
    quotas: list[tuple[float, str]] = []
    mounts = _mounts(here)
    for version, controllers, group in _memberships(here):
        for mount in mounts:
            if mount.version != version or (version == 1 and not controllers & mount.controllers):
                continue
            for folder in _way_up(mount, group):
                if version == 2 or "memory" in controllers:
                    memory.extend(_memory_limit(here, folder, version))
                if version == 2 or "cpu" in controllers:
                    quotas.extend(_cpu_quota(here, folder, version))
    memory_limit = min(memory, default=None)
    quota = min(quotas, default=None)
    return Limits(
        memory_bytes=memory_limit[0] if memory_limit else None,
        memory_free_bytes=min((max(0, limit - used) for limit, used, _ in memory), default=None),
        cpu_cores=quota[0] if quota else None,
        memory_source=memory_limit[2] if memory_limit else "",
        cpu_source=quota[1] if quota else "",
    )


def _memberships(here: Surroundings) -> Iterator[tuple[int, frozenset[str], PurePosixPath]]:
    """(version, controllers, group) per line of `/proc/self/cgroup`."""
    for line in (here.read("/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, group = rest.partition(":")
        if not colon or not group.startswith("/"):
            continue
        if number == "0" and not controllers:
            yield 2, frozenset(), PurePosixPath(group)
        else:
            yield 1, frozenset(controllers.split(",")), PurePosixPath(group)


def _mounts(here: Surroundings) -> list[_Mount]:
    """Mounted hierarchies; where `/proc/self/mountinfo` cannot be read, the usual places."""
    mounts = []
    for line in (here.read("/proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()
        if len(fields) < 5 or not kind or kind[0] not in {"cgroup", "cgroup2"}:
            continue
        root, point = (_OCTAL.sub(lambda m: chr(int(m[1], 8)), fields[i]) for i in (3, 4))
        options = frozenset(kind[-1].split(",")) if kind[0] == "cgroup" else frozenset()
        mounts.append(_Mount(PurePosixPath(root), here.path(point), 2 if kind[0] == "cgroup2" else 1, options))
    if mounts:
        return mounts
    base = here.path("/sys/fs/cgroup")
    slash = PurePosixPath("/")
    usual = [_Mount(slash, base, 2, frozenset())]
    usual += [_Mount(slash, base / name, 1, frozenset(name.split(","))) for name in ("memory", "cpu", "cpu,cpuacct")]
    return usual


def _way_up(mount: _Mount, group: PurePosixPath) -> Iterator[Path]:
    """Folders from the process's group up to the mount point.

    In a container the group's path is the host's while only its own subtree is mounted: then the mount
    point itself is the group.
    """
    if ".." in group.parts:
        inside = PurePosixPath()
    elif group.is_relative_to(mount.root):
        inside = group.relative_to(mount.root)
    elif (mount.point / group.relative_to("/")).is_dir():
        inside = group.relative_to("/")
    else:
        inside = PurePosixPath()
    for part in (inside, *inside.parents):
        yield mount.point / part
    if inside.parts and not (mount.point / inside).is_dir():
        yield mount.point


def _memory_limit(here: Surroundings, folder: Path, version: int) -> Iterator[tuple[int, int, str]]:
    """(limit, used less reclaimable pages, file) for each limit of this group.

    `memory.high` of v2 does not kill, it slows the group down until nothing runs: a limit as good as `memory.max`.
    v1's `hierarchical_memory_limit` also knows of groups above the mount, which a container cannot see.
    """
    if version == 2:
        limits = {name: here.read_int(folder / name) for name in ("memory.max", "memory.high")}
        usage, reclaimable = "memory.current", "inactive_file"
    else:
        limits = {"memory.limit_in_bytes": here.read_int(folder / "memory.limit_in_bytes")}
        usage, reclaimable = "memory.usage_in_bytes", "total_inactive_file"
    pairs = (line.partition(" ") for line in (here.read(folder / "memory.stat") or "").splitlines())
    stat = {name: int(value) for name, _, value in pairs if _WHOLE.fullmatch(value)}
    if version == 1:
        limits["hierarchical_memory_limit"] = stat.get("hierarchical_memory_limit")
    used = max(0, (here.read_int(folder / usage) or 0) - stat.get(reclaimable, 0))
    for name, limit in limits.items():
        if limit is not None and 0 < limit < NO_LIMIT:
            yield limit, used, f"cgroup v{version} {name}"


def _cpu_quota(here: Surroundings, folder: Path, version: int) -> Iterator[tuple[float, str]]:
    """Cores' worth of time per second, if this group has a quota."""
    if version == 2:
        quota_text, _, period_text = (here.read(folder / "cpu.max") or "").partition(" ")
        if not quota_text.isdigit() or not period_text.isdigit():
            return
        quota, period, name = int(quota_text), int(period_text), "cpu.max"
    else:
        quota = here.read_int(folder / "cpu.cfs_quota_us") or -1
        period = here.read_int(folder / "cpu.cfs_period_us") or 0
        name = "cpu.cfs_quota_us"
    if quota > 0 and period > 0:
        yield quota / period, f"cgroup v{version} {name}"
