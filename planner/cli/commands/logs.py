"""`planner logs`: what the engines say, without keys."""

import time
from collections.abc import Iterator
from pathlib import Path

import click

from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.errors import NoResultError

_POLL_S = 0.2


@click.command(short_help="What the engines say.")
@click.argument("role", required=False, metavar="[embedding|generation|reranker|supervisor]")
@click.option("--name", metavar="NAME", help="Which deployment, when there are several.")
@click.option("--lines", "-n", type=click.IntRange(1, 100_000), default=40, show_default=True, help="How many lines.")
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or until the deployment ends.")
@common_options
def logs(session: Session, *, role: str | None, name: str | None, lines: int, follow: bool) -> None:
    r"""Show the engines' logs; keys are removed. The logs of a stopped deployment stay until the next start.

    \b
    Examples:
      planner logs
      planner logs -f generation
    """
    from planner.serve.log_file import LogReader, log_tail
    from planner.serve.redact import redact

    folder = session.config.deployments_dir
    home = folder / (name or _newest(folder))
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


def _newest(folder: Path) -> str:
    """The deployment whose state changed last."""
    states = sorted(folder.glob("*/state.json"), key=lambda path: path.stat().st_mtime_ns)
    if not states:
        raise NoResultError(
            "There is no deployment, so there are no logs.",
            hint="Start one with: planner up",
            reference="no-such-deployment",
        )
    return states[-1].parent.name


def _files(home: Path, role: str | None) -> list[Path]:
    found = sorted((home / "logs").glob("*.log"))
    chosen = [path for path in found if role is None or path.stem == role]
    if not chosen:
        there: Iterator[str] = (path.stem for path in found)
        raise NoResultError(
            f"“{home.name}” has no log of {role}." if role else f"There is no deployment named “{home.name}”.",
            hint=f"It has: {', '.join(there)}." if found else "planner status lists what runs.",
            reference="no-such-log",
        )
    return chosen


def _running(home: Path) -> bool:
    from planner.serve.state import Home, supervisor_alive

    record = Home(home.parent, home.name).read_state()
    return record is not None and supervisor_alive(record)
