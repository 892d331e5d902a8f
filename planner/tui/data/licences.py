"""Licences that must be accepted before a model is fetched."""

from collections.abc import Sequence

from planner.core.models.model import Model, Variant


def unaccepted(wanted: Sequence[tuple[Model, Variant]]) -> tuple[str, ...]:
    """What has to be accepted first, in words, a text for each model; nothing for files that are here already."""
    from planner.config import load_config
    from planner.fetch.fetch import find_variant
    from planner.fetch.licences import needs_consent, terms_of
    from planner.fetch.store import Store

    config = load_config()
    store = Store(config.models_dir)
    return tuple(
        terms_of(model, config.hf_endpoint)
        for model, variant in wanted
        if needs_consent(config.state_dir, model) and find_variant(store, model, variant) is None
    )
