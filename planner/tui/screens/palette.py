"""The command palette: pages, actions of every screen, themes and models, by a few letters of their name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.types import IgnoreReturnCallbackType

from planner.tui.keys import groups
from planner.tui.screens.registry import DETAILS, TITLES, offered
from planner.units import printable

if TYPE_CHECKING:
    from planner.tui.app import PlannerApp

MAX_MODELS = 30
"""So many models are offered for a search; more letters find the others."""
_WORDS_SCORE = 0.5
_NOT_OFFERED = {"quit", "help", "command_palette", "back", "focus_next", "focus_previous", "copy_text"}


@dataclass(frozen=True)
class Command:
    """What is shown, a line about it, what it does, and how likely it is meant."""

    name: str
    about: str
    run: IgnoreReturnCallbackType
    weight: float = 0.5


class Commands(Provider):
    """Made when the palette opens; knows the screen under it."""

    @property
    def _planner(self) -> "PlannerApp":
        return cast("PlannerApp", self.app)

    async def startup(self) -> None:
        """Read the keys once."""
        self._all = [*self._here(), *self._pages(), *self._elsewhere(), *self._always(), *self._themes()]

    async def discover(self) -> Hits:
        """Everything but the models."""
        for command in self._all:
            yield DiscoveryHit(Content(command.name), command.run, command.name, command.about or None)

    async def search(self, query: str) -> Hits:
        """Commands by likeness, models by the letters they contain."""
        matcher = self.matcher(query)
        words = query.casefold().split()
        for command in [*self._all, *self._models(words)]:
            name = command.name.casefold()
            score = max(matcher.match(command.name), _WORDS_SCORE if all(word in name for word in words) else 0)
            if score > 0:
                shown = _marked(command.name, words)
                yield Hit(score * command.weight, shown, command.run, command.name, command.about or None)

    def _here(self) -> Iterator[Command]:
        """What the keys of the screen under the palette do now."""
        seen: set[str] = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            name = binding.action.rpartition(".")[2]
            if not binding.description or not active.enabled or name in _NOT_OFFERED or name in seen:
                continue
            if name.startswith("open_page") or not active.node.__module__.startswith("planner."):
                continue
            seen.add(name)
            yield Command(
                binding.description,
                f"on this screen: {binding.key_display or binding.key}",
                partial(self._run, binding.action, active.node),
                weight=1.0,
            )

    async def _run(self, action: str, node: object) -> None:
        await self.app.run_action(action, default_namespace=node)  # type: ignore[arg-type]  # a DOM node by origin

    def _pages(self) -> Iterator[Command]:
        for number, (name, title) in enumerate(TITLES.items(), 1):
            if name in offered():
                yield Command(f"Go to {title}", f"key {number}", partial(self._planner.open_page, name))

    def _elsewhere(self) -> Iterator[Command]:
        """The actions of the other pages: goes there first."""
        for group in groups(type(self._planner), self.app.current_mode):
            if not group.page or group.page in DETAILS or group.page == self.app.current_mode:
                continue
            for key in group.keys:
                if key.action and "." not in key.action:
                    run = partial(self._planner.act_on, group.page, key.action)
                    yield Command(f"{group.title}: {key.what}", f"goes to {group.title}, then {key.keys}", run)

    def _always(self) -> Iterator[Command]:
        yield Command("Help", "every key, and what the signs mean", self._planner.action_help)
        yield Command("Quit", "what is running keeps running", self._planner.action_quit)

    def _themes(self) -> Iterator[Command]:
        for name, about in self._planner.themes:
            yield Command(f"Theme: {name}", about, partial(self._planner.use_theme, name))

    def _models(self, words: Sequence[str]) -> Iterator[Command]:
        situation = self._planner.state.situation
        if situation is None or "model" not in DETAILS:
            return
        found = 0
        for model in situation.models:
            if all(word in model.id.casefold() for word in words):
                yield Command(
                    f"Model: {printable(model.id)}", "its page", partial(self._planner.open_model, model.id)
                )
                found += 1
                if found >= MAX_MODELS:
                    return


def _marked(name: str, words: Sequence[str]) -> Content:
    """The name, never read as markup, with what was typed in bold."""
    content = Content(name)
    for word in words:
        start = name.casefold().find(word)
        if start >= 0:
            content = content.stylize("bold $primary", start, start + len(word))
    return content
