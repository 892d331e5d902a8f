"""Mean task rank: the definition on small tables, and what must hold of any table."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.scores.evals import Category, ModelScores, Pool, Task
from planner.core.scores.ranking import average_ranks, choose_tasks, rank_pool
from planner.errors import UsageError

CATEGORIES = list(Category)


def pool(rows: dict[str, list[float | None]]) -> Pool:
    """A pool whose tasks t0, t1, … go through the categories in turn."""
    width = len(next(iter(rows.values())))
    return Pool(
        name="toy",
        date="2024-05-01",
        benchmark="toy",
        source="none",
        licence="none",
        tasks=tuple(Task(f"t{index}", CATEGORIES[index % 4], "map") for index in range(width)),
        models=tuple(ModelScores(name, tuple(scores)) for name, scores in rows.items()),
    )


def percents(of: Pool, *tasks: str) -> dict[str, float]:
    chosen = [task for task in of.tasks if task.name in tasks] if tasks else None
    return {row.name: row.mtr_percent for row in rank_pool(of, chosen).rows}


scores = st.integers(-100, 1000).map(lambda tenths: tenths / 10)
tables = st.integers(1, 6).flatmap(
    lambda width: st.lists(st.lists(st.none() | scores, min_size=width, max_size=width), min_size=1, max_size=12)
)


def named(table: list[list[float | None]]) -> Pool:
    return pool({f"m{index}": row for index, row in enumerate(table)})


class TestRanks:
    def test_the_highest_score_is_first(self) -> None:
        assert average_ranks([10.0, 30.0, 20.0]) == [3.0, 1.0, 2.0]

    def test_equal_scores_share_the_mean_of_their_ranks(self) -> None:
        assert average_ranks([5.0, 7.0, 5.0, 7.0, 7.0, 1.0]) == [4.5, 2.0, 4.5, 2.0, 2.0, 6.0]

    @given(st.lists(scores, max_size=40))
    def test_ranks_always_sum_to_the_same(self, values: list[float]) -> None:
        assert sum(average_ranks(values)) == len(values) * (len(values) + 1) / 2

    @given(st.lists(scores, min_size=1, max_size=40))
    def test_a_rank_is_the_number_of_better_ones_and_half_of_the_equals(self, values: list[float]) -> None:
        for value, rank in zip(values, average_ranks(values), strict=True):
            better, equal = sum(v > value for v in values), values.count(value)
            assert rank == better + (equal + 1) / 2


class TestMeanTaskRank:
    def test_the_articles_toy_example_is_a_draw(self) -> None:
        """Good at STS and bad at retrieval, and the other way round: 1.5 of 2 each."""
        ranking = rank_pool(pool({"Model A": [82.58, 41.17], "Model B": [78.08, 51.99]}))
        assert [(row.rank, row.mtr_percent) for row in ranking.rows] == [(1, 75.0), (1, 75.0)]
        assert [row.average for row in ranking.rows] == pytest.approx([61.875, 65.035])

    def test_ranks_count_every_model_scored_and_only_complete_ones_get_a_mean(self) -> None:
        of = pool({"full": [50.0, 50.0], "half": [60.0, None], "other": [40.0, 60.0], "none": [None, None]})
        ranking = rank_pool(of)
        assert percents(of) == pytest.approx({"full": 100 * (2 / 3 + 2 / 2) / 2, "other": 100 * (3 / 3 + 1 / 2) / 2})
        assert [(item.name, item.scored) for item in ranking.incomplete] == [("half", 1)]
        assert ranking.models == 3

    def test_models_after_a_draw_keep_their_place(self) -> None:
        ranking = rank_pool(pool({"a": [3.0], "b": [2.0], "c": [2.0], "d": [1.0]}))
        assert [row.rank for row in ranking.rows] == [1, 2, 2, 4]

    def test_averages_are_over_datasets_and_not_over_categories(self) -> None:
        of = pool({"m": [10.0, 20.0, 30.0, 40.0, 50.0]})
        (row,) = rank_pool(of).rows
        assert row.average == pytest.approx(30.0)
        assert row.categories[Category.CLUSTERING] == pytest.approx(30.0)
        assert row.categories[Category.RERANKING] == pytest.approx(20.0)

    @given(tables, st.randoms())
    def test_neither_the_order_of_models_nor_of_tasks_matters(
        self, table: list[list[float | None]], rng: object
    ) -> None:
        shuffle = rng.shuffle  # type: ignore[attr-defined]
        rows = dict(enumerate(table))
        models, columns = list(rows), list(range(len(table[0])))
        shuffle(models)
        shuffle(columns)
        other = pool({f"m{index}": [rows[index][column] for column in columns] for index in models})
        assert percents(other) == percents(named(table))

    @given(tables)
    def test_only_the_order_of_scores_matters(self, table: list[list[float | None]]) -> None:
        squeezed = [[None if value is None else value**3 / 1e4 for value in row] for row in table]
        assert percents(named(squeezed)) == percents(named(table))

    @given(tables)
    def test_a_percent_lies_between_first_and_last_and_the_order_follows_it(
        self, table: list[list[float | None]]
    ) -> None:
        rows = rank_pool(named(table)).rows
        means = [row.mtr_percent for row in rows]
        assert means == sorted(means)
        assert all(0 < mean <= 100 for mean in means)
        assert [row.rank for row in rows] == [1 + sum(other < mean for other in means) for mean in means]

    @given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(scores, min_size=n, max_size=n), min_size=1)))
    def test_where_all_are_complete_the_percents_average_to_the_middle(self, table: list[list[float]]) -> None:
        of = pool({f"m{index}": list(row) for index, row in enumerate(table)})
        assert statistics.fmean(percents(of).values()) == pytest.approx(50 * (1 + 1 / len(table)))


class TestSubsets:
    @given(tables)
    def test_the_mean_over_all_tasks_is_the_mean_of_single_tasks(self, table: list[list[float | None]]) -> None:
        of = named(table)
        singles = [percents(of, task.name) for task in of.tasks]
        for name, mean in percents(of).items():
            assert mean == pytest.approx(statistics.fmean(single[name] for single in singles))

    @given(tables)
    def test_a_subset_ranks_as_a_pool_of_only_these_tasks(self, table: list[list[float | None]]) -> None:
        of = named(table)
        assert percents(of, of.tasks[0].name) == percents(named([[row[0]] for row in table]))

    def test_a_model_is_complete_when_it_has_the_scores_asked_for(self) -> None:
        of = pool({"a": [1.0, 1.0], "b": [2.0, None]})
        assert percents(of) == {"a": 100.0}  # second of two, first of one
        assert percents(of, "t0") == {"b": 50.0, "a": 100.0}

    def test_categories_and_datasets_combine_in_the_pools_order_without_case(self) -> None:
        of = pool({"a": [1.0, 2.0, 3.0, 4.0, 5.0]})
        assert [task.name for task in choose_tasks(of, ["T1", "Clustering", " t4"])] == ["t0", "t1", "t4"]

    @pytest.mark.parametrize(
        ("word", "near"), [("retreival", "retrieval"), ("clusterin", "clustering"), ("zzz", "datasets: t0, t1")]
    )
    def test_an_unknown_task_suggests_the_nearest(self, word: str, near: str) -> None:
        of = pool({"a": [1.0, 2.0, 3.0, 4.0]})
        with pytest.raises(UsageError) as caught:
            choose_tasks(of, ["sts", word])
        assert caught.value.reference == "unknown-task"
        assert near in caught.value.hint

    def test_a_category_the_pool_lacks_is_unknown(self) -> None:
        with pytest.raises(UsageError):
            choose_tasks(pool({"a": [1.0]}), ["sts"])
