"""A model's page and a comparison, as values for this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.core.costs.cheapest import Rentals, cheapest
from planner.core.costs.own_device import machine_name
from planner.core.machines.hardware import DeviceSpec
from planner.core.memory.readings import at_capacity
from planner.core.models.model import Model, Variant
from planner.core.pages.model_page import HereRow, Page, model_page
from planner.core.pages.side_by_side import SideBySide, side_by_side
from planner.core.speed.calibration import GENERIC, Calibration
from planner.errors import UsageError
from planner.tui.data.machine import Situation
from planner.tui.data.models import installed

COMPARED = (2, 4)
"""How many models are put side by side at least and at most."""


@dataclass(frozen=True)
class Details:
    """A model's page, on this machine with all memory free. `installed` are its quants in the store.

    `names` are the device table's names by slug. `notes` say what could not be read.
    """

    page: Page
    machine: str
    installed: tuple[str, ...] = ()
    names: dict[str, str] | None = None
    notes: tuple[str, ...] = ()

    def here(self, quant: str) -> HereRow | None:
        """How a quant runs on this machine."""
        rows = () if self.page.here is None else self.page.here.rows
        return next((row for row in rows if row.fit.variant.quant == quant), None)


@dataclass(frozen=True)
class Compared:
    """A comparison on this machine with all memory free."""

    found: SideBySide
    machine: str
    notes: tuple[str, ...] = ()


def find(situation: Situation, model_id: str) -> Model:
    """The model of an id, a name or an alias. Raises UsageError."""
    from planner.catalog.references import find_model

    return find_model(situation.models, model_id)


def details_of(situation: Situation, model_id: str, models_dir: Path | None = None) -> Details:
    """Everything about one model; takes a few tenths of a second, for the grid of devices and the alternatives.

    `models_dir` is the store, that of the settings when None. Raises UsageError for an unknown id.
    """
    from planner.catalog.evals import rankings_of

    model = find(situation, model_id)
    notes: list[str] = []
    folder = None if situation.catalog is None else situation.catalog.folder
    devices, speed = _devices(situation)
    same = [other for other in situation.models if other.name.casefold() == model.name.casefold()]
    here = at_capacity(situation.hardware)
    page = model_page(
        model,
        models=situation.models,
        specs=devices,
        rankings=rankings_of([model], folder, note=notes.append),
        machine=here,
        name=model.name if len(same) == 1 else model.id,
        calibration=speed,
        calibration_here=situation.speed,
    )
    there = installed([model], models_dir).get(model.id, ())
    names = {spec.slug: spec.name for spec in devices}
    return Details(page, machine_name(here), there, names, tuple(notes))


def _devices(situation: Situation) -> tuple[Sequence[DeviceSpec], Calibration]:
    """The device table, and the constants of speed without what was measured here."""
    catalog = situation.catalog
    return ((), GENERIC) if catalog is None else (catalog.devices, catalog.speed)


def rentals_of(situation: Situation, model: Model, variant: Variant) -> Rentals | None:
    """The cheapest rentals that hold a quant whole, by prices that are known without asking anybody."""
    from planner.catalog.prices import load_snapshot
    from planner.config import load_config
    from planner.core.costs.renting import Rented
    from planner.core.costs.running import Load
    from planner.prices.market import the_market
    from planner.prices.provider import Wanted

    devices, speed = _devices(situation)
    if model.architecture is None or not devices:
        return None
    dated = load_snapshot()
    market = the_market(
        load_config(),
        devices,
        Wanted(),
        dated=() if dated is None else dated.offers,
        dated_note="" if dated is None else dated.note,
        ask=False,
        note=_unheard,
    )
    load = Load(models=((model, variant),), context=None, parallel=1)
    return cheapest(market, Rented(load, devices, calibration=speed))


def compared(situation: Situation, model_ids: Sequence[str]) -> Compared:
    """Two to four models side by side. Raises UsageError."""
    from planner.catalog.evals import rankings_of

    models = list({model.id: model for model in (find(situation, name) for name in model_ids)}.values())
    least, most = COMPARED
    if not least <= len(models) <= most:
        raise UsageError(
            f"{least} to {most} models can be compared here, not {len(models)}.",
            hint="Mark them in the list with space.",
            reference="wrong-count",
        )
    notes: list[str] = []
    folder = None if situation.catalog is None else situation.catalog.folder
    here = at_capacity(situation.hardware)
    found = side_by_side(
        [(model, None) for model in models],
        here,
        rankings_of(models, folder, note=notes.append),
        context=None,
        limited=True,
        calibration=situation.speed,
    )
    return Compared(found, machine_name(here), tuple(notes))


def _unheard(_text: str) -> None:
    """What is wrong with keys is the prices page's affair."""
