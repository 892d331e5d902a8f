"""`catalog/speed.json`: the constants of the speed formulas, and where they come from."""

from typing import Literal

import msgspec

from planner.core.speed.calibration import Calibration


class SpeedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `command` writes it from the tables; `rows` says how many stand behind each formula."""

    schema: Literal[1]
    as_of: str
    command: str
    rows: dict[str, int]
    sources: dict[str, str]
    calibration: Calibration
