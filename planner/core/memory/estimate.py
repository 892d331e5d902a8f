"""The answers about one model on one machine: memory by component, placement, speed. Value types only.

Field names are the JSON contract's (docs/json.md).
"""

from enum import StrEnum
from typing import Literal

import msgspec

HOST = "host"
"""Device id of the host in every per-device list."""


class Verdict(StrEnum):
    """Fits: everything where it should be. Offload: runs with layers on the CPU. No-fit: does not run."""

    FITS = "fits"
    OFFLOAD = "offload"
    NO_FIT = "no-fit"


class DeviceMemory(msgspec.Struct, frozen=True):
    """Bytes one process takes of one device (`host` for the host)."""

    device: str
    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    overhead_bytes: int
    total_bytes: int
    budget_bytes: int | None


class Memory(msgspec.Struct, frozen=True):
    """Bytes by component, summed over the devices. Overhead is what the process takes beside llama.cpp's buffers."""

    weights_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    overhead_bytes: int
    total_bytes: int
    devices: tuple[DeviceMemory, ...]

    @property
    def engine_bytes(self) -> int:
        """What llama.cpp's own buffer lines add up to: everything but the overhead."""
        return self.total_bytes - self.overhead_bytes


class Placement(msgspec.Struct, frozen=True):
    """Where the layers live. `n_layers` counts the output layer too, as llama.cpp does (N of N+1).

    The experts of the first `n_cpu_moe` layers are on the host even where the layer is on a GPU.
    """

    verdict: Verdict
    n_gpu_layers: int
    n_layers: int
    tensor_split: tuple[float, ...] | None
    reason: str
    n_cpu_moe: int = 0


class Rate(msgspec.Struct, frozen=True):
    """Tokens per second with an 80 % interval."""

    low: float
    mid: float
    high: float
    unit: Literal["tok/s"] = "tok/s"
    basis: Literal["measured", "calibrated", "estimated"] = "estimated"


class Seconds(msgspec.Struct, frozen=True):
    """A time with an 80 % interval; `low` is the fastest."""

    low: float
    mid: float
    high: float


class Throughput(msgspec.Struct, frozen=True):
    """pp: prompt processing; tg: token generation; embed: indexing. None: does not apply, or unknown.

    `tg` is one sequence's rate; `tg_slots` that of all slots together while every one generates, None with one slot.
    `first_token_s` is the wait for the first token after `n_prompt` tokens.
    """

    pp: Rate | None = None
    tg: Rate | None = None
    embed: Rate | None = None
    tg_slots: Rate | None = None
    first_token_s: Seconds | None = None


class Estimate(msgspec.Struct, frozen=True):
    """Everything estimated about one process."""

    memory: Memory
    placement: Placement
    throughput: Throughput
    warnings: tuple[str, ...] = ()
