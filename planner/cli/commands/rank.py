"""`planner rank`: embedding models by mean task rank within a dated pool of scores."""

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from planner.cli import output, rank_page
from planner.cli.columns import terminal_width
from planner.cli.rank_page import Entry
from planner.cli.session import Session, common_options
from planner.core.scores.quality import POOLS
from planner.errors import NoResultError, PlannerError, UsageError
from planner.units import parse_count, parse_disk

if TYPE_CHECKING:
    from planner.core.models.wishes import Wishes
    from planner.core.scores.ranking import Ranking
    from planner.core.scores.significance import Comparison

DEFAULT_POOL = POOLS[0]


@click.command(short_help="Embedding models by RAG mean task rank over MTEB.")
@click.option("--pool", metavar="NAME", default=DEFAULT_POOL, show_default=True, help="Which scores; see --pools.")
@click.option("--pools", is_flag=True, help="List the pools of scores instead.")
@click.option(
    "--tasks",
    metavar="NAMES",
    multiple=True,
    help="Rank on these alone: clustering, reranking, retrieval, sts, or datasets, separated by commas.",
)
@click.option("--licence", type=click.Choice(["any", "commercial"]), default="any", show_default=True)
@click.option("--language", metavar="CODE", help="Only models that know this language, e.g. en, de, German.")
@click.option("--max-parameters", metavar="N", help="Only models of at most so many parameters: 335M, 8B.")
@click.option("--max-size", metavar="SIZE", help="Only models with a file of at most this size in GB: 2, 500MB.")
@click.option("--deployable", is_flag=True, help="Only models that can be run here.")
@click.option("--all", "everything", is_flag=True, help="Every model of the pool, not only those of the catalog.")
@click.option("--limit", "-n", type=click.IntRange(min=1), help="How many models; all when not given.")
@click.option("--significance", is_flag=True, help="Test which differences between the models mean something.")
@common_options
def rank(
    session: Session,
    *,
    pool: str,
    pools: bool,
    tasks: tuple[str, ...],
    licence: str,
    language: str | None,
    max_parameters: str | None,
    max_size: str | None,
    deployable: bool,
    everything: bool,
    limit: int | None,
    significance: bool,
) -> None:
    r"""Rank embedding models by how far up they stand on each dataset, averaged (RAG MTR %, lower is better).

    Ranks are made among all models of the pool, then the catalog's are shown; filters hide models and change no rank.
    --tasks ranks anew on the tasks named.

    \b
    Examples:
      planner rank
      planner rank --pool board_2024-07-06-a --limit 10      the table of the llamafile article
      planner rank --tasks retrieval,reranking --licence commercial --deployable
      planner rank --significance --max-parameters 600M
    """
    from planner.core.models.languages import parse_language
    from planner.core.models.wishes import Wishes

    if pools:
        _list_pools(session)
        return
    wishes = Wishes(
        commercial=licence == "commercial",
        language=parse_language(language) if language is not None else None,
        max_parameters=parse_count(max_parameters) if max_parameters is not None else None,
        max_file_bytes=parse_disk(max_size) if max_size is not None else None,
        deployable=deployable,
    )
    ranking = _rank(session, pool, tasks)
    entries = _entries(session, ranking, wishes, everything=everything)
    if not entries:
        raise NoResultError(
            f"No model with a rank in pool {ranking.pool.name} matches.",
            hint="Loosen the filters, or take another pool: planner rank --pools.",
            reference="no-models",
        )
    comparison = _compare(entries) if significance else None
    if everything and wishes.any:
        session.note(
            "A filter leaves out what the catalog does not know; of the pool's other models it knows nothing."
        )
    if wishes.language is not None:
        _language_notes(session, ranking, wishes)
    unranked = _unranked(session, ranking, wishes)
    if session.as_json:
        output.write_json(rank_page.document(ranking, entries, unranked, comparison, limit=limit))
    else:
        output.write_lines(
            rank_page.page(ranking, entries, unranked, comparison, limit=limit, width=terminal_width())
        )


def _rank(session: Session, name: str, wanted: tuple[str, ...]) -> "Ranking":
    from planner.catalog.evals import load_pool
    from planner.core.scores.ranking import choose_tasks, rank_pool

    pool = load_pool(name, session.catalog.folder)
    words = [word for text in wanted for word in text.split(",") if word.strip()]
    if wanted and not words:
        raise UsageError(
            "--tasks names no task.",
            hint="Name categories or datasets: --tasks retrieval,sts.",
            reference="unknown-task",
        )
    return rank_pool(pool, choose_tasks(pool, words) if words else None)


def _entries(session: Session, ranking: "Ranking", wishes: "Wishes", *, everything: bool) -> list[Entry]:
    """What is to be shown: rows of the ranking with what the catalog knows of them."""
    known = {model.id.casefold(): model for model in session.catalog.models}
    found = [Entry(row, known.get(row.identity.casefold())) for row in ranking.rows]
    return [
        entry
        for entry in found
        if (entry.model is not None and wishes.admit(entry.model)) or (everything and not wishes.any)
    ]


def _language_notes(session: Session, ranking: "Ranking", wishes: "Wishes") -> None:
    """What a wish for a language cannot tell: models of unknown languages, and scores of English tasks."""
    silent = [
        entry.model.name
        for entry in _entries(session, ranking, replace(wishes, language=None), everything=False)
        if entry.model is not None and not entry.model.languages
    ]
    if silent:
        session.note(f"Left out, since the catalog does not say their languages: {', '.join(silent)}.")
    if wishes.language != "en":
        session.note("The scores are of English tasks: they say nothing about other languages.")


def _unranked(session: Session, ranking: "Ranking", wishes: "Wishes") -> list[tuple[str, int]]:
    """Embedding models of the catalog without a rank, and how many of the tasks they have a score for."""
    from planner.core.models.model import Role

    ranked = {row.identity.casefold() for row in ranking.rows}
    scored = {item.identity.casefold(): item.scored for item in ranking.incomplete}
    return [
        (model.id, scored.get(model.id.casefold(), 0))
        for model in session.catalog.models
        if model.role is Role.EMBEDDING and model.id.casefold() not in ranked and wishes.admit(model)
    ]


def _compare(entries: list[Entry]) -> "Comparison":
    from planner.core.scores.significance import compare

    comparison = compare([entry.row.scores for entry in entries])
    if comparison is None:
        raise NoResultError(
            "There is nothing to test: that takes two models, two tasks, and scores that differ.",
            hint="Loosen the filters, or rank on more tasks.",
            reference="nothing-to-test",
        )
    return comparison


def _list_pools(session: Session) -> None:
    from planner.catalog.evals import pool_files, read_pool
    from planner.core.scores.ranking import rank_pool

    rankings: list[Ranking] = []
    broken: list[PlannerError] = []
    for path in pool_files(session.catalog.folder).values():
        try:
            rankings.append(rank_pool(read_pool(path)))
        except PlannerError as error:
            broken.append(error)
            session.note(f"{error.message} It is left out.")
    if not rankings:
        raise (
            broken[0]
            if broken
            else NoResultError("The catalog has no pool of scores.", hint="Reinstall planner.", reference="no-pools")
        )
    if session.as_json:
        output.write_json(
            {"schema": 1, "pools": [rank_page.pool_view(ranking, default=DEFAULT_POOL) for ranking in rankings]}
        )
    else:
        output.write_lines(rank_page.pools_page(rankings, default=DEFAULT_POOL))
