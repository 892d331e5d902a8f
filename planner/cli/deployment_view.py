"""Deployments for people: what happens while one starts, what runs, and how to call it."""

from collections.abc import Callable

from planner.cli.output import table
from planner.serve.client_settings import curl_calls
from planner.serve.state import DeploymentRecord, ProcessRecord
from planner.units import format_gib, format_rate


def changes(tell: Callable[[str], None], *, running: bool = False) -> Callable[[DeploymentRecord], None]:
    """A listener that tells each change of a deployment once; `running`: it was told up to here already."""
    seen: dict[str, tuple[str, int]] = {}
    notes: set[str] = set()
    first = running

    def listen(record: DeploymentRecord) -> None:
        nonlocal first
        for note in record.notes:
            if note not in notes and not first:
                tell(f"note: {note}")
            notes.add(note)
        for process in record.processes:
            now = (str(process.state), process.restarts)
            if seen.get(process.role) != now and not first and (line := _change(process)):
                tell(line)
            seen[process.role] = now
        everything = all(process.state == "running" for process in record.processes)
        through = record.gateway_url is not None
        if everything and through and record.state == "starting" and seen.get("") != ("verifying", 0):
            seen[""] = ("verifying", 0)
            tell("checking the deployment through its gateway …")
        first = False

    return listen


def _change(process: ProcessRecord) -> str:
    match process.state:
        case "starting":
            return f"{process.role}: {'starting again' if process.restarts else 'loading'} …"
        case "running":
            return f"{process.role}: ready, {_memory(process)}"
        case "restarting":
            return f"{process.role}: {process.detail} It is started again."
        case "failed":
            return f"{process.role}: given up. {process.detail}"
        case _:
            return ""


def summary(record: DeploymentRecord, *, foreground: bool = False) -> list[str]:
    """The result of `up`: address, key, what was measured, and lines to paste."""
    where = f"{record.gateway_url}/v1" if record.gateway_url else "without a gateway"
    lines = [
        f"Running: {where}   (deployment “{record.name}”, {record.state})",
        *(f"{line[2:]}" for line in _reach_lines(record)),
        f"API key: {record.api_key_file}",
        "",
        *process_table(record),
    ]
    if record.verification:
        lines += ["", "Checked through the gateway:" if record.gateway_url else "Checked:"]
        lines += [f"  {'ok ' if check.ok else 'BAD'} {check.name}: {check.detail}" for check in record.verification]
    lines += ["", "Try:", *curl_lines(record), ""]
    if record.gateway_url is not None:
        lines.append("Clients: planner connect openai, langchain, llamaindex, open-webui or continue")
    stop = "planner stop" if record.name == "default" else f"planner stop {record.name}"
    lines.append(f"Stop: Ctrl-C here, or {stop} from elsewhere." if foreground else f"Stop: {stop}")
    return lines


def _reach_lines(record: DeploymentRecord) -> list[str]:
    """How it is reached besides the gateway's address on this machine, and why an engine is not."""
    lines = []
    if record.public_url is not None:
        lines.append(f"  Open to others: {record.public_url}/v1")
    if record.gateway_url is None:
        lines += [f"  {process.role}: {process.url}/v1" for process in record.processes if process.url is not None]
    if record.shielded:
        versions = " and ".join(dict.fromkeys(f"{p.engine} {p.engine_version}".strip() for p in record.processes))
        lines.append(
            f"  Shielded: {versions} is, or may be, below the least safe build; only the gateway reaches it."
        )
    return lines


def process_table(record: DeploymentRecord) -> list[str]:
    """Measured beside estimated, one line per engine."""
    rows = [
        (
            f"  {process.role}",
            f"{process.model} {process.variant}",
            str(process.state),
            _beside(process.memory_measured_bytes, process.memory_estimated_bytes, _gib),
            _beside(process.tg_measured, process.tg_estimated, format_rate),
            _beside(process.pp_measured, process.pp_estimated, format_rate),
        )
        for process in record.processes
    ]
    headings = ("  role", "model", "state", "buffers (est.)", "tg tok/s (est.)", "pp tok/s (est.)")
    return table(headings, rows, right=frozenset({3, 4, 5}))


def curl_lines(record: DeploymentRecord) -> list[str]:
    """Commands that work when pasted into a shell: the key is read from its file, not shown."""
    return [f"  {line}" for call in curl_calls(record) for line in call]


def _gib(size_bytes: float) -> str:
    return format_gib(round(size_bytes))


def _memory(process: ProcessRecord) -> str:
    if process.memory_measured_bytes is None:
        return "memory not reported"
    measured = format_gib(process.memory_measured_bytes)
    if process.memory_estimated_bytes is None:
        return f"its buffers take {measured}"
    return f"its buffers take {measured} ({format_gib(process.memory_estimated_bytes)} estimated)"


def _beside(measured: float | None, estimated: float | None, show: Callable[[float], str]) -> str:
    first = "-" if measured is None else show(measured)
    return first if estimated is None else f"{first} ({show(estimated)})"


def status_lines(record: DeploymentRecord) -> list[str]:
    """One deployment as `status` shows it."""
    lines = [f"{record.name}: {record.state}" + (f", {record.address}" if record.address else "")]
    if record.state in ("running", "degraded"):
        lines.append(f"  API key: {record.api_key_file}")
        lines += _reach_lines(record)
    lines += process_table(record)
    lines += [
        f"  {process.role}: started again {process.restarts} time{'' if process.restarts == 1 else 's'}"
        for process in record.processes
        if process.restarts
    ]
    lines += [f"  {process.role}: {process.detail}" for process in record.processes if process.detail]
    lines += [f"  BAD {check.name}: {check.detail}" for check in record.verification if not check.ok]
    if record.error is not None:
        lines.append(f"  {record.error.message}")
        if record.error.hint:
            lines.append(f"  → {record.error.hint}")
    return lines
