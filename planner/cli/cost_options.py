"""The options of `planner prices` that are about a model, a job, and a device of one's own."""

import functools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_args

import click
import msgspec

from planner.core.costs.cost import Job
from planner.core.memory.workload import KvType


class Costing(msgspec.Struct, frozen=True, kw_only=True):
    """What to reckon with. `given` names the options about the job that were used; None elsewhere: not said."""

    models: tuple[str, ...] = ()
    context: int | None = None
    parallel: int = 1
    kv_type: KvType = "f16"
    job: Job = Job()
    given: frozenset[str] = frozenset()
    here: bool | None = None
    device: str | None = None
    watts: Decimal | None = None
    idle_watts: Decimal | None = None
    kwh_usd: Decimal | None = None
    device_usd: Decimal | None = None


class Amount(click.ParamType[Decimal]):
    """A number of at least `least` as the decimal that was typed."""

    name = "number"

    def __init__(self, least: str = "0", *, more: bool = False, most: str = "1e9") -> None:
        self._least, self._most, self._more = Decimal(least), Decimal(most), more

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """The number; fails for anything else."""
        text = str(value).strip().removeprefix("$")
        try:
            found = Decimal(text)
        except ArithmeticError:
            self.fail(f"“{text[:40]}” is not a number.", param, ctx)
        if (
            not found.is_finite()
            or found < self._least
            or found > self._most
            or (self._more and found == self._least)
        ):
            above = "more than" if self._more else "at least"
            self.fail(f"{text[:40]} is not {above} {self._least} and at most {self._most:f}.", param, ctx)
        return found


_JOB = (
    "tokens_in", "tokens_out", "documents", "document_tokens", "download_gb", "storage_gb", "egress_gb", "hours",
    "interruptions", "restart_hours", "paused_hours", "utilisation", "network_mbps",
)  # fmt: skip
_MANY = click.IntRange(0, 10**15)


def cost_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command gets a `Costing` as `costing`."""

    @click.option(
        "--model", "models", multiple=True, metavar="MODEL[:QUANT]", help="Price its tokens; twice: a pair."
    )
    @click.option(
        "--context", type=click.IntRange(1, 2**24), metavar="TOKENS", help="Context; default: 8192 at most."
    )
    @click.option("--parallel", type=click.IntRange(1, 64), default=1, show_default=True, help="Answers at a time.")
    @click.option(
        "--kv-type", type=click.Choice(get_args(KvType)), default="f16", show_default=True, help="KV cache type."
    )
    @click.option("--tokens-in", type=_MANY, metavar="N", help="A job: tokens of prompts.")
    @click.option("--tokens-out", type=_MANY, metavar="N", help="A job: tokens generated.")
    @click.option("--documents", type=_MANY, metavar="N", help="A job: documents to embed.")
    @click.option("--document-tokens", type=click.IntRange(1, 10**7), metavar="N", help="Of each.  [512]")
    @click.option("--download-gb", type=Amount(), metavar="GB", help="Files to download.  [the models' files]")
    @click.option("--storage-gb", type=Amount(), metavar="GB", help="Disk.  [the download and 10 GB]")
    @click.option("--egress-gb", type=Amount(), metavar="GB", help="Data to send out.  [0]")
    @click.option("--hours", type=Amount(), metavar="H", help="Hours it is kept.  [as long as the work takes]")
    @click.option("--interruptions", type=click.IntRange(0, 10000), metavar="K", help="Of a spot rental.  [0]")
    @click.option("--restart-hours", type=Amount(), metavar="H", help="To start again after one.  [0.1]")
    @click.option("--paused-hours", type=Amount(), metavar="H", help="Before that, with storage alone paid.  [1]")
    @click.option("--network-mbps", type=Amount(more=True), metavar="MBIT/S", help="Where not said.  [500]")
    @click.option(
        "--utilisation", type=Amount(more=True, most="1"), metavar="SHARE", help="Of the time tokens flow.  [1]"
    )
    @click.option("--here/--no-here", default=None, help="Compare with this machine; the default with --model.")
    @click.option("--device", metavar="NAME", help='Compare with another device of your own: "RTX 3090".')
    @click.option("--watts", type=Amount(), metavar="W", help="What it draws at work.  [its data sheet's power]")
    @click.option("--idle-watts", type=Amount(), metavar="W", help="Loaded, without work.  [a tenth of that]")
    @click.option("--kwh-price", "kwh_usd", type=Amount(), metavar="USD", help="Of a kWh.  [0.20]")
    @click.option("--device-price", "device_usd", type=Amount(), metavar="USD", help="What buying it costs.")
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        said = {name: value for name in _JOB if (value := kwargs.pop(name)) is not None}
        others = {name: kwargs.pop(name) for name in Costing.__struct_fields__ if name not in {"job", "given"}}
        costing = Costing(job=Job(**said), given=frozenset(said), **others)
        return function(*args, costing=costing, **kwargs)

    return wrapper
