"""The last line: the keys that do something now. Help and quit are always there, whatever else has room."""

from itertools import accumulate

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.events import Resize
from textual.screen import Screen
from textual.widgets import Static

from planner.tui.marks import Marks

_GAP = "  "
ALWAYS = ("help", "quit")
"""Actions that are never pushed out. Where their letters are typed into a field, another key of theirs is named."""


class KeyBar(Horizontal):
    """Reads the bindings of its screen; a click does what the key does."""

    def __init__(self, *, marks: Marks) -> None:
        super().__init__()
        self.marks = marks
        self._always = ""

    def compose(self) -> ComposeResult:
        """What may be cut off, and what may not."""
        for name in ("keys-now", "keys-always"):
            keys = Static(id=name)
            keys.auto_links = False  # the keys' own colours, not those of links
            yield keys

    def on_mount(self) -> None:
        """Follow the bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)
        self.redraw()

    def on_resize(self, _event: Resize) -> None:
        """More or fewer keys have room."""
        self.redraw()

    def _follow(self, _screen: Screen[object]) -> None:
        self.redraw()

    def redraw(self) -> None:
        """Show the bindings of now, as many as there is room for, each of them whole."""
        now: list[tuple[str, int]] = []
        always: list[tuple[str, int]] = []
        shown: set[str] = set()
        actives = [active for active in self.screen.active_bindings.values() if active.enabled]
        spare = [active for active in actives if active.binding.action in ALWAYS and active.binding.key_display]
        spare.sort(key=lambda active: ALWAYS.index(active.binding.action))
        for active in (*(active for active in actives if active.binding.show), *spare):
            binding = active.binding
            if binding.action in shown:
                continue
            shown.add(binding.action)
            key = binding.key_display or binding.key
            space = "app" if active.node is self.app else "screen"
            label = f"[@click={space}.{binding.action}][b $primary]{key}[/] {binding.description}[/]"
            size = cell_len(f"{key} {binding.description}") + len(_GAP)
            (always if binding.action in ALWAYS else now).append((label, size))
        room = self.content_size.width - sum(size for _, size in always)
        kept = [
            label for (label, _), end in zip(now, accumulate(size for _, size in now), strict=True) if end <= room
        ]
        self.query_one("#keys-now", Static).update(_GAP.join(kept), layout=False)
        words = _GAP.join(label for label, _ in always)
        if words != self._always:
            self._always = words
            self.query_one("#keys-always", Static).update(words)
