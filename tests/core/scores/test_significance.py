"""Rank tests against scipy 1.17.1, scikit-posthocs 0.17.1 and the worked example of Demsar (2006).

Each table names the call that gave its figures (`import numpy as np, scipy.stats as s, scikit_posthocs as sp`).
"""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.scores.distributions import chi_square_tail, f_tail, studentized_range_quantile
from planner.core.scores.significance import compare, critical_difference

SCORES = [
    [58.1, 71.2, 33.0, 80.5, 45.5],
    [57.0, 71.2, 30.1, 79.9, 44.0],
    [60.3, 69.9, 33.0, 81.0, 45.5],
    [50.0, 65.0, 28.8, 78.2, 41.1],
]

# Demsar (2006), table 6: areas under the curve of C4.5 with parameters m and cf tuned or not.
DEMSAR = [
    [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619, 0.972, 0.957],
    [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666, 0.981, 0.978],
    [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614, 0.9751, 0.946],
    [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962, 0.669, 0.975, 0.970],
]


@pytest.mark.parametrize(
    ("x", "degrees", "tail"),
    [
        (0.5, 1, 0.47950012218695337),
        (3.84, 1, 0.05004352124870519),
        (9.28, 3, 0.025790724198756772),
        (30, 26, 0.2676110333925769),
        (561.03, 26, 7.725655419402552e-102),
        (700, 152, 3.248865375490495e-71),
        (152, 152, 0.484744978423559),
    ],
)
def test_chi_square_tails_are_those_of_scipy(x: float, degrees: int, tail: float) -> None:
    """s.chi2.sf(x, degrees)."""
    assert chi_square_tail(x, degrees) == pytest.approx(tail, rel=1e-9)


@pytest.mark.parametrize(
    ("x", "first", "second", "tail"),
    [
        (3.69, 3, 39, 0.01974409968948888),
        (1, 1, 1, 0.5),
        (0.2, 26, 1014, 0.9999960071113694),
        (1.5, 26, 1014, 0.05184896915238542),
        (45.68, 26, 1014, 8.376669331310244e-151),
        (1.3, 152, 5928, 0.008384122926110408),
        (2.5, 5, 2, 0.3099905686048905),
    ],
)
def test_f_tails_are_those_of_scipy(x: float, first: int, second: int, tail: float) -> None:
    """s.f.sf(x, first, second)."""
    assert f_tail(x, first, second) == pytest.approx(tail, rel=1e-9)


def test_tails_at_the_ends() -> None:
    assert chi_square_tail(0, 3) == f_tail(0, 3, 5) == 1
    assert f_tail(math.inf, 3, 5) == 0
    assert chi_square_tail(5000, 3) == 0


@pytest.mark.parametrize(
    ("groups", "share", "quantile"),
    [
        (2, 0.95, 2.771807648699355),
        (3, 0.95, 3.314493155398122),
        (4, 0.95, 3.6331595749026278),
        (10, 0.95, 4.474124221725907),
        (27, 0.95, 5.227517890554401),
        (50, 0.95, 5.646026026380527),
        (100, 0.95, 6.084637537173171),
        (153, 0.95, 6.339867411978243),
        (400, 0.95, 6.884636036530587),
        (2, 0.9, 2.3261743073533476),
        (27, 0.9, 4.920008497117519),
        (153, 0.9, 6.076925850667322),
    ],
)
def test_studentized_ranges_are_those_of_scipy(groups: int, share: float, quantile: float) -> None:
    """s.studentized_range.ppf(share, groups, np.inf)."""
    assert studentized_range_quantile(share, groups) == pytest.approx(quantile, abs=1e-6)


def test_friedman_with_ties_is_that_of_scipy() -> None:
    """s.friedmanchisquare(*SCORES), and s.f.sf of Iman and Davenport's F."""
    found = compare(SCORES)
    assert found is not None
    assert found.friedman.chi_square == pytest.approx(11.936170212765957)
    assert found.friedman.p == pytest.approx(0.007605043673998592)
    assert found.friedman.f == pytest.approx(15.583333333333329)
    assert found.friedman.f_degrees == (3, 12)
    assert found.friedman.f_p == pytest.approx(0.0001933982721539391)
    assert found.differ


def test_nemenyi_calls_the_same_pairs_different_as_scikit_posthocs() -> None:
    """sp.posthoc_nemenyi_friedman(np.array(SCORES).T): p < 0.05 for models 0 and 3 (0.0250), 2 and 3 (0.0173)."""
    found = compare(SCORES)
    assert found is not None
    ranks, difference = found.mean_ranks, found.critical_difference
    pairs = {(a, b) for a in range(4) for b in range(a + 1, 4) if abs(ranks[a] - ranks[b]) >= difference}
    assert pairs == {(0, 3), (2, 3)}
    assert {frozenset(group) for group in found.groups} == {frozenset({0, 1, 2}), frozenset({1, 3})}
    assert found.equal_to_best() == (0, 1, 2)


def test_demsars_example_has_the_mean_ranks_he_prints() -> None:
    """3.143, 2.000, 2.893, 1.964, and 9.28 without the correction for ties; s.friedmanchisquare(*DEMSAR) with it."""
    found = compare(DEMSAR)
    assert found is not None
    assert found.mean_ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.0005)
    classic = 12 * 14 / 20 * (sum(rank**2 for rank in found.mean_ranks) - 4 * 25 / 4)
    assert classic == pytest.approx(9.28, abs=0.005)
    assert found.friedman.chi_square == pytest.approx(10.22834645669295)
    assert found.friedman.p == pytest.approx(0.01672158032844110)


def test_demsars_critical_difference_is_reproduced() -> None:
    """Section 3.2.4: q 2.569 for four classifiers, 1.25 over 14 data sets; 2.291 and 1.12 at 10 %."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, alpha=0.1) == pytest.approx(1.12, abs=0.005)
    assert critical_difference(4, 6) == pytest.approx(2.569 * math.sqrt(20 / 36), abs=0.001)


def test_where_all_tasks_agree_the_f_has_no_end() -> None:
    found = compare([[3.0, 30.0, 33.0], [2.0, 20.0, 22.0], [1.0, 10.0, 11.0]])
    assert found is not None
    assert found.friedman.chi_square == pytest.approx(6.0)
    assert math.isinf(found.friedman.f)
    assert found.friedman.f_p == 0


@pytest.mark.parametrize(
    "scores",
    [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 2.0], [1.0, 2.0]]],
    ids=["none", "one", "one task", "all equal"],
)
def test_where_nothing_can_differ_there_is_no_test(scores: list[list[float]]) -> None:
    assert compare(scores) is None


tables = st.integers(2, 8).flatmap(
    lambda width: st.lists(
        st.lists(st.integers(0, 50).map(float), min_size=width, max_size=width), min_size=2, max_size=12
    )
)


@given(tables)
def test_groups_hold_exactly_the_pairs_that_do_not_differ(table: list[list[float]]) -> None:
    found = compare(table)
    if found is None:
        return
    together = {(a, b) for group in found.groups for a in group for b in group}
    ranks = found.mean_ranks
    for a in range(len(table)):
        for b in range(len(table)):
            assert ((a, b) in together) == (abs(ranks[a] - ranks[b]) < found.critical_difference)
    sets = [set(group) for group in found.groups]
    assert not any(a < b for a in sets for b in sets)


@given(tables)
def test_probabilities_are_probabilities(table: list[list[float]]) -> None:
    found = compare(table)
    if found is not None:
        assert 0 <= found.friedman.p <= 1
        assert 0 <= found.friedman.f_p <= 1
        assert math.isclose(sum(found.mean_ranks), len(table) * (len(table) + 1) / 2)
