"""Which GPUs take which units of a process, so that every one of them holds its part.

Units keep their order and so do GPUs: llama.cpp gives each of them a run of layers, the first layers to the host.
"""

from planner.core.memory.memory import Layout, Pool, ProcessMemory


class LayoutSearch:
    """Layouts of a process over `gpus` that fit. On unified memory there is one pool, which the host shares.

    `all_gpus` leaves no card out, where fewer would do as well.
    """

    def __init__(
        self, process: ProcessMemory, gpus: tuple[Pool, ...], *, unified: bool = False, all_gpus: bool = False
    ) -> None:
        self.subsets = [frozenset(range(len(gpus)))] if all_gpus else subsets(gpus)
        self._process = process
        self._gpus = gpus
        self._unified = unified

    def spread(self, units: int, chosen: frozenset[int], moved: int) -> Layout | None:
        """The last `units` units over the chosen GPUs, the experts of the first `moved` layers on the host.

        Evenly filled where that fits, else one after another, which finds a way if there is any. None: there is none.
        """
        even = self.even(units, chosen, moved)
        if self._fits(even):
            return even
        packed = self._packed(units, chosen, moved) if len(chosen) > 1 else None
        return packed if packed is not None and self._fits(packed) else None

    def even(self, units: int, chosen: frozenset[int], moved: int) -> Layout:
        """Units in proportion to what each GPU has left for them, counted in bytes: layers differ."""
        process = self._process
        first = process.units - units
        if len(chosen) == 1:
            return Layout(units=tuple(units if i in chosen else 0 for i in range(len(self._gpus))), cpu_moe=moved)
        fixed = self._fixed_bytes(first, moved, several=True)
        room = [max(0, (pool.budget_bytes or 0) - fixed) if i in chosen else 0 for i, pool in enumerate(self._gpus)]
        if not any(room):
            room = [int(i in chosen) for i in range(len(room))]
        whole = process.unit_bytes(first, process.units, moved)
        last = max(i for i, size in enumerate(room) if size)
        counts, start, passed = [], first, 0
        for i, size in enumerate(room):
            passed += size
            end = process.units if i >= last else process.unit_at(first, moved, whole * passed // sum(room))
            counts.append(max(0, end - start))
            start = max(start, end)
        return Layout(units=tuple(counts), cpu_moe=moved)

    def _packed(self, units: int, chosen: frozenset[int], moved: int) -> Layout | None:
        """As many units as fit on each GPU in turn; None if some are left over."""
        process = self._process
        start = first = process.units - units
        fixed = self._fixed_bytes(first, moved, several=True)
        counts = []
        for i, pool in enumerate(self._gpus):
            end = start
            room = (pool.budget_bytes or 0) - fixed
            if i in chosen and room > 0:
                end = process.last_unit(start, moved, room)
            counts.append(end - start)
            start = end
        return Layout(units=tuple(counts), cpu_moe=moved) if start == process.units else None

    def most_units(self, moved: int) -> Layout:
        """The most units on GPUs that fit, over all sets of GPUs; among equals the first set."""
        best = Layout(units=(0,) * len(self._gpus))
        for chosen in self.subsets:
            low, high = best.gpu_units, self._process.units + 1
            while low + 1 < high:
                middle = (low + high) // 2
                layout = self.spread(middle, chosen, moved)
                if layout is None:
                    high = middle
                else:
                    low, best = middle, layout
        return best

    def fewest_experts(self) -> Layout:
        """All units on GPUs and the experts of as few layers as possible on the host; failing that, all experts."""
        layers = self._process.arch.layers
        best: Layout | None = None
        for chosen in self.subsets:
            low, high = 0, best.cpu_moe if best else layers + 1
            while low + 1 < high:
                middle = (low + high) // 2
                layout = self.spread(self._process.units, chosen, middle)
                if layout is None:
                    low = middle
                else:
                    high, best = middle, layout
        return best or self.most_units(layers)

    def _fixed_bytes(self, first: int, moved: int, *, several: bool) -> int:
        """What a GPU takes before any layer's own bytes."""
        whole = first == 0 and moved == 0
        sent = 0 if self._unified else self._process.sent_bytes(first, max(first, moved))
        return self._process.fixed_bytes(self._gpus[0], shared=several and whole) + sent

    def _fits(self, layout: Layout) -> bool:
        """Whether every GPU holds its part."""
        process = self._process
        if self._unified:
            pool = self._gpus[0]
            whole = process.at(layout, self._gpus, pool, unified=True)
            return pool.budget_bytes is None or whole.total_bytes <= pool.budget_bytes
        start = process.units - layout.gpu_units
        several = sum(1 for count in layout.units if count) > 1
        fixed = self._fixed_bytes(start, layout.cpu_moe, several=several)
        for pool, count in zip(self._gpus, layout.units, strict=True):
            taken = fixed + process.unit_bytes(start, start + count, layout.cpu_moe)
            if count and pool.budget_bytes is not None and taken > pool.budget_bytes:
                return False
            start += count
        return True


def subsets(gpus: tuple[Pool, ...]) -> list[frozenset[int]]:
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
