"""`planner hardware`: what was found, how each value came about, and what could not be found out."""

from pathlib import Path

import click
import msgspec

from planner.cli.output import encode_json, write_json, write_lines
from planner.cli.session import Session, common_options, hardware_options
from planner.core.machines.hardware import Hardware
from planner.core.pages.views import hardware_view
from planner.errors import BadDataError, UsageError

_LARGEST_FILE_BYTES = 2**20


@click.command(short_help="The machine: what was found, and how.")
@hardware_options
@click.option("--measure", is_flag=True, help="Measure how fast this machine reads its memory (0.1 s), and keep it.")
@click.option(
    "--save", "file", metavar="FILE", type=click.Path(path_type=Path), help="Write the machine as JSON to a file."
)
@common_options
def hardware(session: Session, *, measure: bool, file: Path | None) -> None:
    r"""Show this machine, or the one the options describe, as planning sees it.

    \b
    Examples:
      planner hardware
      planner hardware --measure                  better estimates of what runs on the processor
      planner hardware --save machine.json        plan for it elsewhere: --hardware machine.json
      planner hardware --gpu "2x RTX 3090" --ram 64
    """
    if measure and session.simulated:
        raise UsageError(
            "--measure measures this machine, and the other options describe another.",
            hint="Leave them out; or leave out --measure and give what you know with --bandwidth.",
            reference="measure-described",
        )
    if file is not None:
        _check_target(file)
    machine = _measured(session) if measure else session.hardware
    if file is not None:
        _save(session, file, machine)
    if session.as_json:
        write_json(hardware_view(machine))
    else:
        from planner.cli.hardware_page import page

        write_lines(page(machine))


def _measured(session: Session) -> Hardware:
    """This machine with the bandwidth of its memory, measured now and kept for later runs."""
    from datetime import UTC, datetime

    from planner.probe.machine_store import StoredBandwidth, machine_id, with_bandwidth, write_bandwidth
    from planner.probe.surroundings import Surroundings
    from planner.probe.system.bandwidth import last_level_cache_bytes, measure_bandwidth

    machine, here = session.hardware, Surroundings()
    host = machine.host
    found = measure_bandwidth(
        host.cpu.cores_usable, host.memory_available_bytes, cache_bytes=last_level_cache_bytes(here)
    )
    stored = StoredBandwidth(
        machine=machine_id(here, host),
        memory_bandwidth_gbps=found.gbps,
        threads=found.threads,
        measured_on=datetime.now(UTC).date().isoformat(),
    )
    try:
        write_bandwidth(session.config.state_dir, stored)
    except OSError as error:
        session.note(
            f"note: the measurement holds for this run only: {session.config.state_dir} cannot be written "
            f"({error.strerror or error})."
        )
    return msgspec.structs.replace(machine, host=with_bandwidth(host, stored))


def _check_target(file: Path) -> None:
    """Refuse to write over what is no hardware file. Raises UsageError."""
    if not file.parent.is_dir():
        raise UsageError(
            f"{file} cannot be written: there is no folder {file.parent}.",
            hint="Make the folder first, or save to another.",
            reference="save-no-folder",
        )
    if not file.exists() or _is_hardware_file(file):
        return
    raise UsageError(
        f"{file} exists and is no hardware file, so it is not overwritten.",
        hint="Give another name, or remove it first.",
        reference="save-would-overwrite",
    )


def _is_hardware_file(file: Path) -> bool:
    """Whether a file is one of ours, or empty as a new temporary file is."""
    from planner.core.machines.hardware_file import hardware_from_json

    try:
        if not file.is_file() or file.stat().st_size > _LARGEST_FILE_BYTES:
            return False
        content = file.read_bytes()
        return not content or bool(hardware_from_json(content))
    except (OSError, BadDataError):
        return False


def _save(session: Session, file: Path, machine: Hardware) -> None:
    """Write the machine as `--json` prints it, in one step. Raises UsageError.

    What is free on this machine comes and goes, and in a file a budget is a limit: it gets those of an idle machine.
    """
    from planner.core.memory.readings import with_whole_budgets
    from planner.files import replace_file

    if not session.simulated:
        machine = with_whole_budgets(machine)
    try:
        replace_file(file.resolve(), encode_json(hardware_view(machine)), mode=0o666)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written: {error.strerror or error}.",
            hint="Save to a folder of yours.",
            reference="save-not-writable",
        ) from error
    session.note(f"Saved. Plan for it: planner recommend --hardware {file}")
