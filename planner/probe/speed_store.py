"""Speeds that `planner bench` measured here, kept for later plans: a file for each machine in the state folder."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from planner.core.estimates.measurements import Measurement, local_points
from planner.core.machines.hardware import Hardware
from planner.core.models.model import Model
from planner.core.speed.calibration import Calibration
from planner.core.speed.local import with_local
from planner.files import replace_file
from planner.probe.machine_store import machine_file

_LARGEST_FILE_BYTES = 2**20
_MOST_SPEEDS = 1_000


class _File(msgspec.Struct, frozen=True, kw_only=True):
    machine: str
    speeds: tuple[Measurement, ...]
    schema: int = 1


def speed_file(state_dir: Path, machine: str) -> Path:
    """Where the speeds of a machine are kept."""
    return machine_file(state_dir, machine).with_suffix(".speeds.json")


def read_speeds(state_dir: Path, machine: str) -> tuple[tuple[Measurement, ...], str | None]:
    """The speeds of this machine, and a note where there is a file that cannot be used."""
    path = speed_file(state_dir, machine)
    try:
        with path.open("rb") as file:
            stored = msgspec.json.decode(file.read(_LARGEST_FILE_BYTES), type=_File)
    except FileNotFoundError:
        return (), None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return (), _unusable(path, getattr(error, "strerror", None) or "it is damaged")
    if stored.machine != machine or stored.schema != 1:
        return (), _unusable(path, "it is another machine's")
    if not all(_possible(speed) for speed in stored.speeds):
        return (), _unusable(path, "its values make no sense")
    return stored.speeds, None


def calibrated(
    state_dir: Path, machine: str, models: Sequence[Model], hardware: Hardware, constants: Calibration
) -> tuple[Calibration, str | None]:
    """The constants with what was measured on this machine, and a note where that cannot be used."""
    measurements, problem = read_speeds(state_dir, machine)
    if not measurements:
        return constants, problem
    known = {model.id.casefold(): model for model in models}
    points = local_points(measurements, lambda name: known.get(name.casefold()), hardware, constants)
    return with_local(constants, points), problem


def add_speeds(state_dir: Path, machine: str, speeds: Iterable[Measurement]) -> Path:
    """Keep measurements, for their owner alone, each in the place of an older one of its kind. Raises OSError."""
    known, _ = read_speeds(state_dir, machine)
    kept = {speed.key: speed for speed in (*known, *speeds)}
    path = speed_file(state_dir, machine)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = _File(machine=machine, speeds=tuple(kept.values())[-_MOST_SPEEDS:])
    replace_file(path, msgspec.json.encode(content) + b"\n")
    return path


def forget_speeds(state_dir: Path, machine: str) -> int:
    """Remove all measurements of this machine; returns how many there were. Raises OSError."""
    known, _ = read_speeds(state_dir, machine)
    speed_file(state_dir, machine).unlink(missing_ok=True)
    return len(known)


def _possible(speed: Measurement) -> bool:
    settings = speed.settings
    lengths = (settings.context, settings.batch, settings.ubatch, settings.parallel)
    return (
        math.isfinite(speed.tokens_per_s)
        and 0 < speed.tokens_per_s < 1e9
        and 1 <= speed.spread < 100
        and all(0 < length < 2**31 for length in lengths)
        and 0 <= settings.depth < 2**31
        and 0 < settings.n_prompt < 2**31
        and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", speed.measured_on) is not None
    )


def _unusable(path: Path, reason: str) -> str:
    return f"The measured speeds are not used: {reason} ({path.name}). Measure again: planner bench."
