"""Everything the app asks of the world, as functions: tests give their own, the app the real ones.

All of them may block and may raise; they are only ever called through `planner.tui.workers`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from planner.catalog.loader import load
from planner.config import load_config
from planner.core.file_pins import pinned_models
from planner.core.hardware import Hardware
from planner.core.model import Model
from planner.core.pair import recommend
from planner.core.readings import steady
from planner.core.recommendation import Recommendation
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.workload import Workload
from planner.fetch.pins import read_pins
from planner.probe.host import probe
from planner.probe.machine_store import machine_id
from planner.probe.speed_store import calibrated
from planner.probe.surroundings import Surroundings
from planner.serve.deployments import list_deployments
from planner.serve.state import DeploymentRecord
from planner.tui.child import Start, start_child


@dataclass(frozen=True)
class Situation:
    """What there is to plan with. `notes`: what could not be found out or loaded. `speed`: constants of formulas."""

    hardware: Hardware
    models: tuple[Model, ...]
    notes: tuple[str, ...] = ()
    speed: Calibration = GENERIC


def look_around() -> Situation:
    """This machine and the catalog with the user's additions. Raises PlannerError."""
    config = load_config()
    catalog = load(config.catalogs, own=config.own_catalog_dir)
    hardware = probe(catalog.devices, state_dir=config.state_dir)
    models = pinned_models(catalog.models, read_pins(config.models_dir))
    machine = machine_id(Surroundings(), hardware.host)
    speed, problem = calibrated(config.state_dir, machine, models, hardware, catalog.speed)
    notes = (*hardware.notes, *catalog.notes, *([problem] if problem else []))
    return Situation(hardware, models, notes, speed)


def plan_pairs(situation: Situation) -> tuple[Recommendation, ...]:
    """The best pairs for the memory that is free now. Raises NoResultError."""
    return recommend(situation.models, steady(situation.hardware), Workload(), live=True, calibration=situation.speed)


def read_servers() -> tuple[DeploymentRecord, ...]:
    """The deployments of this user, as they are now."""
    return list_deployments(load_config().deployments_dir)


@dataclass(frozen=True)
class Services:
    """The seams. `clock` in seconds, monotonic."""

    look: Callable[[], Situation] = look_around
    plan: Callable[[Situation], tuple[Recommendation, ...]] = plan_pairs
    servers: Callable[[], tuple[DeploymentRecord, ...]] = read_servers
    start: Start = start_child
    clock: Callable[[], float] = time.monotonic
