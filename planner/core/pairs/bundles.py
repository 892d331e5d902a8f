"""Models of one network looked at as one: no more than the best of them could be.

A large catalog holds hundreds of some networks: fine-tunes, merges, files made by others, all but the same. A bundle
of them is an option itself, as good as its best member and in the smallest of their files, so that no member does
better. Only where that is worth a plan is the bundle halved, and its halves, until one model is left.
"""

import functools
from collections.abc import Hashable, Iterable, Sequence

import msgspec

from planner.core.memory.workload import Workload
from planner.core.models.model import Architecture, Model, Variant
from planner.core.models.weights import OutputMatrix
from planner.core.pairs.candidates import Option
from planner.units import GIB

_LEAST = 8
"""Fewer are looked at one by one: a bundle takes as long as a model before it spares one."""


class Bundle(Option):
    """An option that no member beats. `members` are sorted: the better first, of equals the smaller."""

    def __init__(self, members: Sequence[Option], workload: Workload) -> None:
        first = members[0]
        # The most that an embedder can index falls with its parameters: so many have all.
        fewest = min(option.model.parameters or 0 for option in members)
        model = msgspec.structs.replace(first.model, parameters=fewest or None)
        sizes = _sizes(first.architecture, members)
        files = [size.smallest(first.architecture) for size in sizes]
        super().__init__(model, first.architecture, files, workload, contexts=first.contexts, ways=first.ways)
        self.members = members
        self._workload = workload
        self._spans = {id(file): size.span_bytes for file, size in zip(files, sizes, strict=True)}

    @functools.cached_property
    def score(self) -> float:
        """How good the best member is, 0 to 1."""
        return self.members[0].score

    @functools.cached_property
    def scored_parameters(self) -> int | None:
        """Those of the largest member: the larger a model, the less a quantisation takes from it."""
        return max(option.scored_parameters or 0 for option in self.members) or None

    @functools.cached_property
    def halves(self) -> tuple[Option, ...]:
        """The better and the other half of the members."""
        half = len(self.members) // 2
        parts = self.members[:half], self.members[half:]
        return tuple(part[0] if len(part) == 1 else Bundle(part, self._workload) for part in parts)

    def most_more_bytes(self, variant: Variant) -> int | None:
        """How much larger a file of a member is than this option's, at most; None where no size is known."""
        return self._spans[id(variant)]

    @functools.cached_property
    def extremes(self) -> tuple[Model, ...]:
        """The models between which all others lie in size; none where they are not of one family."""
        models = [each.model for option in self.members for each in (option, *option.twins)]
        if any(model.family != models[0].family for model in models):
            return ()
        return tuple(choose(models, key=size) for size in (_parameters, _active) for choose in (min, max))


def bundled(options: Iterable[Option], workload: Workload) -> list[Option]:
    """The options, those of one network in bundles; the best first."""
    groups: dict[Hashable, list[Option]] = {}
    for option in options:
        groups.setdefault(option.network, []).append(option)
    found: list[Option] = []
    for members in groups.values():
        if len(members) < _LEAST:
            found += members
        else:
            found.append(Bundle(sorted(members, key=lambda option: (-option.score, _size(option))), workload))
    return sorted(found, key=lambda option: -option.score)


class _Sizes:
    """Files of one quant type whose bytes are spread alike: the least and the most that they have."""

    __slots__ = ("least", "least_tensors", "most", "variant")

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.least = self.most = variant.file_bytes
        self.least_tensors = variant.tensor_bytes

    def add(self, variant: Variant) -> None:
        """One more, of which the same is known."""
        size, tensors = variant.file_bytes, variant.tensor_bytes
        if size is not None and self.least is not None and self.most is not None:
            if size < self.least:
                self.least = size
            elif size > self.most:
                self.most = size
        if tensors is not None and self.least_tensors is not None and tensors < self.least_tensors:
            self.least_tensors = tensors

    @property
    def span_bytes(self) -> int | None:
        """The most, less what `smallest` has, with room for rounding."""
        return None if self.least is None or self.most is None else self.most - self.least + GIB // 64

    def smallest(self, arch: Architecture) -> Variant:
        """A file no larger than any, neither as a whole nor in one layer."""
        # Rounding gives a few bytes more or less to a layer: less than these in all.
        slack = 4 * arch.layers * arch.layers
        size = None if self.least is None else max(1, self.least - slack)
        tensors = None if self.least_tensors is None else max(1, self.least_tensors - slack)
        return msgspec.structs.replace(self.variant, file_bytes=size, tensor_bytes=tensors)


def _sizes(arch: Architecture, members: Sequence[Option]) -> list[_Sizes]:
    output = OutputMatrix(arch)
    tied = arch.tied_embeddings
    found: dict[tuple[Hashable, ...], _Sizes] = {}
    for option in members:
        for variant in option.variants:
            form = (
                variant.quant, variant.file_bytes_source, variant.token_embedding_bytes, variant.file_bytes is None,
                variant.tensor_bytes is None, tied and output.is_in(variant),
            )  # fmt: skip
            sizes = found.get(form)
            if sizes is None:
                found[form] = _Sizes(variant)
            else:
                sizes.add(variant)
    return list(found.values())


def _size(option: Option) -> int:
    return option.variants[0].file_bytes or 0


def _parameters(model: Model) -> int:
    return model.parameters or 0


def _active(model: Model) -> int:
    return model.active_parameters or model.parameters or 0
