"""One deployment closer: its models measured against estimated, what they do now, and what is wrong with it."""

from collections.abc import Callable

from textual.content import Content

from planner.core.launch.supervise import DeploymentState
from planner.serve.state import ENDED, DeploymentRecord, ProcessRecord
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.data.activity import Activity
from planner.tui.problem import Problem
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.sparkline import sparkline
from planner.units import format_count, format_gib, format_rate

STYLES = {
    "running": "$text-success",
    "starting": "$text-accent",
    "restarting": "$text-accent",
    "stopping": "$text-accent",
    "degraded": "$text-warning",
    "failed": "$text-error",
}
_LITTLE = 0.5
"""A speed below this share of its estimate stands out."""
_MUCH = 1.1
"""So does memory above this share."""


class ServerDetail(Fitted):
    """Figures, activity, and words."""

    record: DeploymentRecord | None = None
    activity: Activity | None = None
    silence: str = ""
    """Why there are no counters."""
    doing: str = ""
    """What is being done to it: stopping, restarting."""
    said: str = ""
    """What starting it again tells."""
    failed: Problem | None = None
    """Why it could not be started again."""

    def draw(self, width: int) -> Content:
        """Trouble first, then figures."""
        record = self.record
        if record is None:
            return Content("")
        parts = [*self._trouble(record, width), *self._table(record, width)]
        if record.public_url is not None:
            parts.append(hanging(self.marks.arrow, f"for others: {record.public_url}/v1", width))
        parts += self._activity(record, width)
        parts += [hanging(self.marks.warning, note, width, "$text-warning") for note in record.notes]
        if record.state not in ENDED and record.verification:
            parts += self._checks(record, width)
        return lines(parts)

    def _trouble(self, record: DeploymentRecord, width: int) -> list[Content]:
        found = []
        if self.said:
            found.append(hanging(self.marks.starting, self.said, width, "$text-accent"))
        if self.failed is not None:
            found.append(
                hanging(self.marks.failed, f"Not started again: {self.failed.message}", width, "$text-error")
            )
            if self.failed.hint:
                found.append(hanging(self.marks.arrow, self.failed.hint, width))
        if record.error is not None and not self.doing:
            found.append(hanging(self.marks.failed, record.error.message, width, "$text-error"))
            if record.error.hint:
                found.append(hanging(self.marks.arrow, record.error.hint, width))
        if record.state is DeploymentState.FAILED and not self.doing:
            found.append(hanging(self.marks.arrow, "x starts it again as it was, s forgets it.", width))
        known = "" if record.error is None else record.error.message
        found += [
            hanging(self.marks.warning, f"{process.role}: {process.detail}", width, "$text-warning")
            for process in record.processes
            if process.detail and process.detail not in known
        ]
        return [*found, Content("")] if found else []

    def _table(self, record: DeploymentRecord, width: int) -> list[Content]:
        restarts = any(process.restarts for process in record.processes)
        columns = (
            Column("role"),
            Column("model", minimum=24),
            Column("state"),
            Column("engine", minimum=17, leaves=5),
            Column("context", right=True, leaves=6),
            Column("memory", right=True),
            Column("estimated", right=True, leaves=2),
            Column("", right=True, leaves=3),
            Column("tok/s", right=True),
            Column("estimated", right=True, leaves=1),
            Column("", right=True, leaves=3),
            *((Column("restarts", right=True, leaves=4),) * restarts),
        )
        rows = [self._row(process, record, restarts=restarts) for process in record.processes]
        if not rows:
            return []
        table = Table(columns, rows, width, ellipsis=self.marks.ellipsis)
        return [table.header, *table.lines]

    def _row(self, process: ProcessRecord, record: DeploymentRecord, *, restarts: bool) -> Row:
        generating = process.role == "generation"
        speed = process.tg_measured if generating else process.pp_measured
        estimate = process.tg_estimated if generating else process.pp_estimated
        state = self.doing or str(process.state)
        shield = ", shielded" if record.shielded else ""
        memory, planned = process.memory_measured_bytes, process.memory_estimated_bytes
        return (
            Cell(process.role, "bold"),
            f"{process.model.rsplit('/', 1)[-1]} {process.variant}",
            Cell(state, STYLES.get(state, "")),
            Cell(f"{process.engine} {process.engine_version}{shield}", "$text-warning" if shield else MUTED),
            Cell(self._said(process.context, str), MUTED),
            Cell(self._said(memory, _gib), "bold"),
            Cell(self._said(planned, _gib), MUTED),
            _share(memory, planned, odd=lambda share: share > _MUCH),
            Cell(self._said(speed, format_rate), "bold"),
            Cell(self._said(estimate, format_rate), MUTED),
            _share(speed, estimate, odd=lambda share: share < _LITTLE),
            *((Cell(str(process.restarts), "$text-warning" if process.restarts else MUTED),) * restarts),
        )

    def _said(self, value: float | None, show: Callable[[float], str]) -> str:
        return self.marks.none if value is None else show(value)

    def _activity(self, record: DeploymentRecord, width: int) -> list[Content]:
        if record.address is None:
            direct = [f"{process.role}: {process.url}/v1" for process in record.processes if process.url is not None]
            return [hanging(self.marks.arrow, text, width) for text in direct] if record.state not in ENDED else []
        if self.silence:
            return [Content(""), hanging(self.marks.warning, f"No counters: {self.silence}.", width, "$text-warning")]
        if self.activity is None:
            return [Content(""), Content.styled(f"reading its counters {self.marks.ellipsis}", MUTED)]
        roles = [process.role for process in record.processes]
        names = max(map(len, (*roles, "requests")))
        words = {role: self._words(role) for role in roles}
        room = max(8, min(60, width - names - 4 - max(map(len, words.values()), default=0)))
        found = [
            Content.assemble(
                (role.ljust(names), "bold"),
                "  ",
                (sparkline(self.activity.rates.get(role, ()), room, self.marks).rjust(room), "$primary"),
                f"  {words[role]}",
            )
            for role in roles
        ]
        requests = Content.assemble(("requests".ljust(names), "bold"), "  ", self._requests(self.activity))
        return [Content(""), *found, requests, Content("")]

    def _words(self, role: str) -> str:
        """What a role does now, and did since its gateway started."""
        assert self.activity is not None
        rates, tokens = self.activity.rates.get(role, ()), self.activity.counters.tokens
        now = format_rate(rates[-1]) if rates else self.marks.none
        read, written = tokens.get((role, "prompt"), 0.0), tokens.get((role, "completion"), 0.0)
        if role == "generation":
            sums = f"{format_count(round(written))} written, {format_count(round(read))} read"
        else:
            sums = f"{format_count(round(read))} embedded"
        return f"{now.rjust(5)} tok/s now, {sums}"

    def _requests(self, activity: Activity) -> Content:
        counters = activity.counters
        parts: list[tuple[str, str]] = [(f"{counters.requests:,}", "bold"), (" in all", "")]
        if counters.errors:
            parts.append((f", {counters.errors:,} failed", "$text-error"))
        parts.append((f", {counters.inside} under way", ""))
        if counters.refused:
            parts.append((f", {counters.refused:,} turned away", "$text-warning"))
        if counters.requests:
            parts.append((f", {counters.seconds / counters.requests:.2g} s each", MUTED))
        return Content.assemble(*parts)

    def _checks(self, record: DeploymentRecord, width: int) -> list[Content]:
        bad = [check for check in record.verification if not check.ok]
        good = len(record.verification) - len(bad)
        found = [hanging(self.marks.failed, f"{check.name}: {check.detail}", width, "$text-error") for check in bad]
        if good:
            found.append(
                Content.assemble(
                    (self.marks.done, "$text-success"),
                    f" {good} checks through the gateway passed",
                    ("" if bad else ", all of them", MUTED),
                )
            )
        return found


def _share(value: float | None, estimate: float | None, *, odd: Callable[[float], bool]) -> Cell:
    """Measured as a share of estimated; a colour where that is far off."""
    if value is None or not estimate:
        return Cell("")
    share = value / estimate
    return Cell(f"{share:.0%}".replace("%", " %"), "$text-warning" if odd(share) else MUTED)


def _gib(size_bytes: float) -> str:
    return format_gib(round(size_bytes))
