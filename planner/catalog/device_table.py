"""`catalog/devices.json`: the device table, for questions that need no model."""

from pathlib import Path
from typing import Literal

import msgspec

from planner.catalog.reading import read_shipped
from planner.core.machines.hardware import DeviceSpec


class DeviceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`catalog/devices.json`."""

    schema: Literal[1]
    as_of: str
    sources: dict[str, str]
    devices: tuple[DeviceSpec, ...]


def shipped_devices(folder: Path) -> tuple[DeviceSpec, ...]:
    """The devices of a data folder; none where it has no table. Raises CatalogError when it is broken."""
    path = folder / "devices.json"
    return read_shipped(path, DeviceFile).devices if path.is_file() else ()
