"""What was measured on this machine, kept for later runs: one small file per machine in the state folder.

The name is a hash, so that a home folder shared by many machines holds one file for each, and none of them tells
what the machine's own id is.
"""

import hashlib
import math
import re
import sys
from pathlib import Path

import msgspec

from planner.core.machines.hardware import BandwidthBasis, Host
from planner.files import replace_file
from planner.probe.surroundings import Surroundings
from planner.units import GIB

_LARGEST_FILE_BYTES = 4096


class StoredBandwidth(msgspec.Struct, frozen=True, kw_only=True):
    """A measured read bandwidth in GB/s, with how many threads and on which day (ISO 8601)."""

    machine: str
    memory_bandwidth_gbps: float
    threads: int
    measured_on: str
    schema: int = 1

    @property
    def source(self) -> str:
        """Where the figure comes from, in words."""
        plural = "thread" if self.threads == 1 else "threads"
        return f"measured on {self.measured_on} with {self.threads} {plural} (planner hardware --measure)"


def machine_id(here: Surroundings, host: Host) -> str:
    """A name for this machine under its present limits: other cores or another memory size are another machine.

    Memory counts in whole GiB, as kernels differ in what they keep for themselves.
    """
    memory = None if host.memory_total_bytes is None else round(host.memory_total_bytes / GIB)
    facts = ("planner machine", _system_id(here), host.cpu.name, str(host.cpu.cores_usable), str(memory))
    return hashlib.sha256("\0".join(facts).encode("utf-8", "replace")).hexdigest()[:32]


def machine_file(state_dir: Path, machine: str) -> Path:
    """Where the measurements of a machine are kept."""
    return state_dir / "machines" / f"{machine}.json"


def read_bandwidth(state_dir: Path, machine: str) -> tuple[StoredBandwidth | None, str | None]:
    """The stored bandwidth of this machine, and a note where there is a file that cannot be used."""
    path = machine_file(state_dir, machine)
    try:
        with path.open("rb") as file:
            stored = msgspec.json.decode(file.read(_LARGEST_FILE_BYTES), type=StoredBandwidth)
    except FileNotFoundError:
        return None, None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return None, _unusable(path, getattr(error, "strerror", None) or "it is damaged")
    if stored.machine != machine or stored.schema != 1:
        return None, _unusable(path, "it is another machine's")
    possible = math.isfinite(stored.memory_bandwidth_gbps) and 0.1 < stored.memory_bandwidth_gbps < 100_000
    day = re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", stored.measured_on)
    if not possible or not 0 < stored.threads < 100_000 or day is None:
        return None, _unusable(path, "its values make no sense")
    return stored, None


def write_bandwidth(state_dir: Path, stored: StoredBandwidth) -> Path:
    """Keep a measurement, for its owner alone. Raises OSError."""
    path = machine_file(state_dir, stored.machine)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, msgspec.json.encode(stored) + b"\n", mode=0o600)
    return path


def with_bandwidth(host: Host, stored: StoredBandwidth) -> Host:
    """The host with what was measured in the place of what a data sheet says."""
    return msgspec.structs.replace(
        host,
        memory_bandwidth_gbps=stored.memory_bandwidth_gbps,
        memory_bandwidth_basis=BandwidthBasis.MEASURED,
        source={**host.source, "memory_bandwidth_gbps": stored.source},
    )


def _unusable(path: Path, reason: str) -> str:
    """A note about a file that is left alone."""
    return f"The measured memory bandwidth is not used: {reason} ({path.name}). Measure: planner hardware --measure."


def _system_id(here: Surroundings) -> str:
    """The installation's own id; empty where there is none. It only ever goes into a hash."""
    if here.platform == "win32":
        return _windows_id()
    if here.platform == "darwin":
        return _mac_id()
    return here.read("/etc/machine-id") or here.read("/var/lib/dbus/machine-id") or ""


def _windows_id() -> str:
    if sys.platform == "win32":
        import winreg  # noqa: PLC0415  # here alone

        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SOFTWARE\Microsoft\Cryptography") as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0])
        except OSError:
            return ""
    return ""


def _mac_id() -> str:
    if sys.platform == "darwin":
        import ctypes  # noqa: PLC0415  # here alone

        uuid, no_wait = ctypes.create_string_buffer(16), (ctypes.c_long * 2)(0, 0)
        try:
            failed = ctypes.CDLL(None).gethostuuid(uuid, no_wait)
        except (OSError, AttributeError):
            return ""
        return "" if failed else uuid.raw.hex()
    return ""
