"""The machine: a line for each device and the host, with what is taken and what is free."""

from collections.abc import Sequence

from textual.content import Content

from planner.core.machines.hardware import Device, Hardware
from planner.tui.columns import MUTED, Cell, Column, Table, hanging, lines
from planner.tui.figures import cells_of
from planner.tui.problem import Problem
from planner.tui.widgets.fitted import Fitted
from planner.units import format_gib

_BARS = ((160, 40), (110, 24), (0, 16))
"""From which width on a bar has how many cells."""
_COLUMNS = (
    Column("device"),
    Column("name", minimum=16),
    Column("taken", leaves=1),
    Column("memory", right=True),
    Column("bandwidth", right=True, leaves=2),
)


class Machine(Fitted):
    """Shows a `Hardware`, the problem why there is none, or that it is being looked for."""

    hardware: Hardware | None = None
    problem: Problem | None = None
    _bar_cells = 0

    def show(self, hardware: Hardware | None, problem: Problem | None) -> None:
        """New values."""
        self.hardware, self.problem = hardware, problem
        self.redraw()

    def draw(self, width: int) -> Content:
        """Lines for devices and host."""
        if self.problem is not None:
            return lines(
                [
                    hanging(self.marks.failed, self.problem.message, width, "$text-error"),
                    hanging(" ", self.problem.hint, width),
                ]
            )
        if self.hardware is None:
            return Content.styled(f"looking at this machine {self.marks.ellipsis}", MUTED)
        self._bar_cells = next(cells for least, cells in _BARS if width >= least)
        rows = [self._device(device) for device in self.hardware.devices if device.usable]
        table = Table(
            _COLUMNS,
            [*rows, self._host(self.hardware)],
            width,
            ellipsis=self.marks.ellipsis,
            header=False,
        )
        return lines([*table.lines, *(self._unusable(d, width) for d in self.hardware.devices if not d.usable)])

    def _device(self, device: Device) -> Sequence[Cell | str]:
        free = device.memory_free_bytes if device.memory_free_bytes is not None else device.memory_budget_bytes
        return (
            Cell(device.id, "bold"),
            device.name,
            self._bar(free, device.memory_total_bytes),
            _memory(free, device.memory_total_bytes),
            _bandwidth(device.memory_bandwidth_gbps),
        )

    def _unusable(self, device: Device, width: int) -> Content:
        why = f": {device.note}" if device.note else ""
        return hanging(self.marks.warning, f"{device.id} {device.name} cannot be used{why}", width, "$text-warning")

    def _host(self, hardware: Hardware) -> Sequence[Cell | str]:
        host = hardware.host
        cores = f"{host.cpu.cores_usable} cores"
        name = cores if host.cpu.name in {"", "unspecified"} else f"{host.cpu.name}, {cores}"
        return (
            Cell("host", "bold"),
            name,
            self._bar(host.memory_available_bytes, host.memory_total_bytes),
            _memory(host.memory_available_bytes, host.memory_total_bytes),
            _bandwidth(host.memory_bandwidth_gbps),
        )

    def _bar(self, free: int | None, total: int | None) -> Cell:
        if free is None or not total:
            return Cell("")
        taken = cells_of((max(0, total - free),), total, self._bar_cells)[0]
        return Cell(self.marks.weights * taken + self.marks.free * (self._bar_cells - taken), "$foreground 50%")


def _memory(free: int | None, total: int | None) -> str:
    if total is None:
        return "memory unknown"
    if free is None:
        return f"{format_gib(total)}, free unknown"
    return f"{format_gib(free)} of {format_gib(total)} free"


def _bandwidth(gbps: float | None) -> str:
    return "" if gbps is None else f"{gbps:.0f} GB/s"
