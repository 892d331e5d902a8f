"""Where the layers of a process go: everything on a GPU, over several, partly on the CPU, or nowhere.

Order of what gives way: one GPU before several (each costs a runtime context and a compute buffer), the fastest
that holds it, all layers on GPUs before some on the CPU; of a mixture of experts only experts where that makes the
CPU read less. Never a setting of the user's. The answer carries its reason.
"""

import msgspec

from planner.core.machines.hardware import Backend, Device, DeviceKind, Hardware
from planner.core.memory.estimate import HOST, Memory, Placement, Verdict
from planner.core.memory.layouts import LayoutSearch
from planner.core.memory.memory import Layout, Pool, ProcessMemory
from planner.units import GIB, format_gib

_UNKNOWN_HOST_BYTES = 8 * GIB


def fastest_first(gpus: tuple[Pool, ...]) -> list[Pool]:
    """Cards by what they read in a second, an unknown speed last."""
    return sorted(gpus, key=lambda pool: -(pool.bandwidth_gbps or 0.0))


class Machine(msgspec.Struct, frozen=True, cache_hash=True):
    """A machine as containers: what is left to take of every usable GPU and of the host, in bytes.

    On unified memory `gpus` holds the one pool that GPU and host share, and the host's budget bounds it too.
    """

    gpus: tuple[Pool, ...]
    host: Pool
    unified: bool = False

    @property
    def gpu_backend(self) -> Backend:
        """The backend of the GPUs, `cpu` if there are none."""
        return self.gpus[0].backend if self.gpus else Backend.CPU

    @property
    def total_bytes(self) -> int:
        """All budgets together; a pool that GPU and host share counts once, at its larger bound."""
        budgets = [max(0, pool.budget_bytes or 0) for pool in (*self.gpus, self.host)]
        return max(budgets) if self.unified else sum(budgets)

    @property
    def steps_of_speed(self) -> tuple[int, ...]:
        """How many of the cards, the fastest first, are faster than all the others; none where all are as fast."""
        speeds = [pool.bandwidth_gbps or 0.0 for pool in fastest_first(self.gpus)]
        return tuple(count for count in range(1, len(speeds)) if speeds[count] < speeds[count - 1])

    def fastest(self, count: int) -> "Machine":
        """The machine with nothing to take of any but its fastest cards."""
        kept = {pool.id for pool in fastest_first(self.gpus)[:count]}
        gpus = (p if p.id in kept else msgspec.structs.replace(p, budget_bytes=0) for p in self.gpus)
        return msgspec.structs.replace(self, gpus=tuple(gpus))

    def less(self, memory: Memory) -> "Machine":
        """What is left beside a process that takes `memory`."""
        taken = {row.device: row.total_bytes for row in memory.devices}

        def reduced(pool: Pool) -> Pool:
            used = taken.get(HOST if self.unified else pool.id, 0)
            budget = None if pool.budget_bytes is None else pool.budget_bytes - used
            return msgspec.structs.replace(pool, budget_bytes=budget)

        return Machine(gpus=tuple(map(reduced, self.gpus)), host=reduced(self.host), unified=self.unified)


def machine_of(hardware: Hardware, *, live: bool, margin: float = 0.0) -> Machine:
    """The containers of a machine: a budget per device, less a share `margin` kept free for comfort.

    With a margin the host keeps at least 2 GiB (a fifth of a small one) of its capacity for the system.

    `live`: what is free now; else the capacity, so that the same machine gives the same answer every time. A
    device's `memory_limit_bytes` holds in both.
    Devices that are unusable or of unknown memory take no layers. GPUs of one backend only are combined: the one
    with the most memory decides.
    """
    host = hardware.host
    host_bytes = (host.memory_available_bytes if live else None) or host.memory_total_bytes or _UNKNOWN_HOST_BYTES
    keep = 1.0 - margin
    candidates = [d for d in hardware.devices if d.usable and d.memory_budget_bytes]
    unified = [d for d in candidates if d.kind is DeviceKind.UNIFIED]
    discrete = [d for d in candidates if d.kind is DeviceKind.DISCRETE]
    system = 0 if live or not margin else min(2 * GIB, host_bytes // 5)
    host_pool = Pool(id=HOST, backend=Backend.CPU, budget_bytes=host_bytes - max(int(host_bytes * margin), system))
    if discrete:
        leading = max(discrete, key=lambda d: d.memory_budget_bytes or 0).backend
        pools = tuple(
            Pool(
                id=d.id,
                backend=d.backend,
                budget_bytes=int(keep * ((d.memory_budget_bytes if live else _capacity(d)) or 0)),
                bandwidth_gbps=d.memory_bandwidth_gbps,
            )
            for d in discrete
            if d.backend is leading
        )
        return Machine(gpus=pools, host=host_pool)
    if unified:
        device = max(unified, key=lambda d: d.memory_budget_bytes or 0)
        budget = int((device.memory_budget_bytes or 0) * keep)
        if live:
            # The driver's own reading where there is one: memory set aside for the GPU is not free for the host.
            free = device.memory_free_bytes
            budget = min(budget, host_pool.budget_bytes or budget if free is None else int(free * keep))
        return Machine(
            gpus=(Pool(id=device.id, backend=device.backend, budget_bytes=budget),),
            host=host_pool,
            unified=True,
        )
    return Machine(gpus=(), host=host_pool)


def _capacity(device: Device) -> int | None:
    """What a device with memory of its own can give while nothing else runs, less what the user keeps for himself."""
    total, limit = device.memory_total_bytes, device.memory_limit_bytes
    return total if limit is None else min(limit, total or limit)


def place(
    process: ProcessMemory,
    machine: Machine,
    n_gpu_layers: int | None = None,
    *,
    all_gpus: bool = False,
    n_cpu_moe: int | None = None,
) -> tuple[Placement, Memory]:
    """Place one process. `n_gpu_layers` fixes the units on GPUs (more than there are: all); None: as many as fit.

    `n_cpu_moe` fixes the layers whose experts stay on the host; None: none where everything fits, else as it costs
    least. `all_gpus` spreads the layers over every GPU, as llama.cpp does by itself, also where fewer would do.
    """
    count = len(machine.gpus)
    if not count:
        return _judge(process, machine, Layout(units=()), fixed=False)
    wanted = process.units if n_gpu_layers is None else min(n_gpu_layers, process.units)
    moved = min(n_cpu_moe or 0, process.arch.layers) if process.experts else 0
    fixed = n_gpu_layers is not None or moved > 0
    search = LayoutSearch(process, machine.gpus, unified=machine.unified, all_gpus=all_gpus)
    for chosen in search.subsets:
        layout = search.spread(wanted, chosen, moved)
        if layout is not None:
            found = _judge(process, machine, layout, fixed=fixed)
            if n_gpu_layers is not None or found[0].verdict is not Verdict.NO_FIT:
                return found
    if n_gpu_layers is not None:
        return _judge(process, machine, search.even(wanted, search.subsets[-1], moved), fixed=True)
    if machine.unified:
        return _shared_pool(process, machine)
    if n_cpu_moe is not None:
        return _judge(process, machine, search.most_units(moved), fixed=False)
    return _cheapest_partial(process, machine, search)


def _shared_pool(process: ProcessMemory, machine: Machine) -> tuple[Placement, Memory]:
    """On unified memory moving layers to the CPU frees nothing, but the CPU may use more of the pool."""
    on_cpu = _judge(process, machine, Layout(units=(0,)), fixed=False)
    on_gpu = _judge(process, machine, Layout(units=(process.units,)), fixed=False)
    return on_gpu if on_cpu[0].verdict is Verdict.NO_FIT else on_cpu


def _cheapest_partial(process: ProcessMemory, machine: Machine, search: LayoutSearch) -> tuple[Placement, Memory]:
    """Whole layers on the host, or only experts: whichever runs and makes the host read least for a token."""
    layouts = [search.most_units(0)]
    if process.experts:
        layouts.append(search.fewest_experts())
    judged = [_judge(process, machine, layout, fixed=False) for layout in layouts]
    costs = [process.host_read_bytes(layout) for layout in layouts]
    best = min(range(len(layouts)), key=lambda i: (judged[i][0].verdict is Verdict.NO_FIT, costs[i], i))
    return judged[best]


def _row_fits(total_bytes: int, budget_bytes: int | None) -> bool:
    return budget_bytes is None or total_bytes <= budget_bytes


def _judge(process: ProcessMemory, machine: Machine, layout: Layout, *, fixed: bool) -> tuple[Placement, Memory]:
    host = machine.host
    if machine.unified and layout.gpu_units:
        host = Pool(id=HOST, backend=host.backend, budget_bytes=machine.gpus[0].budget_bytes)
    memory = process.at(layout, machine.gpus, host, unified=machine.unified)
    short = [row for row in memory.devices if not _row_fits(row.total_bytes, row.budget_bytes)]
    on_gpu = layout.gpu_units
    if short:
        row = max(short, key=lambda r: r.total_bytes - (r.budget_bytes or 0))
        verdict = Verdict.NO_FIT
        budget = max(0, row.budget_bytes or 0)
        reason = (
            f"{row.device} would need {format_gib(row.total_bytes)} and has {format_gib(budget)} to give: "
            f"{format_gib(row.total_bytes - budget)} short"
        )
    elif not machine.gpus:
        verdict = Verdict.FITS
        reason = f"runs on the CPU, {format_gib(memory.total_bytes)} of host memory"
    elif on_gpu == process.units and not _moved(process, layout):
        verdict = Verdict.FITS
        used = sum(1 for count in layout.units if count)
        reason = "all layers on the GPU" if used == 1 else f"all layers over {used} GPUs"
    else:
        verdict = Verdict.OFFLOAD
        why = "as asked" if fixed else "the rest does not fit"
        part = "all" if on_gpu == process.units else f"{on_gpu} of {process.units}"
        experts = f", experts of {moved} on the host" if (moved := _moved(process, layout)) else ""
        reason = f"{part} layers on the GPU{experts}, {why}"
    return (
        Placement(
            verdict=verdict,
            n_gpu_layers=on_gpu,
            n_layers=process.units,
            tensor_split=tuple(float(count) for count in layout.units) if len(layout.units) > 1 else None,
            reason=reason,
            n_cpu_moe=layout.cpu_moe if _moved(process, layout) else 0,
        ),
        memory,
    )


def _moved(process: ProcessMemory, layout: Layout) -> int:
    """Layers on GPUs whose experts are on the host."""
    return max(0, layout.cpu_moe - (process.units - layout.gpu_units)) if process.experts else 0
