"""Which keys there are, read from the screens themselves, so that Help and the palette can leave none out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

from planner.tui.screens.page import Page
from planner.tui.screens.registry import DETAILS, TITLES, load_screen, offered

MOVING: Sequence[tuple[str, str]] = (
    ("up, down", "go through a list; page up, page down, home and end too"),
    ("tab, shift+tab", "go to the next or previous part of the screen"),
    ("mouse", "click a page, a row or a key in the last line; the wheel scrolls"),
    ("ctrl+p", "every command, page, model and theme by name"),
)
QUESTION: Sequence[tuple[str, str]] = (
    ("y", "yes"),
    ("n, escape", "no; enter too, until the answer is changed with left or right"),
)
_WORDS = {"question_mark": "?", "slash": "/", "plus": "+", "minus": "-", "space": "space", "left_square_bracket": "["}
_WORDS |= {"right_square_bracket": "]", "comma": ",", "full_stop": ".", "equals_sign": "=", "asterisk": "*"}


@dataclass(frozen=True)
class Key:
    """`keys` as people call them, the action they run, and what it does."""

    keys: str
    what: str
    action: str = ""


@dataclass(frozen=True)
class Group:
    """The keys of one screen. `page`: its name in the registry, empty for what is the same everywhere."""

    title: str
    keys: tuple[Key, ...]
    page: str = ""


def groups(app: type[App[None]], first: str) -> tuple[Group, ...]:
    """All keys; those of the screen `first` come before the others. Imports every screen."""
    names = [*offered(), *DETAILS]
    names.sort(key=lambda name: name != first)
    screens = [_screen(name) for name in names]
    pages = f"1-{len(TITLES)}" if len(offered()) == len(TITLES) else "1, 2, ..."
    everywhere = (
        Key(pages, "open a page"),
        *(Key(keys, what) for keys, what in MOVING),
        *(key for key in own_keys((app,)) if not key.action.startswith("open_page")),
    )
    question = tuple(Key(keys, what) for keys, what in QUESTION)
    return (
        *(group for group in screens[:1] if group.keys),
        Group("Everywhere", everywhere),
        *(group for group in screens[1:] if group.keys),
        Group("Questions", question),
    )


def own_keys(classes: Iterable[type]) -> tuple[Key, ...]:
    """The bindings that these classes declare, those of the same action together."""
    found: dict[str, tuple[list[str], str]] = {}
    for cls in classes:
        for binding in Binding.make_bindings(cls.__dict__.get("BINDINGS", ())):
            what = binding.tooltip or binding.description
            keys, known = found.setdefault(binding.action, ([], what))
            name = key_name(binding)
            if name not in keys:
                keys.append(name)
            if not known and what:
                found[binding.action] = (keys, what)
    return tuple(Key(", ".join(keys), what, action) for action, (keys, what) in found.items() if what)


def key_name(binding: Binding) -> str:
    """`?` for `question_mark`."""
    return _WORDS.get(binding.key, binding.key)


def _screen(name: str) -> Group:
    screen = load_screen(name)
    classes = [cls for cls in screen.__mro__ if issubclass(cls, Screen) and cls.__module__.startswith("planner.")]
    extra = tuple(Key(keys, what) for keys, what in screen.HELP_KEYS) if issubclass(screen, Page) else ()
    return Group(title_of(name, screen), (*extra, *own_keys(classes)), name)


def title_of(name: str, screen: type) -> str:
    """What Help calls a screen."""
    own = screen.HELP_TITLE if issubclass(screen, Page) else ""
    return own or TITLES.get(name) or name.capitalize()
