"""The filters of the offers as items of a line, and what is said when nothing passes them."""

from textual.content import Content

from planner.core.pages.offer_view import TIERS, provider_name
from planner.tui.columns import hanging, lines
from planner.tui.data.offer_filter import ORDERS, Choice, Found
from planner.tui.marks import Marks
from planner.tui.widgets.filter_line import Item


def filter_items(choice: Choice, pair: int, pairs: int) -> list[Item]:
    """What stands in the line; `pair` is the number, from 0, of `pairs`."""
    vram = f"{choice.vram} GiB up" if choice.vram else "any"
    tier = TIERS[choice.tier].lower() if choice.tier else "any"
    provider = provider_name(choice.provider) if choice.provider else "any"
    price = f"${choice.price}" if choice.price else "any"
    holds = "holds the pair" if choice.holds else "any size"
    every = "every offer" if choice.every else "best of a kind"
    return [
        Item("v", "memory", vram, "step('vram', 1)", bool(choice.vram)),
        Item("t", "tier", tier, "step('tier', 1)", bool(choice.tier)),
        Item("o", "provider", provider, "step('provider', 1)", bool(choice.provider)),
        Item("m", "at most", price, "step('price', 1)", bool(choice.price)),
        Item("s", "by", ORDERS[choice.order], "step('order', 1)", choice.order != "tokens"),
        Item("h", "", holds, "switch('holds')", not choice.holds),
        Item("a", "", every, "switch('every')", choice.every),
        *([Item("p", "pair", f"{pair + 1} of {pairs}", "pair(1)", pair > 0)] if pairs > 1 else []),
    ]


def no_offers(found: Found, choice: Choice, width: int, marks: Marks) -> Content:
    """Why the table is empty, and what to do."""
    if not found.known:
        parts = [
            hanging(marks.failed, "No prices are known.", width, "$text-error"),
            hanging(marks.arrow, "r asks the providers; below stands how they did.", width),
        ]
    elif choice.holds and found.too_small and found.too_small == found.matching:
        parts = [
            hanging(marks.stopped, f"None of the {found.matching} that match holds this pair whole.", width),
            hanging(marks.arrow, "h shows them all the same, p takes another pair.", width),
        ]
    else:
        parts = [
            hanging(marks.stopped, f"None of {found.known} offers matches.", width),
            hanging(marks.arrow, "x clears the filters.", width),
        ]
    return lines(parts)
