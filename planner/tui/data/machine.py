"""This machine, the catalog, and the pairs they make together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.core.machines.hardware import Hardware
from planner.core.models.model import Model
from planner.core.pairs.recommendation import Recommendation
from planner.core.speed.calibration import GENERIC, Calibration

if TYPE_CHECKING:
    from planner.catalog.loader import Catalog


@dataclass(frozen=True)
class Situation:
    """What there is to plan with. `notes`: what could not be found out or loaded. `speed`: constants of formulas.

    `models` are the catalog's with what earlier fetches found out. `catalog` reads its further files (devices,
    quants) when they are first asked for, so ask for them in the background only; None in a test without one.
    """

    hardware: Hardware
    models: tuple[Model, ...]
    notes: tuple[str, ...] = ()
    speed: Calibration = GENERIC
    catalog: "Catalog | None" = None


def look_around() -> Situation:
    """This machine and the catalog with the user's additions. Raises PlannerError."""
    from planner.catalog.loader import load
    from planner.config import load_config
    from planner.core.models.file_pins import pinned_models
    from planner.fetch.pins import read_pins
    from planner.probe.host import probe
    from planner.probe.machine_store import machine_id
    from planner.probe.speed_store import calibrated
    from planner.probe.surroundings import Surroundings

    config = load_config()
    catalog = load(config.catalogs, own=config.own_catalog_dir)
    hardware = probe(catalog.devices, state_dir=config.state_dir)
    models = pinned_models(catalog.models, read_pins(config.models_dir))
    machine = machine_id(Surroundings(), hardware.host)
    speed, problem = calibrated(config.state_dir, machine, models, hardware, catalog.speed)
    notes = (*hardware.notes, *catalog.notes, *([problem] if problem else []))
    return Situation(hardware, models, notes, speed, catalog)


def plan_pairs(situation: Situation) -> tuple[Recommendation, ...]:
    """The best pairs for the memory that is free now. Raises NoResultError."""
    from planner.core.memory.readings import steady
    from planner.core.memory.workload import Workload
    from planner.core.pairs.pair import recommend

    return recommend(situation.models, steady(situation.hardware), Workload(), live=True, calibration=situation.speed)
