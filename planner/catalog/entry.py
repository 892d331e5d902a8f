"""A catalog entry made from a GGUF's header: complete where the header is, and saying so where it is not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from planner.catalog.licences import UNKNOWN, licence_of
from planner.catalog.quant_table import QuantTable
from planner.catalog.rules import contradictions, doubts
from planner.core.models.languages import MANY_LANGUAGES
from planner.core.models.model import Commercial, Licence, Model, Pooling, Prompts, Role, Variant
from planner.core.models.parameters import count_parameters
from planner.core.values import RepoId
from planner.errors import BadDataError
from planner.gguf.facts import GgufFacts
from planner.gguf.model import model_from_facts

_EMBEDDING_TAGS = frozenset({"sentence-similarity", "feature-extraction", "sentence-transformers"})
_LANGUAGE = re.compile(r"[a-z]{2}")
_QUANT_OF_DOUBT = re.compile(r"variants\[(.+?)\]: ")
GIVEN = "given with planner catalog add"


@dataclass(frozen=True)
class Answers:
    """What only the user can say; None or empty where nothing was said."""

    role: Role | None = None
    licence: str | None = None
    commercial: Commercial | None = None
    pooling: Pooling | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Read:
    """What was read: the facts of one header, its free-text keys, and where it lay (`acme/tiny-GGUF/x.gguf at …`).

    `page_licence` is what the repository's page says. `origin` completes “GGUF header of …”.
    """

    facts: GgufFacts
    metadata: Mapping[str, object]
    origin: str
    page_licence: str | None = None


def suggested_role(read: Read) -> tuple[Role, str]:
    """What the header makes of the model, and by which of its words."""
    if read.facts.pooling == "rank":
        return Role.RERANKER, "pooling rank"
    if read.facts.pooling in {"mean", "cls", "last"}:
        return Role.EMBEDDING, f"pooling {read.facts.pooling}"
    if not read.facts.causal and not read.facts.has_output:
        return Role.EMBEDDING, "an encoder without output matrix"
    tags = set(_texts(read.metadata.get("general.tags")))
    if tags & _EMBEDDING_TAGS and "text-generation" not in tags:
        return Role.EMBEDDING, f"tag {min(tags & _EMBEDDING_TAGS)}"
    return Role.GENERATION, "no pooling type"


def needs_pooling(read: Read, answers: Answers) -> bool:
    """Whether nobody has said yet how an embedder's token vectors become one."""
    role = answers.role or suggested_role(read)[0]
    return role is Role.EMBEDDING and answers.pooling is None and read.facts.pooling in (None, "none", "rank")


def make_entry(
    read: Read,
    answers: Answers,
    *,
    identity: str,
    variants: tuple[Variant, ...],
    gguf_repos: tuple[RepoId, ...] = (),
    quants: QuantTable | None = None,
) -> Model:
    """The model, with a source for every field.

    Raises GgufError for a header that makes no sense, BadDataError when the result contradicts itself.
    """
    base, _ = model_from_facts(read.facts, name=identity)
    header = f"GGUF header of {read.origin}"
    role = answers.role or suggested_role(read)[0]
    vectors = role is not Role.GENERATION
    pooling = Pooling.RANK if role is Role.RERANKER else answers.pooling or base.pooling
    licence, licence_source = _licence(read, answers, header)
    languages, languages_source = _languages(read, answers, header)
    model = msgspec.structs.replace(
        base,
        role=role,
        licence=licence,
        languages=languages,
        embedding_length=base.embedding_length if vectors else None,
        pooling=pooling if vectors else None,
        prompts=Prompts(answers.query_prompt or "", answers.document_prompt or "") if vectors else Prompts(),
        variants=variants,
        gguf_repos=gguf_repos,
    )
    pooling_given = answers.pooling is not None or (role is Role.RERANKER and read.facts.pooling != "rank")
    sources = {
        "role": GIVEN if answers.role else f"{header}: {suggested_role(read)[1]}",
        "parameters": f"{header}: elements of all tensors",
        "architecture": header,
        "context_length": header,
        "licence": licence_source,
        "embedding_length": header,
        "pooling": GIVEN if pooling_given else header,
        "prompts": GIVEN,
        "languages": languages_source,
        "active_parameters": header,
        "gguf_repos": "the repository that was added",
    }
    defaults = {field.name: field.default for field in msgspec.structs.fields(Model)}
    known = {
        name: text
        for name, text in sources.items()
        if name in ("licence", "role") or getattr(model, name) not in (None, (), defaults.get(name), Prompts())
    }
    model = msgspec.structs.replace(model, sources=known)
    model = msgspec.structs.replace(model, notes=(*model.notes, *_deviations(model, quants)))
    for problem in contradictions(model):
        raise BadDataError(
            f"No entry can be made of {read.origin}: {problem}.",
            hint="The file says something that no model can be; look at it with planner inspect.",
            reference="entry-impossible",
        )
    return model


def _licence(read: Read, answers: Answers, header: str) -> tuple[Licence, str]:
    in_header = read.facts.licence
    if answers.licence is not None:
        licence, source = licence_of(answers.licence), GIVEN
    elif licence_of(in_header) != UNKNOWN:
        licence, source = licence_of(in_header), header
    elif read.page_licence is not None:
        licence, source = licence_of(read.page_licence), "the repository's page on the Hub"
    else:
        licence, source = UNKNOWN, "not said in the header"
    if answers.commercial is not None:
        licence = msgspec.structs.replace(licence, commercial=answers.commercial)
    return licence, source


def _languages(read: Read, answers: Answers, header: str) -> tuple[tuple[str, ...], str]:
    if answers.languages:
        return answers.languages, GIVEN
    said = _texts(read.metadata.get("general.languages"))
    if "multilingual" in said or len(said) >= MANY_LANGUAGES:
        return ("multilingual",), header
    return tuple(dict.fromkeys(word for word in said if _LANGUAGE.fullmatch(word))), header


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item.strip().lower() for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()


def _deviations(model: Model, quants: QuantTable | None) -> list[str]:
    """What differs from the rule although it was read from files: noted, so that it is no doubt."""
    notes = []
    if model.architecture is not None and model.parameters is not None:
        counted = count_parameters(model.architecture)
        if counted != model.parameters:
            notes.append(
                f"The file's tensors hold {model.parameters:,} weights, the architecture numbers give {counted:,}: "
                "it has tensors that these do not describe."
            )
    odd = [match[1] for text in doubts(model, quants) if (match := _QUANT_OF_DOUBT.match(text))]
    if odd:
        notes.append(f"{', '.join(odd)}: sizes are those of the files, which are not what llama.cpp's recipes give.")
    return notes
