"""Every way to run the models that match the wishes, each made in full only when it is looked at."""

import functools
import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from planner.core.estimates.estimator import settings_for, weights_of
from planner.core.memory.memory import LayerSums, ProcessMemory
from planner.core.memory.placement import Machine
from planner.core.memory.workload import Settings, Workload
from planner.core.models.file_size import header_bytes, most_header_bytes
from planner.core.models.model import Architecture, Commercial, Model, Role, Variant
from planner.core.models.quants import canonical
from planner.core.models.variants import fetchable, is_fetchable
from planner.core.models.weights import WeightTable
from planner.core.pairs.score import context_term
from planner.core.pairs.ways import ALL, Way, Ways, ways_on
from planner.core.scores.quality import base_score, quantised_score
from planner.core.speed.work import Work, work_per_token
from planner.errors import NoResultError

CONTEXTS = (4096, 8192, 16384, 32768, 65536, 131072)
QUESTION_TOKENS = 64
"""A question of some forty words."""
EMBED_CONTEXT = 2048
"""Longest text an embedder is started for, unless its trained context is shorter: four retrieved chunks."""


class Pin(msgspec.Struct, frozen=True):
    """A model the user named, and the quant if that was named too."""

    model: Model
    variant: Variant | None = None


_HEADER_SLACK = 1.5
"""Headers are predicted; none is half as long again."""
_TABLE_BYTES = {"F32": (4.0, 4.0), "F16": (2.0, 2.0), "BF16": (2.0, 2.0), "Q8_0": (34 / 32, 34 / 32)}
_OTHER_TABLE_BYTES = (0.25, 34 / 32)
"""The least and the most bytes per weight that a token table has in a file of a quant type."""


class Least(NamedTuple):
    """Bytes that a file has at least: in all tensors, in layers with the output matrix, in the token table."""

    tensors: int
    layers: int
    table: int


class Option:
    """A model that may fill a role; its files and the ways to run them are made when first asked for.

    `twins` are models of the same network, quality and files, of which everything that is said here is true too:
    there are hundreds of some networks in a large catalog.
    """

    def __init__(
        self, model: Model, architecture: Architecture, variants: Sequence[Variant], workload: Workload,
        *, contexts: tuple[int, ...], ways: Ways,
    ) -> None:  # fmt: skip
        self.model = model
        self.architecture = architecture
        self.variants = variants
        self.contexts = contexts
        self.ways = ways
        self.twins: list[Option] = []
        self._workload = workload

    @property
    def key(self) -> Hashable:
        """Equal for the same way to look at the same entry."""
        wishes = self._workload
        return (
            id(self.model), *map(id, self.variants), self.contexts, self.ways, wishes.parallel, wishes.kv_type
        )  # fmt: skip

    @property
    def twin_key(self) -> Hashable:
        """Equal for models of which nothing that a search looks at differs."""
        model = self.model
        sizes = [
            (v.quant, v.file_bytes, v.file_bytes_source, v.tensor_bytes, v.token_embedding_bytes)
            for v in self.variants
        ]
        return self.score, self.architecture, model.parameters, self.contexts, model.pooling, *sizes

    @property
    def network(self) -> Hashable:
        """Equal for models that differ in nothing but quality, parameters and files."""
        model = self.model
        return (
            self.architecture, model.family, model.pooling, self.contexts, model.parameters is None
        )  # fmt: skip

    @property
    def scored_parameters(self) -> int | None:
        """Parameters that decide what a quantisation takes from the quality."""
        return self.model.parameters

    @functools.cached_property
    def settings(self) -> tuple[Settings, ...]:
        """Of every context that is worth trying."""
        return tuple(settings_for(self.model, self._workload, context) for context in self.contexts)

    @functools.cached_property
    def files(self) -> tuple["File", ...]:
        """One for each quantisation."""
        return tuple(File(self, variant) for variant in self.variants)

    @functools.cached_property
    def score(self) -> float:
        """How good the model is, 0 to 1; no quantisation is better."""
        return base_score(self.model)

    @functools.cached_property
    def least_layers(self) -> int | None:
        """Bytes that the layers of the smallest file have at least; None where the size of one is not known."""
        sizes = [
            None
            if variant.file_bytes is None
            else variant.file_bytes - inputs_bytes(self.architecture, variant.quant)
            for variant in self.variants
        ]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        return max(0, int(min(known) - _HEADER_SLACK * most_header_bytes(self.architecture)))

    def like(self, candidate: "Candidate") -> "Candidate":
        """The way to run this model that is a twin's."""
        other = candidate.option
        file = self.files[other.files.index(candidate.file)]
        return file.candidates[candidate.file.candidates.index(candidate)]

    def __iter__(self) -> Iterator["Candidate"]:
        """All ways to run it."""
        return itertools.chain.from_iterable(file.candidates for file in self.files)


class File:
    """One quantisation of one model; `weights` are spread over its layers when first asked for."""

    def __init__(self, option: Option, variant: Variant) -> None:
        self.option = option
        self.model = option.model
        self.architecture = option.architecture
        self.variant = variant

    @property
    def candidates(self) -> tuple["Candidate", ...]:
        """The ways to run it."""
        return (*self.on_cards, *(() if self.on_host is None else self.on_host.candidates))

    @functools.cached_property
    def on_cards(self) -> tuple["Candidate", ...]:
        """The ways to run it with as much on the cards, or on the fastest of them, as they hold."""
        option = self.option
        return tuple(Candidate(self, each, way) for each in option.settings for way in option.ways.on_cards)

    @functools.cached_property
    def on_host(self) -> "OnHost | None":
        """The ways to run it on the CPU of a machine with a card; None where that is no choice."""
        return OnHost(self) if self.option.ways.on_host else None

    @functools.cached_property
    def score(self) -> float:
        """How good the model is in this quantisation, 0 to 1."""
        return quantised_score(self.option.score, self.variant.quant, self.option.scored_parameters)

    @functools.cached_property
    def least(self) -> Least | None:
        """What its size alone tells; None where that is not known."""
        size, arch = self.variant.file_bytes, self.architecture
        if size is None:
            return None
        low, _ = _table_bytes(self.variant.quant)
        tensors = max(0, int(size - _HEADER_SLACK * header_bytes(arch)))
        layers = max(0, int(tensors - inputs_bytes(arch, self.variant.quant)))
        return Least(tensors, layers, int(low * arch.vocab_size * arch.embedding_length))

    @functools.cached_property
    def weights(self) -> WeightTable | None:
        """The bytes of every layer; None where the size is not known."""
        try:
            return weights_of(self.model, self.variant)
        except NoResultError:
            return None

    @functools.cached_property
    def sums(self) -> LayerSums | None:
        """What `weights` add up to."""
        return None if self.weights is None else LayerSums(self.architecture, self.weights)


class OnHost:
    """A file on the CPU of a machine that has a card, with whatever context."""

    def __init__(self, file: File) -> None:
        self.file = file

    @property
    def option(self) -> Option:
        """The model with all its files."""
        return self.file.option

    @functools.cached_property
    def candidates(self) -> tuple["Candidate", ...]:
        """The ways to run it so: with no layer on a card, and with one, for whose sake a card does the prompts."""
        option = self.option
        return tuple(Candidate(self.file, each, way) for each in option.settings for way in option.ways.on_host)


def inputs_bytes(arch: Architecture, quant: str) -> float:
    """The most bytes that the input tables of a file have."""
    _, high = _table_bytes(quant)
    inputs = 4.0 * (arch.position_embeddings + arch.token_types) * arch.embedding_length
    if not (arch.tied_embeddings and arch.causal):
        inputs += high * arch.vocab_size * arch.embedding_length
    return inputs + high * arch.vocab_size * arch.layers * (arch.per_layer_embedding_length or 0)


def _table_bytes(quant: str) -> tuple[float, float]:
    return _TABLE_BYTES.get(canonical(quant), _OTHER_TABLE_BYTES)


class Candidate:
    """One way to run one model, with everything about it that does not depend on the other processes."""

    def __init__(self, file: File, settings: Settings, way: Way = ALL) -> None:
        self.file = file
        self.settings = settings
        self.way = way

    @property
    def option(self) -> Option:
        """The model with all its files."""
        return self.file.option

    @property
    def model(self) -> Model:
        """The model."""
        return self.file.model

    @property
    def variant(self) -> Variant:
        """Its quantisation."""
        return self.file.variant

    @functools.cached_property
    def process(self) -> ProcessMemory | None:
        """What it takes on any layout; None where the size is not known."""
        weights = self.file.weights
        if weights is None:
            return None
        return ProcessMemory(self.file.architecture, weights, self.settings, sums=self.file.sums)

    @functools.cached_property
    def work(self) -> Work:
        """What one of its tokens costs. Only for a candidate that has a `process`."""
        assert self.process is not None, "nothing is known of a file without a size"
        return work_per_token(self.file.architecture, self.process.table, self.settings, sums=self.process.sums)

    @functools.cached_property
    def placed_settings(self) -> Settings:
        """Its settings, with the layers on cards that are meant."""
        return self.way.settings(self.settings)

    @property
    def context(self) -> int:
        """Tokens of a slot."""
        return self.settings.context // self.settings.parallel


def options_for(
    role: Role,
    models: Iterable[Model],
    workload: Workload,
    machine: Machine,
    pins: Sequence[Pin],
    *,
    known: dict[Hashable, Option],
) -> list[Option]:
    """Models that may fill a role, the best first: those that are pinned, else all that match the wishes.

    `known` are options of other questions, of which those that serve here too are taken; new ones are added.
    """
    pinned = [pin for pin in pins if pin.model.role is role]
    chosen = pinned or [Pin(model) for model in models if model.role is role and matches(model, workload)]
    ways = ways_on(machine, role)
    ladder = _ladder(workload)
    ladders: dict[int, tuple[int, ...]] = {}
    found: dict[Hashable, Option] = {}
    for model, variant in ((pin.model, pin.variant) for pin in chosen):
        variants = fetchable(model) if variant is None else (variant,) if is_fetchable(model, variant) else ()
        contexts = ladders.get(model.context_length)
        if contexts is None:
            contexts = ladders[model.context_length] = _contexts(model, role, workload, ladder)
        if model.architecture is None or not variants or not contexts:
            continue
        option = Option(model, model.architecture, variants, workload, contexts=contexts, ways=ways)
        option = known.setdefault(option.key, option)
        option.twins = []
        first = found.setdefault(option.twin_key, option)
        if first is not option:
            first.twins.append(option)
    return sorted(found.values(), key=lambda option: -option.score)


def matches(model: Model, workload: Workload) -> bool:
    """Whether a model may be recommended for these wishes."""
    if not model.deployable or model.architecture is None:
        return False
    if model.context_length < _read_at_once(model.role, workload):
        return False
    if workload.licence == "commercial" and model.licence.commercial is not Commercial.YES:
        return False
    wanted = workload.language
    return wanted is None or not model.languages or wanted in model.languages or "multilingual" in model.languages


def _read_at_once(role: Role, workload: Workload) -> int:
    """Tokens that a model must take in one input: a chunk, with the question beside it for a reranker."""
    if role is Role.GENERATION:
        return 0
    return workload.chunk_tokens + (QUESTION_TOKENS if role is Role.RERANKER else 0)


def _ladder(workload: Workload) -> tuple[int, ...]:
    """Contexts worth trying: beyond what counts for all there is to gain, a longer one only takes memory."""
    short = sum(1 for context in CONTEXTS if context_term(context, workload.needed_context) < 1.0)
    return CONTEXTS[: short + 1]


def _contexts(model: Model, role: Role, workload: Workload, ladder: tuple[int, ...]) -> tuple[int, ...]:
    """The user's context alone if given (and the model can), else those of the ladder up to the trained one."""
    if role is not Role.GENERATION:
        return (min(model.context_length, max(EMBED_CONTEXT, 2 * workload.chunk_tokens)),)
    if workload.context is not None:
        return (workload.context,) if workload.context <= model.context_length else ()
    return tuple(context for context in ladder if context <= model.context_length) or (model.context_length,)
