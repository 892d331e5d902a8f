"""Which models of the catalog somebody asks for, and in which order."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planner.core.fits.fitting import Fit, file_bytes_of, rate_of
from planner.core.models.languages import language_names
from planner.core.models.model import Model, Role, Variant
from planner.core.models.variants import default_variant
from planner.core.models.wishes import Wishes
from planner.core.scores.quality import MTR_PREFIX, POOLS, quality
from planner.errors import UsageError

ROLE_ORDER = {role: index for index, role in enumerate(Role)}


@dataclass(frozen=True)
class Query:
    """Conditions on a model; None, False and "" are no condition. Every word of `search` must be somewhere in it."""

    role: Role | None = None
    search: str = ""
    family: str | None = None
    min_parameters: int | None = None
    wishes: Wishes = field(default_factory=Wishes)

    def admits(self, model: Model) -> bool:
        """Whether the model meets all conditions; one whose entry does not answer a condition does not."""
        return (
            (self.role is None or model.role is self.role)
            and (self.family is None or model.family.casefold() == self.family.casefold())
            and (self.min_parameters is None or (model.parameters or 0) >= self.min_parameters)
            and self.wishes.admit(model)
            and all(word in _text(model) for word in self.search.casefold().split())
        )


def _text(model: Model) -> str:
    """What a search looks into: names, family, licence, languages by code and in English."""
    names = language_names()
    words = (model.id, *model.aliases, model.family, model.licence.spdx, *model.languages)
    return " ".join((*words, *(names.get(code, "") for code in model.languages))).casefold()


def usual_variant(model: Model) -> Variant | None:
    """The quant taken when none is named; None where the catalog knows none."""
    try:
        return default_variant(model)
    except UsageError:
        return next(iter(model.variants), None)


def usual_file_bytes(model: Model) -> int | None:
    """Size of the file that is taken when no quant is named."""
    variant = usual_variant(model)
    return None if variant is None else file_bytes_of(model, variant)


def score_of(model: Model, name: str) -> float | None:
    """A score of the model's entry by its whole name, `<figure>:<pool>`."""
    return next((score.value for score in model.scores if score.name == name), None)


def mtr_percent(model: Model, pool: str = POOLS[0]) -> float | None:
    """RAG mean task rank in a pool: percent, lower is better."""
    return score_of(model, MTR_PREFIX + pool)


def quality_score(model: Model) -> float | None:
    """Quality for the model's role, 0 to 1, in the quant taken when none is named."""
    variant = usual_variant(model)
    found = quality(model, "F16" if variant is None else variant.quant)
    measured = found.figures.get("mtr_percent", 0.0) is not None
    return found.score if measured else None


def speed(model: Model, fits: Mapping[str, Fit]) -> float | None:
    """The middle of the speed on the machine asked about, tokens per second."""
    fit = fits.get(model.id)
    rate = None if fit is None else rate_of(model, fit.estimate)
    return None if rate is None else rate.mid


Key = Callable[[Model, Mapping[str, Fit]], Any]

_KEYS: dict[str, tuple[Key, bool, bool]] = {
    "name": (lambda model, _: model.id.casefold(), False, False),
    "params": (lambda model, _: model.parameters, False, False),
    "context": (lambda model, _: model.context_length, True, False),
    "size": (lambda model, _: usual_file_bytes(model), False, False),
    "mtr": (lambda model, _: mtr_percent(model), False, False),
    "quality": (lambda model, _: quality_score(model), True, True),
    "date": (lambda model, _: model.release_date, True, False),
    "speed": (speed, True, True),
}
"""By name: the value, whether the largest comes first, and whether values compare within a role only."""
SORT_KEYS = tuple(_KEYS)


def ordered(
    models: Iterable[Model], key: str | None, fits: Mapping[str, Fit], *, reverse: bool = False
) -> list[Model]:
    """The models in order of a key of `SORT_KEYS`; None: by role, then name. Unknown values come last either way."""
    chosen = sorted(models, key=lambda model: model.id.casefold())
    if key is None:
        return sorted(chosen, key=lambda model: ROLE_ORDER[model.role], reverse=reverse)
    value, largest_first, by_role = _KEYS[key]
    values = {model.id: value(model, fits) for model in chosen}
    known = [model for model in chosen if values[model.id] is not None]
    known.sort(key=lambda model: values[model.id], reverse=largest_first != reverse)
    found = known + [model for model in chosen if values[model.id] is None]
    return sorted(found, key=lambda model: ROLE_ORDER[model.role]) if by_role else found
