"""The engine processes of one deployment: starting one with all its precautions, checking on them, ending them."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from planner.core.launch.launch_plan import EngineKind, ProcessPlan
from planner.core.launch.smaller import difference
from planner.core.machines.hardware import Backend
from planner.core.models.model import Role
from planner.serve.engine.engines import Engine, Files, longest_input, make_command, required_context
from planner.serve.engine.failure import LaunchError
from planner.serve.engine.memory_report import MemoryReport, read_memory_report
from planner.serve.gateway.upstream import Upstream
from planner.serve.state import DeploymentSpec, Home, ProcessSpec
from planner.serve.supervision.guard import Guard
from planner.serve.supervision.process import EngineProcess, Ready, start
from planner.serve.supervision.readiness import role_probe

_ESSENTIAL_FLAGS = frozenset({"--host", "--port", "--api-key-file", "--cors-origins", "--ctx-size"})
"""Never dropped, whatever an engine says about them."""


class Crew:
    """Owns the processes; every one it started is ended by `end` or `end_all`.

    `on_started(role, process)` is told of a process before it is ready; `on_note` gets lines for people.
    """

    def __init__(
        self,
        home: Home,
        spec: DeploymentSpec,
        *,
        stall_s: float,
        on_started: Callable[[Role, EngineProcess], None],
        on_note: Callable[[str], None],
    ) -> None:
        self._home = home
        self._token = spec.supervisor_token
        self._engine = spec.engine
        self._specs = {process.plan.role: process for process in spec.processes}
        self._plans = {process.plan.role: process.plan for process in spec.processes}
        self._stall_s = stall_s
        self._on_started = on_started
        self._on_note = on_note
        self._direct = not spec.door.gateway
        self._key_file = home.gateway_key if self._direct else home.engine_key
        self._key = home.read_key(self._key_file)
        alone = spec.port if len(self._specs) == 1 else 0
        self._ports = {role: process.port or alone for role, process in self._specs.items() if self._direct}
        self._port_wanted = spec.port_wanted
        self._guard = Guard(home.path)
        self._processes: dict[Role, EngineProcess] = {}
        self._unwanted: set[Role] = set()

    def running(self) -> Iterable[tuple[Role, EngineProcess]]:
        """The processes that were started and not yet ended."""
        return tuple(self._processes.items())

    def process(self, role: Role) -> EngineProcess | None:
        """The process of a role, if there is one."""
        return self._processes.get(role)

    def plan(self, role: Role) -> ProcessPlan:
        """The plan that the process of a role is started by."""
        return self._plans[role]

    def shrink(self, role: Role) -> str:
        """Start the role by its smaller plan from now on; in words what gave way, empty if that was done before."""
        before, smaller = self._plans[role], self._specs[role].smaller
        if smaller is None or smaller == before:
            return ""
        self._plans[role] = smaller
        return difference(before, smaller)

    async def launch(self, role: Role) -> tuple[EngineProcess, Ready, MemoryReport | None]:
        """Start an engine and wait until it answers. Raises LaunchError; the caller then calls `end`."""
        self._unwanted.discard(role)
        given = self._engine.flags
        try:
            return await self._launch(role)
        except LaunchError as error:
            if error.reference == "port-taken" and self._ports.get(role) and not self._port_wanted:
                await self.end(role, again=True)
                self._ports[role] = 0
                return await self._launch(role)
            if error.flag not in given - _ESSENTIAL_FLAGS:
                raise
            # It names the flag in its help and refuses it all the same: once more without.
            await self.end(role, again=True)
            if error.flag in self._engine.flags:
                self._engine = msgspec.structs.replace(self._engine, flags=self._engine.flags - {error.flag})
                self._on_note(f"{self._engine.label} refuses {error.flag}, which its own help names: left out.")
            return await self._launch(role)

    async def end(self, role: Role, *, again: bool = False) -> None:
        """End the process of a role, also one that is just being started; `again`: the role is still wanted."""
        if not again:
            self._unwanted.add(role)
        process = self._processes.get(role)
        if process is not None:
            await process.stop()
            self._guard.forget(process.pid)
            if self._processes.get(role) is process:
                del self._processes[role]

    async def end_all(self) -> None:
        """End every process, and what watched over them."""
        for role in self._specs:
            await self.end(role)
        self._guard.close()

    def upstream(self, role: Role, ready: Ready) -> Upstream:
        """What the gateway needs to know of an engine that is ready."""
        plan = self._plans[role]
        return Upstream(
            role=role,
            url=ready.url,
            api_key=self._key,
            model=plan.model,
            quant=plan.variant.quant,
            context=required_context(plan),
            batch=longest_input(plan),
            slots=plan.settings.parallel,
            engine=self._engine.kind.value,
            engine_version=self._engine.version,
        )

    async def _launch(self, role: Role) -> tuple[EngineProcess, Ready, MemoryReport | None]:
        spec, plan = self._specs[role], self._plans[role]
        await self._guard.start()
        self._stop_if_unwanted(role)
        process = await start(
            make_command(
                self._engine,
                plan,
                files=self._files(spec),
                api_key=self._key,
                token=self._token,
                environ=os.environ,
                port=self._ports.get(role, 0),
            ),
            name=f"The {role.value} engine ({self._engine.kind.value})",
            log=self._home.log(role.value),
            cwd=self._home.path,
            api_key=self._key,
        )
        self._guard.watch(process.pid)
        self._processes[role] = process
        self._stop_if_unwanted(role)
        self._on_started(role, process)
        probe = role_probe(role, self._key, embedding_length=plan.model.embedding_length)
        ready = await process.wait_ready(probe, stall_s=self._stall_s)
        if self._direct:
            # Clients know this address: after a restart it should be the same.
            self._ports[role] = int(ready.url.rpartition(":")[2])
        lines = process.lines
        report = read_memory_report(lines)
        check_gpu_use(plan, report, self._engine, log_works=bool(lines))
        return process, ready, report

    def _stop_if_unwanted(self, role: Role) -> None:
        if role in self._unwanted:
            raise LaunchError("It was ended before it was ready.", reference="stopped")

    def _files(self, spec: ProcessSpec) -> Files:
        return Files(
            model=Path(spec.model_path),
            key=self._key_file,
            config_home=self._home.path / "config",
            temp=self._home.path / "tmp",
        )


def check_gpu_use(plan: ProcessPlan, report: MemoryReport | None, engine: Engine, *, log_works: bool = True) -> None:
    """A plan for the GPU must not silently run on the CPU. Raises LaunchError `gpu-not-used`.

    The wheel ignores GPU layers on a CPU build without a line, and llama-server warns only (measured); an engine that
    says nothing of where the model lies cannot be believed either, unless no log could be written at all.
    """
    if plan.backend is Backend.CPU or not plan.n_gpu_layers or not log_works:
        return
    layers = report.offloaded[0] if report is not None and report.offloaded is not None else 0
    wanted = plan.n_gpu_layers
    if report is not None and report.offloaded is not None:
        wanted = min(wanted, report.offloaded[1])
    if report is not None and report.gpu_bytes and (report.offloaded is None or layers >= wanted):
        return
    if layers:
        what = f"put {layers} of {wanted} planned layers on the GPU; the rest would run on the processor, much slower"
    elif report is None:
        what = "does not say that it uses the GPU, and its log names no memory of one"
    else:
        what = "does not use the GPU, and would run on the processor, much slower"
    other = "--engine llama-server" if engine.kind is EngineKind.EMBEDDED else "--engine-path"
    raise LaunchError(
        f"{engine.label} {what}: it was built without support for it, or its driver is missing.",
        hint=f"Use an engine built for this GPU ({other}), or plan for the processor alone with --ram SIZE.",
        reference="gpu-not-used",
        permanent=True,
    )
