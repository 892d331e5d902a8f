"""Which quantisation is meant when none is named."""

from planner.core.models.model import Model, Role, Variant
from planner.errors import UsageError

_GENERATION = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "MXFP4", "MXFP4_MOE", "Q8_0")
_OTHERS = ("Q8_0", "F16", "Q4_K_M")


def is_fetchable(model: Model, variant: Variant) -> bool:
    """Whether there is a file to be had: one that is named, or one to be found in a repository that is."""
    return bool(variant.artifacts or model.gguf_repos)


def fetchable(model: Model) -> tuple[Variant, ...]:
    """The quants of which there is a file to be had."""
    return model.variants if model.gguf_repos else tuple(v for v in model.variants if v.artifacts)


def default_variant(model: Model) -> Variant:
    """The quant to take when none is named.

    Starter models: the one from the Python package index, so that nothing else is needed. Generators: Q4_K_M or what
    comes nearest; embedders and rerankers, which lose more by quantisation and are small: Q8_0 or F16. Raises
    UsageError when the catalog knows no file.
    """
    usable = fetchable(model)
    if not usable:
        raise UsageError(
            f"The catalog knows no file of {model.id}. {model.deploy_note}".strip(),
            hint="Choose another model: planner models.",
            reference="not-deployable",
        )
    if model.starter:
        for variant in usable:
            if any(artifact.source == "package" for artifact in variant.artifacts):
                return variant
    for quant in _GENERATION if model.role is Role.GENERATION else _OTHERS:
        for variant in usable:
            if variant.quant.upper() == quant:
                return variant
    return usable[0]
