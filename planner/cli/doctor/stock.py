"""Sections about what is here to run models with: engines, catalog, stores, deployments. Nothing is executed."""

from collections import Counter
from pathlib import Path

from planner.cli.doctor.report import Context, Found, Problem
from planner.errors import PlannerError
from planner.units import format_gb

_SHIELDED = ", runs shielded (only the gateway reaches it), as it may be below the least safe build"
_NO_ENGINE = 'planner up fetches a llamafile; or pip install "planner[embedded]", or put llama-server on PATH.'


def engines(context: Context) -> Found:
    """The engines `auto` may take: what is here, and what is known of each without starting it."""
    from planner.serve.engine.environment import system_config_file

    config = context.config
    chosen = " (planner engine use)" if config.engine_chosen else ""
    found: dict[str, object] = {"wanted": f"{config.engine}{chosen}"}
    problems: list[Problem] = []
    llamafile, problem = _llamafile(context)
    found["llamafile"] = llamafile
    problems += [problem] if problem is not None else []
    server = context.which("llama-server")
    found["llama-server"] = (
        "not on PATH" if server is None else f"on PATH, {_asked(Path(server).absolute(), config.cache_dir)}"
    )
    version = context.embedded()
    found["embedded"] = (
        'not installed: pip install "planner[embedded]"' if version is None else f"xllamacpp {version}".strip()
    )
    if config.engine_path is not None:
        found["engine_path"] = f"{config.engine_path}, {_asked(config.engine_path.absolute(), config.cache_dir)}"
    here = llamafile.startswith("here") or server is not None or version is not None or config.engine_path is not None
    if not here:
        way = f"Go online once. {_NO_ENGINE}" if config.offline else _NO_ENGINE
        problems.append(Problem("No engine is here yet.", way[0].upper() + way[1:]))
    if (shared := system_config_file(root=context.here.root)) is not None:
        problems.append(
            Problem(
                f"{shared} changes the settings of every llama.cpp here.",
                "Engines read it and cannot be told not to; remove what you do not need, or use --engine embedded.",
            )
        )
    return Found(found, tuple(problems))


def _llamafile(context: Context) -> tuple[str, Problem | None]:
    """Whether the pinned llamafile is in the store as it was fetched; it is not hashed again here."""
    from planner.catalog.location import data_dir
    from planner.fetch.engine import load_pins
    from planner.fetch.store import Store

    pin = load_pins(data_dir()).pin("llamafile", context.config.engine_variant)
    size = "" if pin.bytes is None else f" ({format_gb(pin.bytes)})"
    for place, entry in Store(context.config.engines_dir).noted():
        if entry.sha256 != pin.sha256:
            continue
        try:
            changed = place.final.stat().st_size != entry.bytes
        except OSError:
            changed = True
        if changed:
            text = f"llamafile {pin.version} is not what was fetched any more"
            return text, Problem(f"{text}.", "planner up fetches it again.")
        return f"here, {pin.version}{_SHIELDED if pin.below_minimum else ''}", None
    return f"not installed; planner up fetches {pin.version}{size}", None


def _asked(binary: Path, cache_dir: Path) -> str:
    """What an engine said of itself when it was asked before; it is not started for this."""
    from planner.serve.engine.capabilities import known_capabilities

    try:
        known = known_capabilities(binary, cache_dir=cache_dir)
    except PlannerError as error:
        return error.message
    if known is None:
        return "not asked yet what it can do; planner up asks it"
    devices = "" if known.devices is None else f", sees {', '.join(known.devices) or 'no GPU'}"
    old = ", older than the least safe build: update it" if known.below_floor else ""
    age = "" if known.below_floor is False else old + _SHIELDED
    cpu = ", built for another processor" if known.wrong_cpu else ""
    return f"version {known.version or 'unknown'}, build {known.build or 'unknown'}{devices}{age}{cpu}"


def catalog(context: Context) -> Found:
    """How much the catalog knows, and what of it could not be loaded."""
    from planner.catalog.loader import load, own_files

    loaded = load(context.config.catalogs, own=context.config.own_catalog_dir)
    roles = Counter(model.role.value for model in loaded.models)
    facts = {
        "models": len(loaded.models),
        "by_role": dict(sorted(roles.items())),
        "deployable": sum(model.deployable for model in loaded.models),
        "devices": len(loaded.devices),
        "own": len(own_files(context.config.own_catalog_dir)) + len(context.config.catalogs),
        "notes": list(loaded.notes),
    }
    broken = [note for note in loaded.notes if "left out" in note]
    return Found(
        facts, tuple(Problem(note, "planner catalog check tells more; reinstall planner.") for note in broken)
    )


def store(context: Context) -> Found:
    """Fetched models: how many files, how many bytes, and what does not look as it was fetched."""
    from planner.fetch.store import Store

    models = Store(context.config.models_dir)
    files = size = 0
    changed = 0
    for place, entry in models.noted():
        try:
            if place.final.stat().st_size == entry.bytes:
                files, size = files + 1, size + entry.bytes
                continue
        except OSError:
            pass
        changed += 1
    problems = []
    if changed:
        plural = "file is" if changed == 1 else "files are"
        problems.append(
            Problem(f"{changed} fetched {plural} missing or changed.", "planner fetch MODEL fetches it again.")
        )
    facts = {"files": files, "bytes": size, "changed": changed, "unfinished_bytes": models.unfinished_bytes()}
    return Found(facts, tuple(problems))


def deployments(context: Context) -> Found:
    """Names and states; what failed, with its own words, what does not work as it should, and what runs shielded."""
    from planner.core.launch.supervise import DeploymentState
    from planner.serve.deployments import list_deployments

    records = list_deployments(context.config.deployments_dir)
    problems = [
        Problem(
            f"The deployment “{record.name}” failed" + (f": {record.error.message}" if record.error else "."),
            f"planner logs {record.name}; planner stop {record.name} forgets it.",
        )
        for record in records
        if record.state is DeploymentState.FAILED
    ]
    problems += [
        Problem(f"The deployment “{record.name}” is degraded: {what}.", f"planner status {record.name} tells more.")
        for record in records
        if record.state is DeploymentState.DEGRADED
        for what in (
            *(
                f"{process.role} is {process.state.value}"
                for process in record.processes
                if process.state != "running"
            ),
            *(f"{check.name}: {check.detail.rstrip('.')}" for check in record.verification if not check.ok),
        )
    ]
    listed = [
        {
            "name": record.name,
            "state": record.state.value,
            "processes": [
                f"{p.role}: {p.model} {p.variant}, {p.engine} {p.engine_version}, {p.state.value}"
                + (_SHIELDED if record.shielded else "")
                for p in record.processes
            ],
        }
        for record in records
    ]
    return Found({"listed": listed}, tuple(problems))
