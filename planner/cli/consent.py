"""Showing a licence before a model under it is fetched, and asking once."""

import sys

import click

from planner.cli.session import Session
from planner.core.models.model import Model, Variant
from planner.errors import UsageError


def require_consent(session: Session, model: Model, variant: Variant, *, accepted: bool = False) -> None:
    """Return when the model may be fetched; asks on a terminal where that is not known yet.

    Only models that may not be used commercially are asked about, and never one that is here already. `accepted`:
    the option was given. Raises UsageError `licence-unaccepted` naming the option.
    """
    from planner.fetch.fetch import find_variant
    from planner.fetch.licences import accept, needs_consent, terms_of
    from planner.fetch.store import Store

    state_dir = session.config.state_dir
    if not needs_consent(state_dir, model):
        return
    if find_variant(Store(session.config.models_dir), model, variant) is not None:
        return
    terms = terms_of(model, session.config.hf_endpoint)
    if not accepted:
        if session.as_json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError(
                terms,
                hint="If you accept them, add --accept-licence; it is remembered. Models for any use: "
                "planner models --licence commercial",
                reference="licence-unaccepted",
            )
        session.note(terms)
        if not click.confirm("Do you accept them?", err=True, default=False):
            raise UsageError(
                f"{model.id} was not fetched: its licence was not accepted.",
                hint="Choose another model: planner models --licence commercial",
                reference="licence-unaccepted",
            )
    else:
        session.note(terms)
    accept(state_dir, model)
