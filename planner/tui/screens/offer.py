"""One offer: everything its provider says, and what it means for the pair."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen

from planner.core.costs.priced import Priced
from planner.core.pages.offer_view import TIERS, provider_name, usd, usd_range
from planner.core.pages.offer_words import FLAGS, age_words, gpu_words, vram_words
from planner.tui.columns import hanging, lines
from planner.tui.data.price_words import range_words
from planner.tui.data.prices import Listing
from planner.tui.marks import Marks
from planner.tui.widgets.fitted import Fitted
from planner.tui.widgets.offer_table import age_s

_LABEL = 15


class OfferFacts(Fitted):
    """A line per fact; what is not said is left out."""

    def __init__(self, row: Priced, listing: Listing, *, marks: Marks) -> None:
        super().__init__(marks=marks)
        self._row = row
        self._listing = listing

    def draw(self, width: int) -> Content:
        """Price, pair, machine, terms, source, oddities."""
        parts = [
            hanging(label.ljust(_LABEL), text, width) if label else Content("")
            for label, text in (*self._costs(), ("", ""), *self._machine(), ("", ""), *self._source())
        ]
        flags = [FLAGS[flag] for flag in self._row.offer.flags if flag in FLAGS]
        if flags:
            parts.append(Content(""))
            parts += [
                hanging(self.marks.warning, f"{word}: {what}", width, "$text-warning") for _, word, what in flags
            ]
        return lines(parts)

    def _costs(self) -> list[tuple[str, str]]:
        offer, quote, running = self._row.offer, self._row.offer.quote, self._row.running
        each = f", {usd(offer.price_gpu_hour_usd)} for each GPU" if quote.gpu_count > 1 else ""
        found = [("price", f"{usd(quote.price_hour_usd)} an hour{each}")]
        if self._row.generated is not None:
            found.append(("written", f"{usd_range(self._row.generated)} per million tokens"))
        if self._row.embedded is not None:
            found.append(("embedded", f"{usd_range(self._row.embedded)} per million tokens"))
        if running is not None:
            speeds = running.speeds
            rates = ((speeds.write, "written"), (speeds.read, "read"), (speeds.embed, "embedded"))
            said = [f"{range_words(rate)} {word}" for rate, word in rates if rate is not None]
            found.append(("tokens/s", ", ".join(said) or "unknown"))
        elif self._row.offer.device is None:
            found.append(("pair", "nothing can be estimated: the GPU is not in the table of devices"))
        else:
            found.append(("pair", "does not fit there whole, or none is chosen"))
        return found

    def _machine(self) -> list[tuple[str, str]]:
        offer, quote = self._row.offer, self._row.offer.quote
        found = [("memory", f"{vram_words(offer)} GiB for each GPU")]
        if quote.gpu_raw != gpu_words(offer, self._listing.names):
            found.append(("called", quote.gpu_raw))
        tier = TIERS[quote.tier] + (f" ({quote.plan})" if quote.plan else "")
        found.append(("tier", tier + (", may be taken away at any time" if quote.interruptible else "")))
        down, up = quote.inet_down_mbps, quote.inet_up_mbps
        network = ", ".join(
            f"{value:,.0f} Mbit/s {word}" for value, word in ((down, "down"), (up, "up")) if value is not None
        )
        storage = None
        if quote.storage_usd_gb_month is not None:
            storage = f"{usd(quote.storage_usd_gb_month)} per GB and month"
        facts = (
            ("region", quote.region),
            ("instance", quote.instance),
            ("reliability", None if quote.reliability is None else f"{quote.reliability:.2%}"),
            ("verified", None if quote.verified is None else "yes" if quote.verified else "no"),
            ("stock", quote.stock),
            ("network", network),
            ("storage", storage),
        )
        return [*found, *((label, text) for label, text in facts if text)]

    def _source(self) -> list[tuple[str, str]]:
        offer = self._row.offer
        age = age_s(offer, self._listing)
        ago = "" if age is None else f", {age_words(age)} ago".replace(", now ago", ", just now")
        kind = {
            "fresh": "",
            "stale": "; older than an hour",
            "snapshot": "; a dated price, ask before you count on it",
        }
        return [
            ("seen", f"{offer.quote.observed_at}{ago}{kind[offer.staleness]}"),
            ("source", offer.quote.source),
        ]


class OfferScreen(ModalScreen[None]):
    """Closed by escape, enter or q."""

    CSS_PATH = "offer.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close")]

    def __init__(self, row: Priced, listing: Listing, *, marks: Marks) -> None:
        super().__init__()
        self._row = row
        self._listing = listing
        self._marks = marks

    def compose(self) -> ComposeResult:
        """A box with a scrolling text."""
        with VerticalScroll(id="offer-box") as box:
            quote = self._row.offer.quote
            box.border_title = f"{gpu_words(self._row.offer, self._listing.names)} at {provider_name(quote.provider)}"
            box.border_subtitle = "escape closes"
            yield OfferFacts(self._row, self._listing, marks=self._marks)
