"""What a GGUF header says, as values. Nothing here is checked for sense: see `planner.gguf.facts`."""

import msgspec


class LongArray(msgspec.Struct, frozen=True):
    """An array too long to keep: only its length and item type are known."""

    count: int
    item_type: str


class LongText(msgspec.Struct, frozen=True):
    """A text too long to keep: only its length in bytes is known."""

    n_bytes: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | LongArray | LongText


class TensorInfo(msgspec.Struct, frozen=True, gc=False):
    """One row of the tensor table.

    `shape` has the fastest dimension first (the row length), as the file has it. `offset` counts from
    `Header.data_offset`; `type` is a name of `TENSOR_TYPES`.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    n_bytes: int

    @property
    def n_elements(self) -> int:
        """Product of the shape; 1 for a scalar."""
        product = 1
        for length in self.shape:
            product *= length
        return product


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Everything before the tensor data. Offsets and sizes in bytes.

    `data_offset` is where the tensor data begins, `size_bytes` the length of the whole file. `parts` is more than
    1 when the parts of a split model were read together; offsets and sizes are then sums.
    """

    name: str
    version: int
    metadata: dict[str, Value]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    size_bytes: int
    parts: int = 1
