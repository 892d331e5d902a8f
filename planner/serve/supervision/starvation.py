"""Was a process killed for lack of memory? The kernel counts such kills; the killed process says nothing."""

import re
from pathlib import Path

_OOM_KILL = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(root: Path = Path("/")) -> int | None:
    """How many processes of this memory group the kernel has killed for lack of memory; None where it does not tell.

    Groups of version 2 and 1 are asked for their own count, into which kills by any limit go; without one the whole
    system's counts.
    """
    for path in (*_group_files(root), root / "proc/vmstat"):
        try:
            found = _OOM_KILL.search(path.read_text(encoding="ascii", errors="replace"))
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return None


def _group_files(root: Path) -> list[Path]:
    """Where this process' memory group may be seen; in a container its name is often that of the host."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup"
    found: list[Path] = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        if ".." in name:
            continue
        inside = name.lstrip("/")
        if "memory" in controllers.split(","):
            found = [mount / "memory" / inside / "memory.oom_control", mount / "memory/memory.oom_control", *found]
        elif number == "0" and not controllers:
            found += [mount / inside / "memory.events", mount / "memory.events"]
    return found
