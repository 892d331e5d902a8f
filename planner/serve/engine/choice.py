"""Which engine to use, and why: asked for, found, or the one that needs nothing but a package index."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from planner.core.launch.launch_plan import EngineKind
from planner.errors import EngineError, PlannerError, UsageError
from planner.serve.engine.built_in import built_in_arguments, overridden
from planner.serve.engine.capabilities import FLOOR_BUILD, Capabilities, probe_binary
from planner.serve.engine.engines import Engine, embedded_devices, embedded_engine, embedded_version, external_engine

AUTO = "auto"


def find_program(name: str) -> str | None:
    """The program of that name in an absolute folder of PATH: the folder one happens to stand in provides none."""
    folders = [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if Path(folder).is_absolute()]
    return shutil.which(name, path=os.pathsep.join(folders))


_LLAMAFILE_MAGIC = (b"MZqFpD='", b"jartsr='")
_NO_GPU_HINT = (
    "Use an engine built for this GPU: planner engine install fetches a llamafile, --engine-path names a "
    "llama-server of yours. Or plan for the processor alone: --ram SIZE."
)
_NO_ENGINE_HINT = (
    'pip install "planner[embedded]" gets one from the package index; or install llama.cpp so that llama-server is '
    "on PATH, or give a llamafile or llama-server with --engine-path."
)


@dataclass(frozen=True)
class Sources:
    """Where engines may come from; everything is a seam.

    `cached_llamafile` returns a verified binary that is already here; `fetch_llamafile` downloads one (None when
    that is not possible: offline, or not wanted).
    """

    cache_dir: Path
    cached_llamafile: Callable[[], Path | None] = lambda: None
    fetch_llamafile: Callable[[], Path] | None = None
    which: Callable[[str], str | None] = find_program
    embedded: Callable[[], str | None] = embedded_version
    embedded_devices: Callable[[], tuple[str, ...] | None] = embedded_devices
    probe: Callable[..., Capabilities] = probe_binary


def choose_engine(
    wanted: str,
    sources: Sources,
    *,
    path: Path | None = None,
    starter: bool = False,
    needs_gpu: bool = False,
    needs_flags: frozenset[str] = frozenset(),
    unshielded: str = "",
) -> Engine:
    """The engine to use; its `reason` says why. Raises EngineError when there is none, UsageError for a bad wish.

    `auto` prefers a llamafile, then llama-server on PATH, then the embedded wheel. `starter` prefers the wheel: it
    is installed with the package, and a 368 MB engine for a pair of 125 MB makes no sense. With `needs_gpu` an
    engine that says it sees no GPU is passed over, and a program whose help lacks one of `needs_flags`. `unshielded`
    is the wish (an option's name) for which one below the least safe build will not do.
    """
    if wanted not in (AUTO, *EngineKind):
        raise UsageError(
            f"There is no engine “{wanted}”.",
            hint=f"Known: {AUTO}, {', '.join(EngineKind)}.",
            reference="engine-unknown",
        )
    if path is not None or wanted != AUTO:
        engine = _named(EngineKind(wanted), sources) if path is None else _from_path(wanted, path, sources)
        if unshielded and engine.shielded:
            raise EngineError(
                f"{engine.label} is not to be run with {unshielded}: {_why_shielded(engine)}",
                hint=f"Leave out {unshielded}, or use llama.cpp b{FLOOR_BUILD} or newer, or --engine embedded.",
                reference="engine-shielded",
            )
        return engine
    return _automatic(sources, starter=starter, needs_gpu=needs_gpu, needs_flags=needs_flags, unshielded=unshielded)


def _why_shielded(engine: Engine) -> str:
    return engine.notes[0] if engine.notes else f"it is not known to be b{FLOOR_BUILD} or newer."


def _from_path(wanted: str, path: Path, sources: Sources) -> Engine:
    if wanted == EngineKind.EMBEDDED:
        raise UsageError("--engine embedded has no path: it is the xllamacpp package.", hint="Drop --engine-path.")
    path = path.expanduser().absolute()
    kind = (
        EngineKind(wanted)
        if wanted != AUTO
        else (EngineKind.LLAMAFILE if is_llamafile(path) else EngineKind.LLAMA_SERVER)
    )
    return _external(kind, path, sources, reason="its path was given")


def _named(kind: EngineKind, sources: Sources) -> Engine:
    reason = "it was asked for"
    match kind:
        case EngineKind.EMBEDDED:
            version = sources.embedded()
            if version is None:
                raise EngineError(
                    "The embedded engine (the xllamacpp package) is not installed.",
                    hint='pip install "planner[embedded]"',
                    reference="engine-missing",
                )
            return embedded_engine(version, reason=reason)
        case EngineKind.LLAMA_SERVER:
            found = sources.which("llama-server")
            if found is None:
                raise EngineError(
                    "There is no llama-server on PATH.",
                    hint="Install llama.cpp, give its path with --engine-path, or use --engine embedded.",
                    reference="engine-missing",
                )
            return _external(kind, Path(found).absolute(), sources, reason=reason)
        case EngineKind.LLAMAFILE:
            binary = sources.cached_llamafile()
            if binary is None and sources.fetch_llamafile is not None:
                binary = sources.fetch_llamafile()
            if binary is None:
                raise EngineError(
                    "There is no llamafile here, and it cannot be downloaded now.",
                    hint="Go online once, give its path with --engine-path, or use --engine embedded.",
                    reference="engine-missing",
                )
            return _external(kind, binary, sources, reason=reason)


def _automatic(
    sources: Sources, *, starter: bool, needs_gpu: bool, needs_flags: frozenset[str], unshielded: str
) -> Engine:
    """Try in order of preference; what is passed over is said in the notes of what is taken."""
    finders: tuple[Callable[[Sources], Engine | None], ...] = (_cached, _fetched, _on_path, _embedded)
    if starter:
        finders = (_embedded, _cached, _on_path, _fetched)
    passed: list[str] = []
    blind = False
    for find in finders:
        try:
            engine = find(sources)
        except PlannerError as error:
            passed.append(error.message)
            continue
        if engine is not None and unshielded and engine.shielded:
            passed.append(f"{engine.label} is not to be run with {unshielded}.")
        elif engine is not None and needs_gpu and _sees_no_gpu(engine, sources):
            passed.append(f"{engine.label} sees no GPU, and the plan uses one.")
            blind = True
        elif engine is not None and (missing := _missing(engine, needs_flags)):
            passed.append(f"{engine.label} does not know {', '.join(missing)}, and the plan needs it.")
        elif engine is not None:
            notes = (*engine.notes, *(f"Passed over: {text}" for text in passed))
            return msgspec.structs.replace(engine, notes=notes)
    raise EngineError(
        " ".join(["There is no engine to run a model with.", *passed]),
        hint=_NO_GPU_HINT if blind else _NO_ENGINE_HINT,
        reference="engine-missing",
    )


def _embedded(sources: Sources) -> Engine | None:
    version = sources.embedded()
    return None if version is None else embedded_engine(version, reason="it is installed and needs nothing more")


def _cached(sources: Sources) -> Engine | None:
    binary = sources.cached_llamafile()
    if binary is None:
        return None
    return _external(EngineKind.LLAMAFILE, binary, sources, reason="it was downloaded before")


def _fetched(sources: Sources) -> Engine | None:
    if sources.fetch_llamafile is None:
        return None
    return _external(EngineKind.LLAMAFILE, sources.fetch_llamafile(), sources, reason="it could be downloaded")


def _on_path(sources: Sources) -> Engine | None:
    found = sources.which("llama-server")
    if found is None:
        return None
    return _external(EngineKind.LLAMA_SERVER, Path(found).absolute(), sources, reason="it is on PATH")


def _missing(engine: Engine, needs_flags: frozenset[str]) -> list[str]:
    """Flags that a program's help lacks; the embedded engine is given values, not flags."""
    return [] if engine.kind is EngineKind.EMBEDDED else sorted(needs_flags - engine.flags)


def _sees_no_gpu(engine: Engine, sources: Sources) -> bool:
    devices = sources.embedded_devices() if engine.kind is EngineKind.EMBEDDED else engine.devices
    return devices == ()


def _external(kind: EngineKind, binary: Path, sources: Sources, *, reason: str) -> Engine:
    # Before it is asked anything: what is built in counts for its answers too.
    arguments = built_in_arguments(binary) if binary.is_file() else ()
    notes = overridden(arguments, binary=binary) if arguments else ()
    capabilities = sources.probe(kind, binary, cache_dir=sources.cache_dir)
    engine = external_engine(kind, binary, capabilities, reason=reason)
    return msgspec.structs.replace(engine, notes=(*engine.notes, *notes))


def is_llamafile(path: Path) -> bool:
    """Whether a file begins like a llamafile; it is not started."""
    try:
        with path.open("rb") as file:
            return file.read(8) in _LLAMAFILE_MAGIC
    except OSError:
        return False
