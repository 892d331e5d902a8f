"""How clients reach a deployment: shown as text, copied as a whole; the key is copied by itself and never shown."""

from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from planner.serve.client_settings import settings_text
from planner.serve.state import DeploymentRecord
from planner.tui.problem import Problem
from planner.tui.workers import in_background

_DEADLINE_S = 5.0
_COPIED = "Copied. If nothing arrives, the terminal does not take it (OSC 52): select the text with shift and drag."


class ClientSettings(ModalScreen[None]):
    """The text is in the clipboard when this opens, where the terminal lets programs write there (OSC 52)."""

    CSS_PATH = "client_settings.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss", "Close"),
        Binding("c", "copy", "Copy the settings"),
        Binding("k", "copy_key", "Copy the API key"),
    ]

    def __init__(self, record: DeploymentRecord) -> None:
        super().__init__()
        self._record = record

    def compose(self) -> ComposeResult:
        """The text, and what was copied."""
        with VerticalScroll(id="settings-box") as box:
            box.border_title = f"Settings for clients of “{self._record.name}”"
            box.border_subtitle = "c copies all, k the key alone, escape closes"
            yield Static(settings_text(self._record).rstrip(), id="settings-text", markup=False)
            yield Static(id="settings-said", markup=False)

    def on_mount(self) -> None:
        """What somebody opened this for."""
        self.action_copy()

    def action_copy(self) -> None:
        """Copy the text."""
        self.app.copy_to_clipboard(settings_text(self._record))
        self._say(_COPIED)

    def action_copy_key(self) -> None:
        """Copy the key, for clients that cannot read a file."""
        self._copy_key()

    @work(exclusive=True, exit_on_error=False, description="read")
    async def _copy_key(self) -> None:
        path = Path(self._record.api_key_file)
        key = await in_background(lambda: path.read_text(encoding="ascii").strip(), deadline_s=_DEADLINE_S)
        if isinstance(key, Problem) or not key:
            self._say(f"{path} could not be read.")
            return
        self.app.copy_to_clipboard(key)
        self._say("The API key was copied. It opens this deployment alone.")

    def _say(self, text: str) -> None:
        self.query_one("#settings-said", Static).update(text)
