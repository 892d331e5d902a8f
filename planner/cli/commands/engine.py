"""`planner engine`: which programs can run models here, fetching a pinned one, and choosing."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from planner.cli import output
from planner.cli.session import Session, common_options
from planner.errors import EngineError, UsageError
from planner.units import format_gb

if TYPE_CHECKING:
    from planner.core.launch.engine_pins import EnginePin, EnginePins

_OTHERS = ("llama-server", "embedded", "auto")


@click.group()
def engine() -> None:
    r"""See which engines there are, fetch one, and choose the one to use.

    \b
    Examples:
      planner engine list
      planner engine install llamafile
      planner engine use embedded
    """


@engine.command("list")
@common_options
def list_engines(session: Session) -> None:
    r"""Show the pinned engines and what is here; nothing is started.

    \b
    Examples:
      planner engine list --json
    """
    pins = _pins()
    rows = [_pinned(session, pin, pins) for pin in pins.engines] + _own(session)
    config = session.config
    if session.as_json:
        output.write_json(
            {
                "engines": rows,
                "wanted": {
                    "engine": config.engine,
                    "variant": config.engine_variant,
                    "path": None if config.engine_path is None else str(config.engine_path),
                    "chosen": config.engine_chosen,
                },
                "minimum_llama_cpp_build": pins.minimum_llama_cpp_build,
                "newest_known_good_build": pins.newest_known_good_build,
            }
        )
        return
    table = [
        (
            "*" if row["wanted"] else "",
            str(row["name"]),
            str(row["version"] or "?"),
            str(row["variant"] or ""),
            format_gb(row["bytes"]) if isinstance(row["bytes"], int) else "",
            "yes" if row["installed"] else "",
            str(row["safety"]),
        )
        for row in rows
    ]
    output.write_lines(output.table(("", "ENGINE", "VERSION", "VARIANT", "SIZE", "HERE", "SAFETY"), table))
    session.note(
        f"Least safe llama.cpp build: b{pins.minimum_llama_cpp_build} ({pins.minimum_reason.partition(':')[0]})"
        + (f"; newest known good: b{pins.newest_known_good_build}." if pins.newest_known_good_build else ".")
    )
    where = "chosen with planner engine use" if config.engine_chosen else "by the settings"
    session.note(f"Wanted: {_wanted(session)}" + ("" if config.engine == "auto" else f", {where}") + ".")


@engine.command()
@click.argument("name", metavar="ENGINE[:VARIANT]", default="llamafile")
@common_options
def install(session: Session, name: str) -> None:
    r"""Download a pinned engine and check its sha256.

    \b
    Examples:
      planner engine install
      planner engine install llamafile:thin
    """
    from planner.cli.progress import ProgressLine
    from planner.fetch.engine import fetch_engine

    pins = _pins()
    if name.partition(":")[0] in _OTHERS:
        raise UsageError(
            f"{name} is not downloaded by planner.",
            hint='The embedded engine: pip install "planner[embedded]". llama-server: install llama.cpp.',
            reference="engine-not-pinned",
        )
    pin = _pin(pins, name)
    with ProgressLine(f"{pin.name} {pin.version}", quiet=session.quiet) as progress:
        path = fetch_engine(pin.name, session.config, pins, variant=pin.variant, progress=progress)
    if session.as_json:
        output.write_json({"engine": _pinned(session, pin, pins)})
        return
    size = format_gb(path.stat().st_size)
    session.note(f"{pin.name} {pin.version} ({pin.variant}): {size}, checked. {_safety(pin, pins)}.")
    output.write_lines([str(path)])


@engine.command()
@click.argument("name", metavar="ENGINE[:VARIANT]|FILE")
@common_options
def use(session: Session, name: str) -> None:
    r"""Choose what runs models from now on.

    That is a pinned engine, llama-server, embedded, a program of your own, or auto: the best one there is. A setting
    in config.toml or the environment comes before this choice, and so does --engine.

    \b
    Examples:
      planner engine use embedded
      planner engine use ~/llama.cpp/llama-server
      planner engine use auto
    """
    from planner.config import load_config
    from planner.files import replace_file

    choice = _choice(name)
    path = session.config.engine_choice
    try:
        if choice["engine"] == "auto":
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, msgspec.json.encode({"schema": 1, **choice}))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.",
            hint="Check the permissions, or set engine in config.toml.",
            reference="state-not-writable",
        ) from error
    now = load_config()
    effective = (now.engine, now.engine_path) == (choice["engine"], Path(choice["path"]) if choice["path"] else None)
    if session.as_json:
        output.write_json({**choice, "effective": effective, "file": str(path)})
        return
    session.note(f"{_named(choice)} will be used from now on.")
    if not effective:
        session.note(
            f"But {_named({'engine': now.engine, 'path': str(now.engine_path or '')})} is set in config.toml or in "
            "PLANNER_ENGINE, and that comes first."
        )
    if choice["engine"] == "llamafile" and not choice["path"] and not _is_here(session, choice["variant"]):
        session.note("It is not here yet: planner up fetches it, and so does planner engine install.")


def _choice(name: str) -> dict[str, str | None]:
    """What is meant by a name or a path. Raises UsageError or EngineError when it cannot be used."""
    if name in _OTHERS:
        _require_here(name)
        return {"engine": name, "variant": None, "path": None}
    kind, _, variant = name.partition(":")
    pins = _pins()
    if any(pin.name == kind for pin in pins.engines):
        pin = _pin(pins, name)
        return {"engine": pin.name, "variant": pin.variant if variant else None, "path": None}
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise UsageError(
            f"“{name}” is neither an engine nor a file.",
            hint=f"Engines: {', '.join(sorted({pin.name for pin in pins.engines} | set(_OTHERS)))}; or the path of a "
            "llama-server or llamafile.",
            reference="engine-unknown",
        )
    from planner.serve.engine.choice import is_llamafile

    return {"engine": "llamafile" if is_llamafile(path) else "llama-server", "variant": None, "path": str(path)}


def _require_here(name: str) -> None:
    from planner.serve.engine.engines import embedded_version

    if name == "embedded" and embedded_version() is None:
        raise EngineError(
            "The embedded engine (the xllamacpp package) is not installed.",
            hint='pip install "planner[embedded]"',
            reference="engine-missing",
        )
    if name == "llama-server" and shutil.which("llama-server") is None:
        raise EngineError(
            "There is no llama-server on PATH.",
            hint="Install llama.cpp, or give the program's path: planner engine use FILE",
            reference="engine-missing",
        )


def _pins() -> "EnginePins":
    from planner.catalog.location import data_dir
    from planner.fetch.engine import load_pins

    return load_pins(data_dir())


def _pin(pins: "EnginePins", name: str) -> "EnginePin":
    kind, _, variant = name.partition(":")
    return pins.pin(kind, variant or None)


def _is_here(session: Session, variant: str | None) -> bool:
    from planner.fetch.engine import cached_engine

    return cached_engine(session.config, _pins(), variant=variant) is not None


def _pinned(session: Session, pin: "EnginePin", pins: "EnginePins") -> dict[str, object]:
    from planner.fetch.engine import cached_engine

    config = session.config
    path = cached_engine(config, pins, pin.name, pin.variant)
    variant = config.engine_variant or next(
        (p.variant for p in pins.engines if p.name == pin.name and p.default), None
    )
    return {
        "name": pin.name,
        "version": pin.version,
        "variant": pin.variant,
        "bytes": pin.bytes,
        "sha256": pin.sha256,
        "llama_cpp_build": pin.llama_cpp_build,
        "below_minimum": pin.below_minimum,
        "licence": pin.licence,
        "installed": path is not None,
        "path": None if path is None else str(path),
        "wanted": config.engine == pin.name and config.engine_path is None and variant == pin.variant,
        "safety": _safety(pin, pins),
        "note": pin.note,
    }


def _own(session: Session) -> list[dict[str, object]]:
    """What is here without planner having fetched it."""
    from planner.serve.engine.engines import embedded_version

    config = session.config
    server, wheel = shutil.which("llama-server"), embedded_version()
    found = [("llama-server", server, None, server is not None), ("embedded", None, wheel, wheel is not None)]
    rows = [
        _row(name, path, version, here, wanted=config.engine == name and config.engine_path is None)
        for name, path, version, here in found
    ]
    if config.engine_path is not None:
        here = config.engine_path.is_file()
        rows.append(_row(config.engine, str(config.engine_path), None, here, wanted=True))
    return rows


def _row(name: str, path: str | None, version: str | None, here: bool, *, wanted: bool) -> dict[str, object]:
    nothing = dict.fromkeys(("variant", "bytes", "sha256", "llama_cpp_build", "below_minimum", "licence"))
    return {
        "name": name,
        "version": version,
        **nothing,
        "installed": here,
        "path": path,
        "wanted": wanted,
        "safety": "its build is looked at before it is used" if here else "",
        "note": "",
    }


def _safety(pin: "EnginePin", pins: "EnginePins") -> str:
    if not pin.below_minimum:
        return "no known holes"
    return f"older than b{pins.minimum_llama_cpp_build}: only behind the gateway, as planner starts it"


def _wanted(session: Session) -> str:
    config = session.config
    path = "" if config.engine_path is None else str(config.engine_path)
    return _named({"engine": config.engine, "variant": config.engine_variant, "path": path})


def _named(choice: dict[str, str | None]) -> str:
    if choice.get("path"):
        return f"{choice['engine']} at {choice['path']}"
    if choice["engine"] == "auto":
        return "auto, the best one there is"
    variant = choice.get("variant")
    return f"{choice['engine']}:{variant}" if variant else str(choice["engine"])
