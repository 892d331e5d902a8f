"""What somebody wants of a model, beside its being good: licence, language, size, whether it can be run."""

from dataclasses import dataclass

from planner.core.models.languages import MULTILINGUAL
from planner.core.models.model import Commercial, Model


@dataclass(frozen=True)
class Wishes:
    """Conditions on a model; None and False are no condition.

    A model whose entry does not answer a condition does not meet it. `language` is an ISO 639-1 code,
    `max_file_bytes` bounds the smallest file there is of the model.
    """

    commercial: bool = False
    language: str | None = None
    max_parameters: int | None = None
    max_file_bytes: int | None = None
    deployable: bool = False

    @property
    def any(self) -> bool:
        """Whether there is any condition."""
        return self != Wishes()

    def admit(self, model: Model) -> bool:
        """Whether the model meets all conditions."""
        sizes = [variant.file_bytes for variant in model.variants if variant.file_bytes is not None]
        return (
            (not self.commercial or model.licence.commercial is Commercial.YES)
            and (self.language is None or self.language in model.languages or MULTILINGUAL in model.languages)
            and (self.max_parameters is None or (model.parameters or self.max_parameters + 1) <= self.max_parameters)
            and (self.max_file_bytes is None or min(sizes, default=self.max_file_bytes + 1) <= self.max_file_bytes)
            and (not self.deployable or model.deployable)
        )
