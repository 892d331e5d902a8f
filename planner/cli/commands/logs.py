"""`planner logs`: what the engines say, without keys."""

import contextlib
import time
from pathlib import Path

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.core.models.model import Role
from planner.errors import NoResultError, UsageError

_POLL_S = 0.2
_ACCESS = "access"
_ROLES = (*Role, "supervisor", _ACCESS)


@click.command(short_help="What the engines say.")
@click.argument("words", nargs=-1, metavar=f"[NAME] [{'|'.join(_ROLES)}]")
@click.option("--name", metavar="NAME", help="Which deployment, when there are several.")
@click.option("--lines", "-n", type=click.IntRange(1, 100_000), default=40, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or until the deployment ends.")
@common_options
def logs(session: Session, *, words: tuple[str, ...], name: str | None, lines: int, follow: bool) -> None:
    r"""Show the engines' logs; keys are removed. The logs of a stopped deployment stay until the next start.

    The role “access” is the gateway's: a line of JSON for every request, without its text.

    \b
    Examples:
      planner logs
      planner logs -f generation
      planner logs default supervisor
    """
    from planner.serve.engine.redact import redact
    from planner.serve.supervision.log_file import LogReader, log_tail

    folder = session.config.deployments_dir
    name, role = _wanted(folder, words, name)
    home = _home(folder, name or _newest(folder))
    found = _files(home, role)
    if session.as_json:
        body = [
            {"role": path.stem, "path": str(path), "lines": [redact(line) for line in log_tail(path, lines)]}
            for path in found
        ]
        write_json({"logs": body})
        return
    readers = [(path.stem, LogReader(path, path.stat().st_size)) for path in found]
    for path in found:
        write_lines(f"{path.stem} | {redact(line)}" for line in log_tail(path, lines))
    while follow:
        for stem, reader in readers:
            write_lines(f"{stem} | {redact(line)}" for line in reader.read())
        if not _running(home):
            return
        time.sleep(_POLL_S)


def _wanted(folder: Path, words: tuple[str, ...], name: str | None) -> tuple[str | None, str | None]:
    """Name and role. A single word is a role if it is one, as a deployment of that name can be given by --name."""
    match words:
        case ():
            return name, None
        case (word,) if word in _ROLES:
            return name, word
        case (word,) if name is not None:
            raise UsageError(f"There is no role “{word}”.", hint=f"Roles: {', '.join(_ROLES)}.")
        case (word,):
            if not _exists(folder, word):
                raise NoResultError(
                    f"“{word}” is neither a deployment nor a role.",
                    hint=f"Deployments: {_names(folder)}. Roles: {', '.join(_ROLES)}.",
                    reference="no-such-deployment",
                )
            return word, None
        case (first, role) if name is None:
            if role not in _ROLES:
                raise UsageError(f"There is no role “{role}”.", hint=f"Roles: {', '.join(_ROLES)}.")
            return first, role
    raise UsageError(
        "planner logs takes one deployment and one role.", hint="For example: planner logs default generation"
    )


def _exists(folder: Path, name: str) -> bool:
    from planner.serve.state import Home

    try:
        path = Home(folder, name).path
    except UsageError:
        return False
    return (path / "state.json").exists() or (path / "logs").is_dir()


def _deployments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*") if _exists(folder, path.name))


def _names(folder: Path) -> str:
    return ", ".join(_deployments(folder)) or "none"


def _home(folder: Path, name: str) -> Path:
    """The folder of a deployment that exists. Raises UsageError for a name that cannot be one, NoResultError."""
    from planner.serve.state import Home

    home = Home(folder, name).path
    if not _exists(folder, name):
        raise NoResultError(
            f"There is no deployment named “{name}”.",
            hint=f"Deployments: {_names(folder)}.",
            reference="no-such-deployment",
        )
    return home


def _newest(folder: Path) -> str:
    """The deployment whose state changed last."""
    found = _deployments(folder)
    if not found:
        raise NoResultError(
            "There is no deployment, so there are no logs.",
            hint="Start one with: planner up",
            reference="no-such-deployment",
        )
    return max(found, key=lambda name: _changed_ns(folder / name))


def _changed_ns(home: Path) -> int:
    """When its state changed; when its logs did, while it has none, as between the end and the start of a restart."""
    for path in (home / "state.json", home / "logs"):
        with contextlib.suppress(OSError):
            return path.stat().st_mtime_ns
    return 0


def _files(home: Path, role: str | None) -> list[Path]:
    found = sorted((home / "logs").glob("*.log"))
    # The requests are data, a line of JSON each: among the engines' words only when they are asked for.
    chosen = [path for path in found if path.stem == role or (role is None and path.stem != _ACCESS)]
    if not chosen:
        there = ", ".join(path.stem for path in found)
        raise NoResultError(
            f"“{home.name}” has no log of {role}." if role else f"“{home.name}” has no logs.",
            hint=f"It has: {there}." if there else "planner status lists what runs.",
            reference="no-such-log",
        )
    return chosen


def _running(home: Path) -> bool:
    from planner.serve.state import Home, supervisor_alive

    record = Home(home.parent, home.name).read_state()
    return record is not None and supervisor_alive(record)
