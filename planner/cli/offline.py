"""Without a network a plan is made of what is on this machine: nothing else could be fetched for it."""

from collections.abc import Iterable, Sequence

import msgspec

from planner.cli.session import Session
from planner.core.models.model import Model, Role
from planner.core.pairs.candidates import Pin
from planner.errors import NoResultError


def what_is_here(
    session: Session, pins: Sequence[Pin], roles: Iterable[Role]
) -> tuple[tuple[Model, ...], tuple[Pin, ...]]:
    """The models and those that were named, in the quants that are on this machine.

    A named model that is not here at all stays as it is, and so do all of a role that none is here of: what is
    missing is then said where it would be fetched.
    """
    from planner.fetch.fetch import is_here
    from planner.fetch.store import Store

    store = Store(session.config.models_dir)

    def local(model: Model) -> Model | None:
        variants = tuple(variant for variant in model.variants if is_here(store, model, variant))
        return msgspec.structs.replace(model, variants=variants) if variants else None

    named = tuple(pin if pin.variant else Pin(local(pin.model) or pin.model) for pin in pins)
    models: list[Model] = []
    for role in roles:
        if any(pin.model.role is role for pin in pins):
            continue
        wanted = [model for model in session.catalog.models if model.role is role]
        found = [model for model in map(local, wanted) if model is not None]
        if found:
            which = "the only one" if len(found) == 1 else f"one of the {len(found)}"
            session.note(f"note: offline, so the {role.value} model is {which} on this machine")
        models += found or wanted
    return tuple(models), named


def among_what_is_here(error: NoResultError) -> NoResultError:
    """An error of a choice among those, with why there were so few."""
    why = "Offline only what is on this machine was chosen from; without --offline there is more."
    return NoResultError(error.message, hint=f"{why} {error.hint}".rstrip(), reference=error.reference)
