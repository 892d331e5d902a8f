"""Quitting by a key: at once, or after a question where it would end something."""

from typing import TYPE_CHECKING

from planner.tui.screens.confirm import Confirm

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp


class Quitting:
    """Part of the app; its methods run in the app's loop."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app
        self._question: Confirm | None = None

    def quit(self) -> None:
        """Asks only when that ends a launch or a download; a second time it no longer asks."""
        ends = self._ends()
        if not ends or self._app.screen is self._question:
            self._leave(True)
            return
        kept = "What was downloaded is kept."
        if self._app.downloader.at_stake:
            kept += " Next time downloads wait on their page where they stopped; space lets them go on."
        self._question = Confirm(
            f"Quit and {' and '.join(ends)}?", f"{kept} What is already running keeps running.", yes="Quit", no="Stay"
        )
        self._app.push_screen(self._question, self._leave)

    def _leave(self, yes: bool | None) -> None:
        if yes:
            self._app.exit(return_code=0)

    def _ends(self) -> list[str]:
        launch, count = self._app.state.launch, len(self._app.downloader.at_stake)
        ends = ["cancel the launch"] if launch is not None and launch.under_way else []
        if count:
            ends.append("stop the download" if count == 1 else f"stop {count} downloads")
        return ends
