"""What every command shares: `--json`, `--offline`, `--catalog`, and the hardware overrides.

`@common_options` gives a command a `Session` as its first argument; `@hardware_options` (put above it) adds
`--vram`, `--gpu`, `--ram`, `--cpu-cores`, `--bandwidth` and `--hardware`, which `Session.hardware()` answers for.
"""

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planner.cli.diagnostics import note
from planner.cli.numbers import FiniteRange
from planner.config import Config, load_config
from planner.core.machines.hardware import Hardware
from planner.core.machines.machine_options import Overrides
from planner.units import parse_memory, parse_memory_list

if TYPE_CHECKING:
    from planner.catalog.loader import Catalog
    from planner.core.speed.calibration import Calibration


R = TypeVar("R")

_LARGEST_HARDWARE_FILE_BYTES = 2**20
"""Of a saved machine with 64 devices and all that holds their memory; /dev/zero has no end."""


@dataclass
class Session:
    """The settings of one command run, and lazy access to the catalog and the machine."""

    config: Config
    as_json: bool = False
    overrides: Overrides = field(default_factory=Overrides)
    hardware_file: Path | None = None
    catalogs: tuple[Path, ...] = ()
    """Those given to this command; `config` has them too, beside those of the settings."""
    quiet: bool = False

    @functools.cached_property
    def catalog(self) -> "Catalog":
        """The shipped catalog, the user's additions, and what fetches found out about files of both.

        What could not be loaded is said on stderr.
        """
        from planner.catalog.loader import load
        from planner.core.models.file_pins import pinned_models
        from planner.fetch.pins import read_pins

        # It stays to the end and has no cycles: to look for garbage in it only takes time.
        gc.disable()
        try:
            catalog = load(self.config.catalogs, own=self.config.own_catalog_dir)
        finally:
            gc.freeze()
            gc.enable()
        for text in catalog.notes:
            self.note(text)
        return replace(catalog, models=pinned_models(catalog.models, read_pins(self.config.models_dir)))

    @property
    def simulated(self) -> bool:
        """Whether the machine was described by options rather than probed."""
        return self.overrides.any or self.hardware_file is not None

    @functools.cached_property
    def hardware(self) -> Hardware:
        """The machine: from the overrides or the file, else probed."""
        from planner.core.machines.overrides import hardware_from_json, virtual_hardware

        base = None
        if self.hardware_file is not None:
            base = hardware_from_json(_read(self.hardware_file), self.catalog.devices)
            if not self.overrides.any:
                return base
        if self.overrides.any:
            return virtual_hardware(self.overrides, self.catalog.devices, base=base)
        from planner.probe.host import probe

        return probe(self.catalog.devices, state_dir=self.config.state_dir)

    @property
    def machine_id(self) -> str:
        """The name under which measurements of this machine are kept."""
        from planner.probe.machine_store import machine_id
        from planner.probe.surroundings import Surroundings

        return machine_id(Surroundings(), self.hardware.host)

    @functools.cached_property
    def calibration(self) -> "Calibration":
        """The constants of the speed formulas; for the machine at hand, with what was measured on it."""
        if self.simulated:
            return self.catalog.speed
        from planner.probe.speed_store import calibrated

        found, problem = calibrated(
            self.config.state_dir, self.machine_id, self.catalog.models, self.hardware, self.catalog.speed
        )
        if problem is not None:
            self.note(problem)
        return found

    def calibration_for(self, hardware: Hardware) -> "Calibration":
        """`calibration` for the machine at hand, the constants alone for any other."""
        here = vars(self).get("hardware")  # not probed for the question whether it is meant
        return self.calibration if here is not None and hardware.host is here.host else self.catalog.speed

    def note(self, text: str) -> None:
        """Narration for people, on stderr."""
        if not self.quiet:
            note(text)


def _read(path: Path) -> bytes:
    from planner.errors import BadDataError, UsageError

    hint = "Make one with: planner hardware --save machine.json"
    try:
        with path.open("rb") as file:
            raw = file.read(_LARGEST_HARDWARE_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", hint=hint, reference="hardware-unreadable"
        ) from error
    if len(raw) > _LARGEST_HARDWARE_FILE_BYTES:
        raise BadDataError(
            f"{path} is no hardware file: it is larger than {_LARGEST_HARDWARE_FILE_BYTES // 2**20} MiB.",
            hint=hint,
            reference="hardware-invalid",
        )
    return raw


def common_options(function: Callable[..., R]) -> Callable[..., R]:
    """`--json`, `--offline` and `--catalog`, handed on as a `Session`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
    @click.option("--offline", is_flag=True, help="Never open a network connection.")
    @click.option(
        "--catalog",
        "catalogs",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A file or folder with more models; may be given several times.",
    )
    @functools.wraps(function)
    def wrapper(*args: Any, as_json: bool, offline: bool, catalogs: tuple[Path, ...], **kwargs: Any) -> R:
        config = load_config()
        config = replace(config, offline=config.offline or offline, catalogs=(*config.catalogs, *catalogs))
        session = Session(
            config=config,
            as_json=as_json,
            overrides=kwargs.pop("_overrides", None) or Overrides(),
            hardware_file=kwargs.pop("_hardware_file", None),
            catalogs=catalogs,
        )
        return function(session, *args, **kwargs)

    return wrapper


def hardware_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The hardware overrides; they combine, and with any of them nothing of this machine is looked at."""

    @click.option("--vram", metavar="SIZE", help="GPU memory in GiB: 8, 24GiB, 24x2 (two cards).")
    @click.option("--gpu", metavar="NAME", help='Plan for this GPU: "RTX 4090", "2x RTX 3090".')
    @click.option("--bandwidth", metavar="GB/S", type=FiniteRange(min=1, max=20000), help="GPU memory bandwidth.")
    @click.option("--ram", metavar="SIZE", help="Host memory in GiB.")
    @click.option("--cpu-cores", metavar="N", type=click.IntRange(1, 4096), help="CPU cores that may be used.")
    @click.option(
        "--hardware",
        "hardware_file",
        type=click.Path(path_type=Path),
        help="A machine saved with `planner hardware --save`.",
    )
    @functools.wraps(function)
    def wrapper(
        *args: Any,
        vram: str | None,
        gpu: str | None,
        bandwidth: float | None,
        ram: str | None,
        cpu_cores: int | None,
        hardware_file: Path | None,
        **kwargs: Any,
    ) -> Any:
        overrides = Overrides(
            vram=parse_memory_list(vram) if vram is not None else (),
            gpu=gpu,
            bandwidth_gbps=bandwidth,
            ram_bytes=parse_memory(ram) if ram is not None else None,
            cpu_cores=cpu_cores,
        )
        return function(*args, _overrides=overrides, _hardware_file=hardware_file, **kwargs)

    return wrapper
