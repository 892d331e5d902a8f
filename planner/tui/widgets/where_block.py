"""Where should this run? The answer in words, this machine beside devices and rentals, and what that rests on."""

from textual.content import Content

from planner.core.costs.cost import Spread
from planner.core.costs.where import Place
from planner.core.memory.estimate import Verdict
from planner.core.pages.offer_view import usd, usd_range
from planner.tui.columns import MUTED, Cell, Column, Row, Table, hanging, lines
from planner.tui.data.price_words import (
    ProviderLine,
    break_even,
    electricity_words,
    hours_words,
    place_name,
    provider_lines,
    range_words,
    where_words,
)
from planner.tui.data.prices import Listing, Reckoning
from planner.tui.widgets.fitted import Fitted

_KINDS = {"here": "yours", "device": "to own", "rental": "to rent"}
_STYLES = {"here": "bold $success", "device": MUTED, "rental": ""}
_WIDE = 110


class WhereBlock(Fitted):
    """This machine comes first, then the cheapest tokens."""

    listing: Listing | None = None
    reckoning: Reckoning | None = None
    waiting = ""

    def draw(self, width: int) -> Content:
        """Sentences, a table, what was assumed."""
        if self.listing is None or self.reckoning is None:
            return Content.styled(f"{self.waiting or 'reading prices'} {self.marks.ellipsis}", MUTED)
        names = self.listing.names
        first, *more = where_words(self.reckoning, names)
        parts = [hanging(self.marks.arrow, first, width, "bold"), *(hanging(" ", text, width) for text in more)]
        if self.reckoning.places:
            parts += [Content(""), *self._table(self.reckoning, names, width), Content("")]
            parts.append(hanging(self.marks.note, electricity_words(self.reckoning.own), width, MUTED))
            parts.append(
                hanging(
                    self.marks.note,
                    "What is yours or to own costs its electricity alone here. Ranges hold 8 times out of 10.",
                    width,
                    MUTED,
                )
            )
        return lines(parts)

    def _table(self, reckoning: Reckoning, names: dict[str, str], width: int) -> list[Content]:
        bought = reckoning.own is not None and reckoning.own.price_usd is not None
        columns = (
            Column("where", minimum=18),
            Column("", leaves=3),
            Column("fits", leaves=2),
            Column("tok/s", right=True, leaves=1),
            Column("$/h", right=True),
            Column("$/M tokens", right=True),
            *((Column("paid off after", right=True),) * bought),
        )
        ordered = sorted(reckoning.places, key=lambda place: place.kind != "here")
        rows = [self._row(place, reckoning, names, ranges=width >= _WIDE, bought=bought) for place in ordered]
        table = Table(columns, rows, width, ellipsis=self.marks.ellipsis)
        return [table.header, *table.lines]

    def _row(self, place: Place, reckoning: Reckoning, names: dict[str, str], *, ranges: bool, bought: bool) -> Row:
        unknown = Cell("unknown", MUTED)
        hours = ""
        if bought and reckoning.own is not None and place.kind == "rental":
            found = break_even(reckoning.own, place, reckoning)
            hours = "never" if found is None else hours_words(found)
        style = _STYLES[place.kind]
        return (
            Cell("this machine" if place.kind == "here" else place_name(place, names), style),
            Cell(_KINDS[place.kind], MUTED),
            Cell("whole", MUTED) if place.verdict is Verdict.FITS else Cell("in part", "$text-warning"),
            range_words(place.speeds.write or place.speeds.embed) or unknown,
            unknown if place.hour_usd is None else usd(place.hour_usd),
            unknown if place.per_million is None else Cell(_cost(place.per_million, ranges=ranges), "bold"),
            *((hours,) * bought),
        )


class ProviderLines(Fitted):
    """How each source of prices did."""

    listing: Listing | None = None
    asking: tuple[str, ...] = ()
    problem: str = ""

    def draw(self, width: int) -> Content:
        """A line each; a failure with what it said."""
        parts = []
        if self.problem:
            parts.append(hanging(self.marks.failed, self.problem, width, "$text-error"))
        if self.asking:
            parts.append(hanging(self.marks.starting, f"asking {', '.join(self.asking)}", width, "$text-accent"))
        if self.listing is not None:
            parts += [self._line(line, width) for line in provider_lines(self.listing)]
            parts += [hanging(self.marks.warning, text, width, "$text-warning") for text in self.listing.notes]
            if self.listing.offline:
                parts.append(hanging(self.marks.note, "Offline: nobody is asked.", width, MUTED))
            if self.listing.market.snapshot_note:
                parts.append(hanging(self.marks.note, self.listing.market.snapshot_note, width, MUTED))
        return lines(parts)

    def _line(self, line: ProviderLine, width: int) -> Content:
        if line.failed:
            return hanging(self.marks.failed, f"{line.name}: {line.words}", width, "$text-error")
        if line.fresh:
            return hanging(self.marks.done, f"{line.name}: {line.words}", width, "$text-success")
        return hanging(self.marks.stopped, f"{line.name}: {line.words}", width, MUTED)


def _cost(spread: Spread, *, ranges: bool) -> str:
    return usd_range(spread) if ranges else usd(spread.mid)
