"""What the shipped entries must hold besides what every entry must: a source for each value, a file for each model.

`planner catalog check` lists what is missing. The user's own entries are theirs to keep.
"""

from collections.abc import Iterable, Iterator

from planner.catalog.rules import MUST_BE_SOURCED
from planner.core.models.languages import MULTILINGUAL, language_names
from planner.core.models.model import Model, Prompts

SOURCED = (
    "parameters", "active_parameters", "architecture", "context_length", "embedding_length", "matryoshka", "pooling",
    "prompts", "languages", "licence", "release_date", "builds_on", "gguf_repos",
)  # fmt: skip
"""The fields whose values come from somewhere that `sources` must name; scores and files name it themselves."""

_NOTHING: tuple[object, ...] = (None, (), Prompts())


def gaps(model: Model) -> Iterator[str]:
    """What a shipped entry lacks, one sentence each."""
    yield from _unsourced(model)
    yield from _unfetchable(model)
    if model.id.casefold() in {identity.casefold() for identity in model.builds_on}:
        yield "builds_on: it names the model itself"
    shorter = [length for length in model.matryoshka if length >= (model.embedding_length or 0)]
    if shorter:
        yield f"matryoshka: {shorter[0]} is no shorter than embedding_length"
    if MULTILINGUAL in model.languages:
        if len(model.languages) > 1:
            yield f"languages: “{MULTILINGUAL}” stands for all of them; leave the codes out"
    elif unknown := [code for code in model.languages if code not in language_names()]:
        yield f"languages: “{unknown[0]}” is no ISO 639-1 code"


def _unsourced(model: Model) -> Iterator[str]:
    """Values without a source, and sources of what is no value."""
    valued = {field for field in SOURCED if getattr(model, field) not in _NOTHING}
    missing = [field for field in SOURCED if field in valued and not model.sources.get(field, "").strip()]
    missing = [field for field in missing if field in model.sources or field not in MUST_BE_SOURCED]
    if missing:
        yield f"sources: nothing is said about {', '.join(missing)}"
    idle = [field for field in model.sources if field.partition(".")[0] not in valued]
    if idle:
        yield f"sources: {', '.join(idle)} has no value"
    for score in model.scores:
        if not score.source.strip():
            yield f"scores: {score.name} has no source"
    for variant in model.variants:
        for artifact in variant.artifacts:
            if not artifact.provenance.strip():
                yield f"variants[{variant.quant}]: {artifact.file} has no provenance"


def _unfetchable(model: Model) -> Iterator[str]:
    """A model that should run and cannot be fetched, or has one quant type without a word on why."""
    if not model.deployable:
        return
    bare = [variant.quant for variant in model.variants if not variant.artifacts]
    if bare and not model.gguf_repos:
        yield f"variants[{bare[0]}]: there is no file, and no gguf_repos to find one in"
    if len(model.variants) == 1 and not any(model.variants[0].quant in note for note in model.notes):
        yield f"variants: only {model.variants[0].quant}; add another, or say in notes why it is the only one"


def shared_names(models: Iterable[Model]) -> Iterator[tuple[Model, str]]:
    """Models that answer to a name of an earlier one, with a sentence each: such a name finds neither."""
    owners: dict[str, Model] = {}
    for model in models:
        for name in {name.casefold(): name for name in (model.id, model.name, *model.aliases)}.values():
            owner = owners.setdefault(name.casefold(), model)
            if owner is not model:
                yield model, f"aliases: {owner.id} answers to “{name}” too"
