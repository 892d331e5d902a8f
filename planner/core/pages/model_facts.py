"""The facts of a model's page, label and text, and where they come from: the same for a terminal and for the app."""

from planner.core.models.model import Model, Role
from planner.core.pages.model_words import (
    architecture_words,
    language_words,
    licence_words,
    parameter_words,
    pooling_words,
    prompt_words,
)
from planner.core.scores.evals import Category
from planner.core.scores.standing import Unranked

CATEGORY_NAMES = {
    Category.CLUSTERING: "cluster",
    Category.RERANKING: "rerank",
    Category.RETRIEVAL: "retrieve",
    Category.STS: "STS",
}
"""Short enough for the title of a column."""


def model_facts(model: Model) -> tuple[tuple[str, str], ...]:
    """What the catalog knows of a model, in the order of its page; notes come last, under one label each."""
    facts = [("parameters", parameter_words(model))]
    if model.architecture is not None:
        facts.append(("architecture", "; ".join(architecture_words(model.architecture))))
    facts.append(("context", f"{model.context_length:,} tokens (trained)"))
    if model.role is Role.EMBEDDING:
        facts.append(("vector", _vector(model)))
    if model.role is not Role.GENERATION:
        facts += [("pooling", pooling_words(model)), ("prompts", _prompts(model))]
    facts += [
        ("languages", language_words(model)),
        ("licence", licence_words(model)),
        ("released", model.release_date or "not known"),
    ]
    if model.builds_on:
        facts.append(("built on", ", then ".join(model.builds_on)))
    if model.aliases:
        facts.append(("also called", ", ".join(model.aliases)))
    return (*facts, *(("note", text) for text in model.notes))


def _vector(model: Model) -> str:
    length = "not known" if model.embedding_length is None else f"{model.embedding_length:,} numbers"
    if not model.matryoshka:
        return length
    return f"{length}; may be cut to {', '.join(f'{size:,}' for size in model.matryoshka)} (Matryoshka)"


def _prompts(model: Model) -> str:
    prompts = prompt_words(model)
    if not prompts:
        return "none" if "prompts" in model.sources else "none known"
    note = " ({task} stands for an instruction)" if "{task}" in "".join(prompts) else ""
    return "; ".join(prompts) + note


def unranked_words(missing: Unranked) -> str:
    """Why a model has no rank in a pool."""
    return f"no rank in {missing.pool} ({missing.date}): {missing.scored} of {missing.tasks} scores are there"


def source_words(model: Model) -> tuple[str, ...]:
    """Where the facts come from: a line for each source, the fields it gave first."""
    fields: dict[str, list[str]] = {}
    for name, source in model.sources.items():
        fields.setdefault(source, []).append(name)
    return tuple(f"{', '.join(names)}: {source}" for source, names in fields.items())
