"""From what people type to a model and a variant."""

import difflib
from collections.abc import Sequence

from planner.core.models.model import Model, Variant
from planner.errors import UsageError


def find_model(models: Sequence[Model], name: str) -> Model:
    """The model that `name` means: its id, its name without the owner, or an alias, compared without case.

    An id wins over a name and a name over an alias. Raises UsageError: `unknown-model` with the nearest names,
    `ambiguous-model` when several models share the name.
    """
    wanted = name.strip().casefold()
    tiers = (
        [model for model in models if model.id.casefold() == wanted],
        [model for model in models if model.name.casefold() == wanted],
        [model for model in models if any(alias.casefold() == wanted for alias in model.aliases)],
    )
    for matches in tiers:
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise UsageError(
                f"“{name}” could be {' or '.join(model.id for model in matches)}.",
                hint="Give the id with its owner.",
                reference="ambiguous-model",
            )
    near = nearest_models(models, name)
    raise UsageError(
        f"There is no model “{name[:120]}” in the catalog.",
        hint=f"Did you mean {' or '.join(near)}?" if near else "`planner models` lists them all.",
        reference="unknown-model",
    )


def nearest_models(models: Sequence[Model], name: str, limit: int = 3) -> tuple[str, ...]:
    """Ids of the models whose id, name or alias is most like `name`, best first."""
    wanted = name.strip().casefold()[:200]
    spellings: dict[str, str] = {}
    for model in models:
        for spelling in (model.id, model.name, *model.aliases):
            spellings.setdefault(spelling.casefold(), model.id)
    near = difflib.get_close_matches(wanted, spellings, n=4 * limit, cutoff=0.5)
    near += [spelling for spelling in spellings if len(wanted) >= 3 and wanted in spelling]
    return tuple(dict.fromkeys(spellings[spelling] for spelling in near))[:limit]


def find_variant(model: Model, quant: str) -> Variant:
    """The variant of that quant type, compared without case. Raises UsageError `unknown-quant` listing them."""
    variant = model.variant(quant)
    if variant is None:
        known = ", ".join(variant.quant for variant in model.variants)
        raise UsageError(
            f"{model.id} has no variant “{quant[:40]}”.",
            hint=_other_quants(model, known),
            reference="unknown-quant",
        )
    return variant


def _other_quants(model: Model, known: str) -> str:
    if not known:
        return model.deploy_note or "The catalog knows no file of it."
    more = f" `planner catalog update {model.id}` looks for more in its repositories." if model.gguf_repos else ""
    return f"There are: {known}.{more}"
