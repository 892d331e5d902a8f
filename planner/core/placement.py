"""Where the layers of a process go: everything on a GPU, over several, partly on the CPU, or nowhere.

Order of what gives way: one GPU before several (each costs a runtime context and a compute buffer), the fastest
that holds it, all layers on GPUs before some on the CPU, and never a setting of the user's. The answer carries its
reason.
"""

import msgspec

from planner.core.estimate import HOST, Memory, Placement, Verdict
from planner.core.hardware import Backend, DeviceKind, Hardware
from planner.core.memory import Layout, Pool, ProcessMemory
from planner.units import GIB, format_gib

_UNKNOWN_HOST_BYTES = 8 * GIB


class Machine(msgspec.Struct, frozen=True):
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

    `live`: what is free now; else the capacity, so that the same machine gives the same answer every time.
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
                budget_bytes=int(keep * ((d.memory_budget_bytes if live else d.memory_total_bytes) or 0)),
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


def place(
    process: ProcessMemory, machine: Machine, n_gpu_layers: int | None = None, *, all_gpus: bool = False
) -> tuple[Placement, Memory]:
    """Place one process. `n_gpu_layers` fixes the units on GPUs (more than there are: all); None: as many as fit.

    `all_gpus` spreads the layers over every GPU, as llama.cpp does by itself, also where fewer would do.
    """
    units = process.units
    count = len(machine.gpus)
    if not count:
        return _judge(process, machine, Layout(units=()), fixed=False)
    wanted = units if n_gpu_layers is None else min(n_gpu_layers, units)
    subsets = [frozenset(range(count))] if all_gpus else _subsets(machine.gpus)
    for chosen in subsets:
        found = _judge(process, machine, _spread(process, machine, wanted, chosen), fixed=n_gpu_layers is not None)
        if _gpus_fit(found[1]) and (n_gpu_layers is not None or found[0].verdict is Verdict.FITS):
            return found
    if n_gpu_layers is not None:
        return found
    return _largest_partial(process, machine, subsets)


def _subsets(gpus: tuple[Pool, ...]) -> list[frozenset[int]]:
    """Sets of GPUs worth trying, fewer before more; of one size the fastest first, then the roomiest.

    The slowest card of a set rules its speed, so a set is a run of the cards ordered by bandwidth, or by memory.
    """
    by_speed = sorted(
        range(len(gpus)), key=lambda i: (-(gpus[i].bandwidth_gbps or 0.0), -(gpus[i].budget_bytes or 0))
    )
    by_room = sorted(range(len(gpus)), key=lambda i: -(gpus[i].budget_bytes or 0))
    found: dict[frozenset[int], None] = {}
    for size in range(1, len(gpus) + 1):
        for start in range(len(gpus) - size + 1):
            found[frozenset(by_speed[start : start + size])] = None
        found[frozenset(by_room[:size])] = None
    return list(found)


def _spread(process: ProcessMemory, machine: Machine, units: int, chosen: frozenset[int]) -> Layout:
    """Units over the chosen GPUs in device order, in proportion to what each has left for layers."""
    fixed = process.fixed_bytes
    budgets = [
        max(0, (pool.budget_bytes or 0) - fixed(pool, shared=len(chosen) > 1)) if i in chosen else 0
        for i, pool in enumerate(machine.gpus)
    ]
    total = sum(budgets)
    if not total:
        first = min(chosen)
        return Layout(units=tuple(units if i == first else 0 for i in range(len(budgets))))
    shares = [units * budget / total for budget in budgets]
    counts = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (counts[i] - shares[i], i))
    for i in by_remainder[: units - sum(counts)]:
        counts[i] += 1
    return Layout(units=tuple(counts))


def _largest_partial(
    process: ProcessMemory, machine: Machine, subsets: list[frozenset[int]]
) -> tuple[Placement, Memory]:
    """The most units on GPUs that still fit, over all sets of GPUs; among equals the first set."""
    if machine.unified:
        # Moving layers between GPU and CPU of one pool frees nothing, but the CPU may use more of the pool.
        on_cpu = _judge(process, machine, Layout(units=(0,)), fixed=False)
        on_gpu = _judge(process, machine, Layout(units=(process.units,)), fixed=False)
        return on_gpu if on_cpu[0].verdict is Verdict.NO_FIT else on_cpu
    best = _judge(process, machine, Layout(units=(0,) * len(machine.gpus)), fixed=False)
    for chosen in subsets:
        low, high = best[0].n_gpu_layers, process.units + 1
        while low + 1 < high:
            middle = (low + high) // 2
            candidate = _judge(process, machine, _spread(process, machine, middle, chosen), fixed=False)
            if _gpus_fit(candidate[1]):
                low, best = middle, candidate
            else:
                high = middle
    return best


def _gpus_fit(memory: Memory) -> bool:
    return all(_row_fits(row.total_bytes, row.budget_bytes) for row in memory.devices if row.device != HOST)


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
    elif on_gpu == process.units:
        verdict = Verdict.FITS
        used = sum(1 for count in layout.units if count)
        reason = "all layers on the GPU" if used == 1 else f"all layers over {used} GPUs"
    else:
        verdict = Verdict.OFFLOAD
        why = "as asked" if fixed else "the rest does not fit"
        reason = f"{on_gpu} of {process.units} layers on the GPU, {why}"
    return (
        Placement(
            verdict=verdict,
            n_gpu_layers=on_gpu,
            n_layers=process.units,
            tensor_split=tuple(float(count) for count in layout.units) if len(layout.units) > 1 else None,
            reason=reason,
        ),
        memory,
    )
