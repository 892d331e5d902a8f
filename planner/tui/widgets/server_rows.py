"""The deployments as rows of a table: state, address, how long, how fast now."""

from collections.abc import Sequence
from datetime import datetime

from rich.cells import cell_len

from planner.serve.state import DeploymentRecord
from planner.tui.columns import MUTED, Cell, Column, Row
from planner.tui.data.activity import Activity
from planner.tui.marks import Marks
from planner.tui.widgets.server_detail import STYLES
from planner.units import format_rate

_COLUMNS = (
    Column("name", minimum=8),
    Column("state"),
    Column("address", leaves=1),
    Column("for", right=True, leaves=3),
    Column("tok/s", right=True),
    Column("requests", right=True, leaves=2),
    Column("models", minimum=12, leaves=4),
)


def server_columns(rows: Sequence[Row]) -> tuple[tuple[Column, ...], tuple[int, ...]]:
    """The columns, and how wide their cells are."""
    natural = tuple(
        max([cell_len(column.title), *(cell_len(_text(row[i])) for row in rows)]) for i, column in enumerate(_COLUMNS)
    )
    return _COLUMNS, natural


def server_row(record: DeploymentRecord, activity: Activity | None, doing: str, now_s: float, marks: Marks) -> Row:
    """One deployment. `now_s` in seconds since 1970."""
    state = doing or str(record.state)
    rates = [activity.rates[role][-1] for role in activity.rates if activity.rates[role]] if activity else []
    requests = activity.counters.requests if activity is not None else None
    return (
        Cell(record.name, "bold"),
        Cell(f"{sign_of(state, marks)} {state}", STYLES.get(state, "")),
        record.address or marks.none,
        Cell(for_words(record.started_at, now_s) if record.address else "", MUTED),
        Cell(format_rate(sum(rates)) if rates else marks.none, "bold"),
        marks.none if requests is None else f"{requests:,}",
        Cell(" + ".join(process.model.rsplit("/", 1)[-1] for process in record.processes), MUTED),
    )


def sign_of(state: str, marks: Marks) -> str:
    """A sign for a state; no two that matter look alike."""
    known = {
        "running": marks.running,
        "degraded": marks.degraded,
        "failed": marks.failed,
        "stopped": marks.stopped,
    }
    return known.get(state, marks.starting)


def for_words(started_at: str, now_s: float) -> str:
    """`42 s`, `12 min`, `3 h 05 min`, `4 days` since an ISO 8601 time; empty when that is none."""
    try:
        seconds = max(0, round(now_s - datetime.fromisoformat(started_at).timestamp()))
    except ValueError:
        return ""
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d} min" if hours < 48 else f"{hours // 24} days"


def _text(cell: Cell | str) -> str:
    return cell if isinstance(cell, str) else cell.text
