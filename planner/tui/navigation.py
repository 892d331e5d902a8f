"""Going places: pages as they were left, details on top of them, and one message where there is no room."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.geometry import Size
from textual.screen import Screen

from planner.core.pairs.recommendation import Recommendation
from planner.tui.screens import registry
from planner.tui.screens.too_small import TooSmall, too_small

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp


class Navigation:
    """Part of the app; its methods run in the app's loop."""

    def __init__(self, app: "PlannerApp") -> None:
        self._app = app

    def _make(self, name: str, *arguments: object) -> Screen[Any]:
        make: Callable[..., Screen[Any]] = registry.load_screen(name)
        return make(*arguments, marks=self._app.marks)

    def offer_pages(self) -> None:
        """Each page is made when it is first gone to, and kept."""
        for name in registry.offered():
            self._app.add_mode(name, partial(self._make, name))

    def _open_in(self, page: str) -> list[Screen[Any]]:
        """What a page has open, from itself to what is on top; nothing where it was not gone to yet."""
        try:
            return self._app.get_screen_stack(page)
        except KeyError:
            return []

    @property
    def highlighted_plan(self) -> Recommendation | None:
        """The plan that Home looks at closer."""
        from planner.tui.widgets.plan_list import PlanList

        lists = [found for screen in self._open_in("home") for found in screen.query(PlanList)]
        return lists[0].selected if lists else None

    def open_page(self, name: str) -> None:
        """Go to a page as it was left; nothing happens when there is no such page."""
        if name in registry.offered():
            self._app.switch_mode(name)

    def open_detail(self, name: str, *arguments: object) -> None:
        """On top of this page; nothing happens when there is no such detail."""
        if name in registry.DETAILS:
            self._app.push_screen(self._make(name, *arguments))

    def open_once(self, name: str) -> None:
        """A detail of which one is enough: it is gone to, on whichever page it was left open."""
        if registry.name_of(self._app.screen) == name:
            return
        for page in registry.offered():
            if any(registry.name_of(screen) == name for screen in self._open_in(page)[-1:]):
                self.open_page(page)
                return
        self.open_detail(name)

    def open_help(self) -> None:
        """The keys, those of the screen in front first."""
        from planner.tui.keys import groups
        from planner.tui.screens.help import Help

        screen = self._app.screen
        if not isinstance(screen, Help):
            here = registry.name_of(screen) or self._app.current_mode
            self._app.push_screen(Help(groups(type(self._app), here), marks=self._app.marks))

    def act_on(self, page: str, action: str) -> None:
        """Go to a page, then do what one of its keys does."""
        self.open_page(page)
        self._app.call_after_refresh(self._app.run_action, action, self._app.screen)

    def fit(self, size: Size) -> None:
        """A terminal that is too small gets one message; what was there comes back with the room."""
        if not self._app.screen_stack:
            return
        covered = isinstance(self._app.screen, TooSmall)
        if too_small(size) and not covered:
            self._app.push_screen(TooSmall())
        elif covered and not too_small(size):
            self._app.pop_screen()
