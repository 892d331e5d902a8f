"""`planner prices`: GPUs for rent, what a model's tokens or a job cost on them, beside a device of one's own."""

import re
from decimal import Decimal

import click

from planner.cli.cost_options import Amount, Costing, cost_options
from planner.cli.numbers import FiniteRange
from planner.cli.session import Session, common_options
from planner.units import GIB, parse_memory

_ORDERS = ("price", "total", "tokens", "job", "vram", "reliability", "provider")


@click.command(short_help="GPUs for rent, per hour and per million tokens, beside your own.")
@click.option("--vram", metavar="SIZE", help="GiB of one GPU, at least: 24.")
@click.option("--vram-total", metavar="SIZE", help="GiB of all GPUs of an offer together, at least.")
@click.option("--gpu", metavar="NAME", help='Only this GPU: "RTX 4090", H100, "2x RTX 3090".')
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
@click.option("--min-reliability", type=FiniteRange(0, 1), metavar="0..1", help="Where the provider tells it.")
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
    from planner.cli.prices_answer import Question, answer
    from planner.core.costs.offers import Filters

    count, name = _counted(gpu)
    filters = Filters(
        min_vram_gib=None if vram is None else parse_memory(vram) / GIB,
        min_vram_total_gib=None if vram_total is None else parse_memory(vram_total) / GIB,
        gpu=name,
        gpu_count=count,
        providers=tuple(name.casefold().removesuffix(".ai") for name in providers),
        tiers=tiers,
        region=region,
        max_price=max_price,
        min_reliability=min_reliability,
    )
    question = Question(
        filters=filters,
        costing=costing,
        order=order,
        limit=limit,
        everything=everything,
        where=where,
        refresh=refresh,
    )
    answer(session, question)


def _counted(gpu: str | None) -> tuple[int | None, str | None]:
    """`2x RTX 3090` as number and name; a name alone means any number."""
    found = re.fullmatch(r"\s*(\d{1,2})\s*x\s*(\D.*|\d{4}.*)", gpu or "", re.IGNORECASE)
    return (None, gpu) if found is None else (int(found[1]), found[2])
