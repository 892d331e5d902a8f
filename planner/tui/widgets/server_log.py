"""The log of a deployment, followed as it grows: who scrolls up reads in peace, the end follows again."""

from rich.text import Text
from textual import on, work
from textual.events import Resize
from textual.message import Message
from textual.widgets import RichLog

from planner.tui.data.server_logs import Follower
from planner.tui.marks import Marks
from planner.tui.problem import Problem
from planner.tui.workers import in_background
from planner.units import printable

DEADLINE_S = 20.0
_MAX_LINES = 3000


class LogRead(Message):
    """New lines; `follower` tells whether they are still wanted."""

    def __init__(self, found: list[tuple[str, str]] | Problem, follower: Follower) -> None:
        super().__init__()
        self.found = found
        self.follower = follower


class ServerLog(RichLog):
    """Each line with the role it comes from, unless one role alone is followed."""

    def __init__(self, *, marks: Marks, id: str | None = None) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id, wrap=True, markup=False, highlight=False, min_width=20, max_lines=_MAX_LINES)
        self.marks = marks
        self._followed = ("", "")
        self._follower: Follower | None = None
        self._busy = False
        self._width = 0
        self._at_the_end = True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Remember whether the end is being read."""
        super().watch_scroll_y(old_value, new_value)
        self._at_the_end = self.is_vertical_scroll_end

    def on_resize(self, event: Resize) -> None:
        """Lines are wrapped once; for another width they are read again."""
        before, self._width = self._width, event.size.width
        if before and before != self._width:
            self.begin_anew()
        elif self._at_the_end:  # less room must not leave the last lines below
            self.call_after_refresh(self.scroll_end, animate=False)

    def follow(self, name: str, role: str, *, alone: bool) -> None:
        """The log of a deployment's role, of all with an empty one. Nothing happens when it is followed already."""
        self.border_title = f"Log: {role or 'all'}" + ("" if alone or not name else f" of {name}")
        self.border_subtitle = "l takes another"
        if (name, role) == self._followed:
            return
        self._followed = (name, role)
        self.begin_anew()

    def begin_anew(self) -> None:
        """The files are others now."""
        self.clear()
        self._follower = None
        name, role = self._followed
        if not name:
            return
        services = self.app.services  # type: ignore[attr-defined]  # our app
        try:
            self._follower = services.follow(name, (role,) if role else ())
        except Exception as error:  # noqa: BLE001  # a name that is no folder's; the page goes on
            self.write(Text(Problem.of(error).message))
        self.read()

    def read(self) -> None:
        """Look for more, unless that is being done."""
        if self._follower is not None and not self._busy:
            self._busy = True
            self._read(self._follower)

    @work(exit_on_error=False, group="log", description="log")
    async def _read(self, follower: Follower) -> None:
        self.post_message(LogRead(await in_background(follower.read, deadline_s=DEADLINE_S), follower))

    @on(LogRead)
    def _log_read(self, message: LogRead) -> None:
        message.stop()
        self._busy = False
        if message.follower is not self._follower:
            self.read()
            return
        if isinstance(message.found, Problem):
            self.write(Text(f"The log cannot be read: {message.found.message}"))
            self._follower = None
            return
        at_the_end = self._at_the_end
        for role, line in message.found:
            prefix = "" if self._followed[1] else f"{role} "
            self.write(Text.assemble((prefix, "dim"), printable(line)), expand=True, scroll_end=False)
        if at_the_end and message.found:
            self.scroll_end(animate=False)
