"""Sections about the machine: system, terminal, hardware, limits, disk."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from planner.cli.doctor.report import Context, Found, Problem
from planner.units import GIB, format_gb, format_gib

_FEW_FILES = 256
_LITTLE_DISK_BYTES = 5 * 10**9
_USUAL_MODEL = "a model of 8B parameters takes about 5 GB"


def system(context: Context) -> Found:
    """Operating system, kernel, C library and Python."""
    here = context.here
    kinds = []
    if here.path("/.dockerenv").exists() or here.path("/run/.containerenv").exists():
        kinds.append("container")
    if "microsoft" in (here.read("/proc/version") or "").lower():
        kinds.append("WSL")
    problems = []
    if platform.machine().lower() in {"i386", "i686", "x86"} or sys.maxsize < 2**32:
        problems.append(
            Problem("This Python is a 32-bit program: no model of useful size fits.", "Install a 64-bit one.")
        )
    return Found(
        {
            "os": _os_name(here.read("/etc/os-release") or ""),
            "kernel": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(),
            "libc": " ".join(filter(None, platform.libc_ver())) or None,
            "inside": kinds,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "python_executable": sys.executable,
        },
        tuple(problems),
    )


def _os_name(os_release: str) -> str:
    """The distribution's own name, else the system's and its version."""
    match = re.search(r'(?m)^PRETTY_NAME="?([^"\n]+)"?$', os_release)
    if match is not None:
        return match[1]
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    return f"{platform.system()} {platform.version()}"


def terminal(context: Context) -> Found:
    """What the app and the progress lines can rely on."""
    encoding = getattr(sys.stdout, "encoding", None)
    problems = []
    if encoding is not None and "utf" not in encoding.lower():
        problems.append(
            Problem(f"Standard output is {encoding}: some characters cannot be shown.", "Set LC_ALL=C.UTF-8.")
        )
    size = shutil.get_terminal_size()
    return Found(
        {
            "term": context.environ.get("TERM"),
            "encoding": encoding,
            "isatty": {
                name: bool(stream is not None and stream.isatty())
                for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout), ("stderr", sys.stderr))
            },
            "size": f"{size.columns}x{size.lines}",
            "no_color": "NO_COLOR" in context.environ,
        },
        tuple(problems),
    )


def hardware(context: Context) -> Found:
    """`planner hardware` of this machine, and how long every source took."""
    from planner.catalog.loader import load
    from planner.core.pages.views import hardware_view
    from planner.errors import CatalogError
    from planner.probe.host import probe

    problems = []
    try:
        devices = load().devices
    except CatalogError as error:
        devices = ()
        problems.append(Problem(error.message, error.hint))
    timings: dict[str, float] = {}
    machine = probe(
        devices,
        here=context.here,
        state_dir=context.config.state_dir,
        on_timing=lambda name, seconds: timings.__setitem__(name, round(seconds, 3)),
    )
    problems += [
        Problem(f"{device.name} ({device.id}) is not used: {device.note or 'no reason known'}.")
        for device in machine.devices
        if not device.usable
    ]
    return Found({**hardware_view(machine), "timings_s": dict(timings)}, tuple(problems))


def limits(context: Context) -> Found:
    """What this process may use: open files, address space, and what its control group leaves it."""
    from planner.probe.system.cgroup import read_limits

    group = read_limits(context.here)
    facts: dict[str, object] = dict(_resource_limits())
    facts |= {
        "cgroup_memory_bytes": group.memory_bytes,
        "cgroup_memory_free_bytes": group.memory_free_bytes,
        "cgroup_cpu_cores": group.cpu_cores,
        "cgroup_sources": [name for name in (group.memory_source, group.cpu_source) if name],
    }
    problems = []
    files, space = facts.get("open_files"), facts.get("address_space_bytes")
    if isinstance(files, int) and files < _FEW_FILES:
        problems.append(
            Problem(f"Only {files} files may be open at once; a busy gateway needs more.", "Set ulimit -n 4096.")
        )
    if isinstance(space, int):
        problems.append(
            Problem(
                f"The address space is limited to {format_gib(space)}; engines map whole model files.",
                "Set ulimit -v unlimited.",
            )
        )
    if group.memory_free_bytes is not None and group.memory_free_bytes < GIB // 2:
        problems.append(
            Problem(
                f"The control group has {format_gib(group.memory_free_bytes)} of memory left.",
                "Give the container or the service more memory.",
            )
        )
    return Found(facts, tuple(problems))


def _resource_limits() -> Mapping[str, int | None]:
    """Soft limits of this process; None means unlimited. Windows has none of them."""
    if sys.platform == "win32":
        return {}
    import resource

    wanted = {
        "open_files": resource.RLIMIT_NOFILE,
        "address_space_bytes": resource.RLIMIT_AS,
        "locked_memory_bytes": resource.RLIMIT_MEMLOCK,
    }
    soft = {name: resource.getrlimit(kind)[0] for name, kind in wanted.items()}
    return {name: None if value == resource.RLIM_INFINITY else value for name, value in soft.items()}


def disk(context: Context) -> Found:
    """Room and rights where models, engines and states are kept."""
    facts: dict[str, object] = {}
    problems = []
    config = context.config
    for name, folder in (("data", config.data_dir), ("cache", config.cache_dir), ("state", config.state_dir)):
        there = _nearest(folder)
        free, writable = shutil.disk_usage(there).free, os.access(there, os.W_OK)
        facts[name] = {"folder": str(folder), "free_bytes": free, "writable": writable}
        if not writable or not there.is_dir():
            problems.append(
                Problem(
                    f"{folder} cannot be written.",
                    f"Change its rights, or set {name}_dir in {config.config_dir / 'config.toml'}.",
                )
            )
        elif name == "data" and free < _LITTLE_DISK_BYTES:
            problems.append(
                Problem(
                    f"{folder} has {format_gb(free)} free; {_USUAL_MODEL}.",
                    f"Free some space, or set data_dir in {config.config_dir / 'config.toml'}.",
                )
            )
    return Found(facts, tuple(problems))


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
