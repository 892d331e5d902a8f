"""Telling a program that reads along where a launch stands (`planner.core.launch.events`), and nobody else."""

from collections.abc import Callable, Sequence

from planner.cli.diagnostics import tell
from planner.core.launch.events import Step, StepState, StepTold
from planner.core.launch.launch_plan import ProcessPlan
from planner.serve.state import DeploymentRecord
from planner.units import format_gb, format_gib


def begun(step: Step, role: str = "", detail: str = "") -> None:
    """A part begins."""
    tell(StepTold(step, StepState.BEGUN, role, detail))


def done(step: Step, role: str = "", detail: str = "") -> None:
    """A part has ended well."""
    tell(StepTold(step, StepState.DONE, role, detail))


def planned(processes: Sequence[ProcessPlan]) -> None:
    """The plan is there: what will be fetched and loaded."""
    done(Step.PLAN)
    for process in processes:
        size = process.variant.file_bytes
        name = f"{process.model.name} {process.variant.quant}"
        told = f"{name}, {format_gb(size)}" if size else name
        tell(StepTold(Step.FETCH, StepState.WAITING, process.role.value, told))
    for process in processes:
        memory = f"{format_gib(process.estimate.memory.total_bytes)} of memory"
        tell(StepTold(Step.LOAD, StepState.WAITING, process.role.value, memory))


def watching(also: Callable[[DeploymentRecord], None]) -> Callable[[DeploymentRecord], None]:
    """A listener to a starting deployment that tells its parts, and passes everything on."""
    told: dict[tuple[Step, str], StepState] = {}

    def once(step: Step, state: StepState, role: str = "", detail: str = "") -> None:
        if told.get((step, role)) is not state:
            told[step, role] = state
            tell(StepTold(step, state, role, detail))

    def listen(record: DeploymentRecord) -> None:
        once(Step.START, StepState.DONE)
        for process in record.processes:
            match process.state:
                case "starting" | "restarting":
                    once(Step.LOAD, StepState.BEGUN, process.role, process.detail)
                case "running":
                    size = process.memory_measured_bytes
                    once(
                        Step.LOAD,
                        StepState.DONE,
                        process.role,
                        "" if size is None else f"buffers of {format_gib(size)}",
                    )
                case "failed":
                    once(Step.LOAD, StepState.FAILED, process.role, process.detail)
                case _:
                    pass
        if record.verified:
            good = sum(check.ok for check in record.verification)
            once(Step.VERIFY, StepState.DONE, detail=f"{good} of {len(record.verification)} checks passed")
        elif record.processes and all(process.state == "running" for process in record.processes):
            once(Step.VERIFY, StepState.BEGUN)
        also(record)

    return listen
