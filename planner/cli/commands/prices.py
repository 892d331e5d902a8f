"""`planner prices`: GPUs for rent, what a model's tokens or a job cost on them, beside a device of one's own."""

import time
from decimal import Decimal
from typing import TYPE_CHECKING, NoReturn

import click

from planner.cli.columns import terminal_width
from planner.cli.cost_options import Amount, Costing, cost_options
from planner.cli.output import write_json, write_lines
from planner.cli.session import Session, common_options
from planner.errors import NoResultError, UsageError
from planner.units import GIB, parse_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planner.cli.pricing import Priced, Pricer
    from planner.core.hardware import DeviceSpec
    from planner.core.market import Market
    from planner.core.offers import Filters

_SHOWN = 20
_RENTALS = 10
"""Of the table that has devices too."""
_ORDERS = ("price", "total", "tokens", "job", "vram", "reliability", "provider")


@click.command(short_help="GPUs for rent, per hour and per million tokens, beside your own.")
@click.option("--vram", metavar="SIZE", help="GiB of one GPU, at least: 24.")
@click.option("--vram-total", metavar="SIZE", help="GiB of all GPUs of an offer together, at least.")
@click.option("--gpu", metavar="NAME", help='Only this GPU: "RTX 4090", H100, "A100 40GB".')
@click.option("--provider", "providers", multiple=True, metavar="NAME", help="Only this provider; several times.")
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    type=click.Choice(["on-demand", "spot", "community", "marketplace", "secure"]),
    help="Only this tier; several times.",
)
@click.option("--region", metavar="NAME", help="Only there: US, Norway, eu-west-1; offers without a region drop out.")
@click.option("--max-price", type=Amount(more=True), metavar="USD", help="Per GPU and hour.")
@click.option("--min-reliability", type=click.FloatRange(0, 1), metavar="0..1", help="Where the provider tells it.")
@click.option("--sort", "order", type=click.Choice(_ORDERS), help="Default: job, tokens or price, as asked.")
@click.option("--limit", "-n", type=click.IntRange(min=1), help="How many; default: 20, with --json all.")
@click.option("--all", "everything", is_flag=True, help="Every offer, not the best of each GPU, provider and tier.")
@click.option("--where", is_flag=True, help="With --model: one table with this machine and common devices too.")
@click.option("--refresh", is_flag=True, help="Ask the providers again, however fresh the prices are.")
@cost_options
@common_options
def prices(
    session: Session,
    *,
    vram: str | None,
    vram_total: str | None,
    gpu: str | None,
    providers: tuple[str, ...],
    tiers: tuple[str, ...],
    region: str | None,
    max_price: Decimal | None,
    min_reliability: float | None,
    order: str | None,
    limit: int | None,
    everything: bool,
    where: bool,
    refresh: bool,
    costing: Costing,
) -> None:
    r"""List GPUs for rent. With --model, what its tokens cost there; with a job, what the whole of it costs.

    Prices less than an hour old are taken from the cache, others are asked for; a provider that does not answer is
    one line. --offline, and what nobody answers, is shown from dated prices that come with planner.

    \b
    Examples:
      planner prices --vram 24
      planner prices --gpu "RTX 4090" --tier spot --offline
      planner prices --model Qwen3-8B:Q4_K_M --device "RTX 3090" --device-price 700
      planner prices --model bge-m3 --documents 100000 --json
      planner prices --where --model bge-m3 --model Qwen3-8B:Q4_K_M
    """
    from planner.cli.market import device_table, find_market
    from planner.cli.prices_page import document, one_of_each, page
    from planner.cli.pricing import Pricer
    from planner.core.offers import Filters, ordered, wanted_offers
    from planner.prices.parsing import epoch
    from planner.prices.provider import Wanted

    if refresh and session.config.offline:
        raise UsageError(
            "--refresh asks the providers, and offline mode is on.",
            hint="Leave one of the two out (and PLANNER_OFFLINE unset).",
            reference="refresh-offline",
        )
    filters = Filters(
        min_vram_gib=None if vram is None else parse_memory(vram) / GIB,
        min_vram_total_gib=None if vram_total is None else parse_memory(vram_total) / GIB,
        gpu=gpu,
        providers=tuple(name.casefold().removesuffix(".ai") for name in providers),
        tiers=tiers,
        region=region,
        max_price=max_price,
        min_reliability=min_reliability,
    )
    specs = device_table(session)
    pricer = Pricer(session, costing, specs)
    order = order or ("job" if pricer.wants_job else "tokens" if pricer.load is not None else "price")
    _check_order(order, pricer)
    if where and pricer.load is None:
        raise UsageError(
            "Where it should run depends on what is to run, and no model was named.",
            hint="Add --model MODEL, twice for an embedder and a generator.",
            reference="where-without-model",
        )
    now = time.time()
    market = find_market(
        session,
        specs,
        Wanted(min_vram_gib=filters.min_vram_gib, tiers=tiers),
        ask=True,
        refresh=refresh,
        only=filters.providers,
        now=now,
    )
    for origin in market.origins:
        if origin.note and not origin.note.startswith("not asked"):
            session.note(f"{origin.name}: {origin.note}")
    _check_providers(filters.providers, {offer.quote.provider for offer in market.offers})
    matching = wanted_offers(market.offers, filters, specs)
    rows, left_out = pricer.priced(matching)
    cost = pricer.cost(order)
    by_offer = {id(row.offer): row for row in rows}
    in_order = ordered(
        [row.offer for row in rows],
        order,  # type: ignore[arg-type]  # the orders that are about cost come with `cost`
        cost=None if cost is None else lambda offer: cost(by_offer[id(offer)]),
    )
    rows = [by_offer[id(offer)] for offer in in_order]
    if not rows:
        _nothing(session, left_out=left_out, known=len(market.offers))
    if where:
        _where(session, market, rows, pricer, specs=specs, limit=limit, left_out=left_out)
        return
    if session.as_json:
        write_json(document(market, rows[:limit], pricer, left_out=left_out, total=len(rows)))
        return
    listed = [(row, 0) for row in rows] if everything else one_of_each(rows)
    shown = listed[: limit or (len(listed) if everything else _SHOWN)]
    seen = {row.offer.quote.observed_at for row, _ in shown}
    write_lines(
        page(
            market,
            shown,
            pricer,
            title=_title(filters, order, everything=everything),
            names={spec.slug: spec.name for spec in specs},
            ages_s={text: now - at for text in seen if (at := epoch(text)) is not None},
            left_out=left_out,
            hidden=len(listed) - len(shown),
            width=terminal_width(),
        )
    )


def _where(
    session: Session,
    market: "Market",
    rows: "Sequence[Priced]",
    pricer: "Pricer",
    *,
    specs: "Sequence[DeviceSpec]",
    limit: int | None,
    left_out: int,
) -> None:
    """Devices and the best rentals in one table; doubtful offers stay out of it."""
    from planner.cli.prices_page import document, one_of_each
    from planner.cli.where_page import place_view, where_lines
    from planner.core.cheapest import DOUBTFUL

    sound = [row for row in rows if not DOUBTFUL & set(row.offer.flags)]
    best = [row for row, _ in one_of_each(sound)][: limit or _RENTALS]
    places = pricer.places(best, specs)
    if session.as_json:
        view = document(market, best, pricer, left_out=left_out, total=len(rows))
        write_json({**view, "places": [place_view(item) for item in places]})
        return
    assert pricer.load is not None
    names = {spec.slug: spec.name for spec in specs}
    write_lines(where_lines(places, pricer.load, names, kwh_usd=pricer.kwh_usd, width=terminal_width()))


_SORTED = {
    "price": "cheapest per GPU and hour first",
    "total": "cheapest per hour first",
    "tokens": "cheapest per million tokens first",
    "job": "cheapest for the job first",
    "vram": "most memory first",
    "reliability": "most reliable first",
    "provider": "by provider",
}


def _check_providers(asked: tuple[str, ...], known: set[str]) -> None:
    from planner.prices.registry import BRINGS

    names = known | {name for brought in BRINGS.values() for name in brought}
    for name in asked:
        if name not in names:
            raise UsageError(
                f"No provider “{name[:40]}” is known.",
                hint=f"There are: {', '.join(sorted(names))}.",
                reference="unknown-provider",
            )


def _check_order(order: str, pricer: "Pricer") -> None:
    if order == "tokens" and pricer.load is None:
        raise UsageError(
            "The price of tokens depends on a model, and none was named.",
            hint="Add --model MODEL.",
            reference="order-without-model",
        )
    if order == "job" and not pricer.wants_job:
        raise UsageError(
            "There is no job to sort by.",
            hint="Describe one: --tokens-out, --documents or --hours.",
            reference="order-without-job",
        )


def _title(filters: "Filters", order: str, *, everything: bool) -> str:
    asked = []
    if filters.min_vram_gib is not None:
        asked.append(f"{filters.min_vram_gib:.4g} GiB a GPU or more")
    if filters.min_vram_total_gib is not None:
        asked.append(f"{filters.min_vram_total_gib:.4g} GiB together or more")
    asked += [text for text in (filters.gpu, *filters.tiers, filters.region, *filters.providers) if text]
    if filters.max_price is not None:
        asked.append(f"at most ${filters.max_price} per GPU and hour")
    if filters.min_reliability is not None:
        asked.append(f"reliability {filters.min_reliability:g} or more")
    about = f" ({', '.join(asked)})" if asked else ""
    each = "" if everything else "; of each GPU, provider and tier the best"
    return f"GPUs for rent{about}, {_SORTED[order]}{each}"


def _nothing(session: Session, *, left_out: int, known: int) -> NoReturn:
    if left_out:
        raise NoResultError(
            f"Of {left_out} offers that match, none holds the model whole (or its GPU is not known).",
            hint="Ask for a smaller quant or less --context, or for several GPUs: --vram-total.",
            reference="nothing-fits",
        )
    more = " Without --offline the providers can be asked." if session.config.offline else ""
    raise NoResultError(
        f"None of the {known} offers known matches.",
        hint=f"Loosen a filter; planner prices --all --limit 500 lists them.{more}",
        reference="no-offers",
    )
