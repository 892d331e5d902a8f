"""A tensor of a GGUF by its shape."""

from typing import NamedTuple


class Tensor(NamedTuple):
    """A tensor of `experts` matrices of `rows` rows of `row` elements; a vector is one row."""

    name: str
    row: int
    rows: int = 1
    experts: int = 1

    @property
    def elements(self) -> int:
        """Weights in it."""
        return self.row * self.rows * self.experts

    @property
    def is_vector(self) -> bool:
        """One dimension: a norm, a bias, a table of one row."""
        return self.rows * self.experts == 1

    @property
    def is_routed(self) -> bool:
        """Whether a token sees only the chosen experts' part of it."""
        return "_exps." in self.name
