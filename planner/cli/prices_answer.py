"""From the options of `planner prices` to its answer."""

import time
from collections.abc import Sequence

import msgspec

from planner.cli.columns import terminal_width
from planner.cli.cost_options import Costing
from planner.cli.market import device_table, find_market, say_problems
from planner.cli.output import write_json, write_lines
from planner.cli.pricing import Pricer
from planner.cli.session import Session
from planner.core.costs.market import Market
from planner.core.costs.offer_names import least_memory_gib
from planner.core.costs.offers import DOUBTFUL, Filters, ordered, wanted_offers
from planner.core.costs.priced import Priced, one_of_each
from planner.core.machines.hardware import DeviceSpec
from planner.errors import NoResultError, UsageError
from planner.prices.parsing import epoch
from planner.prices.provider import Wanted
from planner.prices.registry import BRINGS

_SHOWN = 20
_RENTALS = 10
"""Of the table that has devices too."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked. `everything`: not only the best of each kind; `where`: devices in the same table."""

    filters: Filters
    costing: Costing
    order: str | None = None
    limit: int | None = None
    everything: bool = False
    where: bool = False
    refresh: bool = False


def answer(session: Session, question: Question) -> None:
    """Print it. Raises UsageError for a question that cannot be, NoResultError where nothing matches."""
    specs = device_table(session)
    pricer = Pricer(session, question.costing, specs)
    order = question.order or ("job" if pricer.wants_job else "tokens" if pricer.load is not None else "price")
    _check(session, question, order, pricer)
    now = time.time()
    filters = question.filters
    market = find_market(
        session,
        specs,
        Wanted(min_vram_gib=_least_memory(filters, specs), tiers=filters.tiers),
        ask=True,
        refresh=question.refresh,
        only=filters.providers,
        now=now,
    )
    say_problems(session, market)
    _check_providers(filters.providers, {offer.quote.provider for offer in market.offers})
    rows, left_out = pricer.priced(wanted_offers(market.offers, filters, specs))
    if not rows:
        raise _nothing(session, left_out=left_out, known=len(market.offers))
    rows = _in_order(rows, order, pricer)
    if question.where:
        _answer_where(session, market, rows, pricer, specs=specs, limit=question.limit, left_out=left_out)
    elif session.as_json:
        from planner.cli.prices_document import document

        write_json(document(market, rows[: question.limit], pricer, left_out=left_out, total=len(rows)))
    else:
        _print(question, market, rows, pricer, specs=specs, order=order, now=now, left_out=left_out)


def _in_order(rows: Sequence[Priced], order: str, pricer: Pricer) -> list[Priced]:
    """The rows, best first."""
    cost = pricer.cost(order)
    by_offer = {id(row.offer): row for row in rows}
    offers = ordered(
        [row.offer for row in rows],
        order,  # type: ignore[arg-type]  # the orders that are about cost come with `cost`
        cost=None if cost is None else lambda offer: cost(by_offer[id(offer)]),
    )
    return [by_offer[id(offer)] for offer in offers]


def _print(
    question: Question,
    market: Market,
    rows: Sequence[Priced],
    pricer: Pricer,
    *,
    specs: Sequence[DeviceSpec],
    order: str,
    now: float,
    left_out: int,
) -> None:
    from planner.cli.prices_page import page

    everything = question.everything
    listed = [(row, 0) for row in rows] if everything else one_of_each(rows)
    shown = listed[: question.limit or (len(listed) if everything else _SHOWN)]
    seen = {row.offer.quote.observed_at for row, _ in shown}
    write_lines(
        page(
            market,
            shown,
            pricer,
            title=_title(question.filters, order, everything=everything),
            names={spec.slug: spec.name for spec in specs},
            ages_s={text: now - at for text in seen if (at := epoch(text)) is not None},
            left_out=left_out,
            hidden=len(listed) - len(shown),
            width=terminal_width(),
        )
    )


def _answer_where(
    session: Session,
    market: Market,
    rows: Sequence[Priced],
    pricer: Pricer,
    *,
    specs: Sequence[DeviceSpec],
    limit: int | None,
    left_out: int,
) -> None:
    """Devices and the best rentals in one table; doubtful offers stay out of it."""
    from planner.cli.prices_document import document
    from planner.cli.prices_inputs import input_lines
    from planner.cli.prices_page import origin_lines
    from planner.cli.where_page import place_view, where_lines

    sound = [row for row in rows if not DOUBTFUL & set(row.offer.flags)]
    best = [row for row, _ in one_of_each(sound)][: limit or _RENTALS]
    places = pricer.places(best, specs)
    if session.as_json:
        view = document(market, best, pricer, left_out=left_out, total=len(rows))
        write_json({**view, "places": [place_view(item) for item in places]})
        return
    assert pricer.load is not None
    names = {spec.slug: spec.name for spec in specs}
    width = terminal_width()
    write_lines(where_lines(places, pricer.load, names, kwh_usd=pricer.kwh_usd, width=width))
    write_lines([*input_lines(pricer, best, names, width), "", *origin_lines(market, width)])


def _check(session: Session, question: Question, order: str, pricer: Pricer) -> None:
    """Refuse what contradicts itself."""
    if question.refresh and session.config.offline:
        raise UsageError(
            "--refresh asks the providers, and offline mode is on.",
            hint="Leave one of the two out (and PLANNER_OFFLINE unset).",
            reference="refresh-offline",
        )
    if question.where and pricer.load is None:
        raise UsageError(
            "Where it should run depends on what is to run, and no model was named.",
            hint="Add --model MODEL, twice for an embedder and a generator.",
            reference="where-without-model",
        )
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


def _check_providers(asked: tuple[str, ...], known: set[str]) -> None:
    names = known | {name for brought in BRINGS.values() for name in brought}
    for name in asked:
        if name not in names:
            raise UsageError(
                f"No provider “{name[:40]}” is known.",
                hint=f"There are: {', '.join(sorted(names))}.",
                reference="unknown-provider",
            )


def _least_memory(filters: Filters, specs: Sequence[DeviceSpec]) -> float | None:
    """Memory that the offers wanted have at least, so that providers need not be asked for smaller ones."""
    of_gpu = None if filters.gpu is None else least_memory_gib(filters.gpu, specs)
    return max((size for size in (filters.min_vram_gib, of_gpu) if size is not None), default=None)


_SORTED = {
    "price": "cheapest per GPU and hour first",
    "total": "cheapest per hour first",
    "tokens": "cheapest per million tokens first",
    "job": "cheapest for the job first",
    "vram": "most memory first",
    "reliability": "most reliable first",
    "provider": "by provider",
}


def _title(filters: Filters, order: str, *, everything: bool) -> str:
    asked = []
    if filters.min_vram_gib is not None:
        asked.append(f"{filters.min_vram_gib:.4g} GiB a GPU or more")
    if filters.min_vram_total_gib is not None:
        asked.append(f"{filters.min_vram_total_gib:.4g} GiB together or more")
    gpu = filters.gpu if filters.gpu_count is None else f"{filters.gpu_count}x {filters.gpu}"
    asked += [text for text in (gpu, *filters.tiers, filters.region, *filters.providers) if text]
    if filters.max_price is not None:
        asked.append(f"at most ${filters.max_price} per GPU and hour")
    if filters.min_reliability is not None:
        asked.append(f"reliability {filters.min_reliability:g} or more")
    about = f" ({', '.join(asked)})" if asked else ""
    each = "" if everything else "; of each GPU, provider and tier the best"
    return f"GPUs for rent{about}, {_SORTED[order]}{each}"


def _nothing(session: Session, *, left_out: int, known: int) -> NoResultError:
    if left_out:
        return NoResultError(
            f"Of {left_out} offers that match, none holds the model whole (or its GPU is not known).",
            hint="Ask for a smaller quant or less --context, or for several GPUs: --vram-total.",
            reference="nothing-fits",
        )
    more = " Without --offline the providers can be asked." if session.config.offline else ""
    return NoResultError(
        f"None of the {known} offers known matches.",
        hint=f"Loosen a filter; planner prices --all --limit 500 lists them.{more}",
        reference="no-offers",
    )
