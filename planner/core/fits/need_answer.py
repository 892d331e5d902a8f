"""What a model needs, as values: the question, the machines assumed around cards, and the answer."""

import msgspec

from planner.core.fits.device_market import Chip, DeviceClass
from planner.core.machines.hardware import DeviceKind, Hardware
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.estimate import HOST, Estimate, Rate, Verdict
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Variant
from planner.units import GIB

CONTEXT_SIZES_GIB = (8, 12, 16, 24, 32, 48, 80)
"""Memory sizes of which the longest context is told."""
_SYSTEM_BYTES = 2 * GIB
"""Left to the operating system when host memory is chosen; what plans leave it at least."""


class TypicalHost(msgspec.Struct, frozen=True):
    """A machine without a GPU that is assumed: peak bandwidth of its memory in GB/s, cores, sizes in GiB."""

    id: str
    name: str
    bandwidth_gbps: float
    cores: int
    ram_gib: tuple[int, ...]

    def hardware(self) -> Hardware:
        """The machine with all the memory it takes."""
        overrides = Overrides(
            bandwidth_gbps=self.bandwidth_gbps, ram_bytes=self.ram_gib[-1] * GIB, cpu_cores=self.cores
        )
        return virtual_hardware(overrides, ())

    def size_for(self, size_bytes: int) -> int | None:
        """The least memory in GiB that holds so much beside the system; None where the machine cannot."""
        return next((gib for gib in self.ram_gib if size_bytes + _SYSTEM_BYTES <= gib * GIB), None)


DESKTOP = TypicalHost(
    "desktop", "desktop with two channels of DDR5-5600", 89.6, 8, (8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
)
"""2 channels of 8 bytes at 5600 million transfers a second; 4 modules of 64 GiB are the most there are (recalled)."""
SERVER = TypicalHost("server", "server with twelve channels of DDR5-4800", 460.8, 64, (384, 512, 768, 1024, 1536))
"""For what no desktop holds: 12 channels of 8 bytes at 4800 million transfers a second, an EPYC 9004 (recalled)."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted: a model in a quant, tokens of context for each of `workload.parallel` slots, and a speed.

    The quants to tell the memory of are `variants`; devices are looked for in `variant`. The speed is
    `workload.min_speed`: tokens generated per second, for embedders and rerankers tokens read.
    """

    model: Model
    variants: tuple[Variant, ...]
    variant: Variant
    context: int
    workload: Workload = Workload()


class Partial(msgspec.Struct, frozen=True):
    """A model partly on the CPU: the smallest size of card with which it is fast enough, and what goes where."""

    card_gib: int
    gpu_bytes: int
    host_bytes: int
    n_gpu_layers: int
    n_cpu_moe: int
    rate: Rate | None


class CpuOnly(msgspec.Struct, frozen=True):
    """A model without a GPU: what it takes, and on the smallest typical machine that has it, how fast."""

    total_bytes: int
    host: TypicalHost | None
    ram_gib: int | None
    rate: Rate | None


class QuantNeed(msgspec.Struct, frozen=True, kw_only=True):
    """What a quant takes: everything on a CUDA card, partly there (None: not fast enough, or no use), or not at all.

    `contexts` has the longest context that a card of each of `CONTEXT_SIZES_GIB` holds, None where it holds none.
    """

    variant: Variant
    predicted: bool
    file_bytes: int | None
    gpu_bytes: int
    host_bytes: int
    cpu_only: CpuOnly
    partial: Partial | None
    contexts: tuple[int | None, ...]


class DeviceNeed(msgspec.Struct, frozen=True, kw_only=True):
    """`count` devices of a kind with the model on them; `memory_gib` each, on shared memory that of the machine.

    `largest` is the quant with the largest file that they hold whole, None if none. `reaches`: the wanted speed, if
    any. `useful`: whole, or so much faster with a part on the CPU than that alone, and as fast as reading.
    """

    chip: Chip
    kind: DeviceClass
    count: int
    memory_gib: float
    estimate: Estimate
    rate: Rate | None
    largest: Variant | None = None
    reaches: bool = True
    useful: bool = True

    @property
    def verdict(self) -> Verdict:
        """Whole, partly on the CPU, or not at all."""
        return self.estimate.placement.verdict

    @property
    def device_bytes(self) -> int:
        """What it takes of the devices together; on shared memory everything."""
        rows = self.estimate.memory.devices
        return sum(row.total_bytes for row in rows if self.shared or row.device != HOST)

    @property
    def host_bytes(self) -> int:
        """What it takes of the host's memory beside the devices; 0 where it is shared."""
        return self.estimate.memory.total_bytes - self.device_bytes

    @property
    def shared(self) -> bool:
        """Whether GPU and host share the memory."""
        return self.chip.spec.kind is DeviceKind.UNIFIED


class Need(msgspec.Struct, frozen=True):
    """The answer. `devices` by class, then memory of all together, then bandwidth; `complete`: all of the table."""

    question: Question
    quants: tuple[QuantNeed, ...]
    devices: tuple[DeviceNeed, ...]
    complete: bool
