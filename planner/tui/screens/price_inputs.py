"""What costs are reckoned with: a form of four numbers, each with what holds while it is empty."""

from decimal import Decimal
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from planner.core.costs.own_device import KWH_USD, Own
from planner.tui.data.prices import MOST, Inputs, read_amount


class PriceInputs(ModalScreen[Inputs | None]):
    """Returns the inputs, or None when nothing shall change."""

    CSS_PATH = "price_inputs.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Leave as it was"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, inputs: Inputs, own: Own | None) -> None:
        super().__init__()
        self._inputs = inputs
        self._own = own

    def compose(self) -> ComposeResult:
        """A line per number."""
        own = self._own
        watts = "not known" if own is None or own.watts is None else f"{float(own.watts):g}, {own.watts_source}"
        fields = (
            ("kwh_usd", "Price of a kWh, $", f"{KWH_USD} (assumed)"),
            ("watts", "Watts at work", "from driver or data sheet" if self._inputs.watts is not None else watts),
            ("device_usd", "Price to buy it, $", "none: it is there already"),
            ("utilisation", "Share of the time at work", "1, all of it"),
        )
        with Vertical(id="inputs-box") as box:
            box.border_title = "What costs are reckoned with"
            box.border_subtitle = "enter takes it, escape leaves it"
            for name, title, usual in fields:
                with Horizontal(classes="inputs-line"):
                    yield Static(title, classes="inputs-title", markup=False)
                    yield Input(self._text(name), placeholder=usual, id=f"inputs-{name}", compact=True)
            yield Static(id="inputs-problem", markup=False)
            with Horizontal(id="inputs-answers"):
                yield Button("Take it", id="inputs-take", compact=True)
                yield Button("Leave it", id="inputs-leave", compact=True)

    def _text(self, name: str) -> str:
        value = getattr(self._inputs, name)
        return "" if value is None or (name == "utilisation" and value == 1) else f"{value:f}"

    @on(Input.Submitted)
    @on(Button.Pressed, "#inputs-take")
    def _take(self, event: Input.Submitted | Button.Pressed) -> None:
        event.stop()
        found: dict[str, Decimal] = {}
        for name, most in (("kwh_usd", MOST), ("watts", MOST), ("device_usd", MOST), ("utilisation", Decimal(1))):
            field = self.query_one(f"#inputs-{name}", Input)
            if not field.value.strip():
                continue
            amount = read_amount(field.value, most=most)
            if amount is None:
                problem = f"“{field.value.strip()[:30]}” is not a number above 0 and at most {most:,}."
                self.query_one("#inputs-problem", Static).update(problem)
                field.focus()
                return
            found[name] = amount
        self.dismiss(Inputs(**found))

    @on(Button.Pressed, "#inputs-leave")
    def _leave(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(None)
