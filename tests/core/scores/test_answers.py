"""What is known of a generation model's answers, and that the constants are those that the benchmarks give."""

import math

import pytest

from benchmarks import answer_quality
from planner.core.models.model import Commercial, Licence, Model, Role, Score
from planner.core.scores import answers as core
from planner.core.scores.answers import ALONE, BEST, WORST, Z80, Grade, answers, family_scores, guess
from planner.core.scores.quality import quality


def score(name: str, value: float, *, source: str = "somewhere") -> Score:
    return Score(name=f"{name}table", value=value, date="2025-01-02", source=source)


def model(
    *scores: Score, identity: str = "me/writer", billions: float = 8.0, released: str | None = "2025-01-01"
) -> Model:
    return Model(
        id=identity, family="mine", role=Role.GENERATION, parameters=round(billions * 1e9), context_length=4096,
        licence=Licence(spdx="MIT", commercial=Commercial.YES), release_date=released, scores=scores,
    )  # fmt: skip


@pytest.fixture(scope="module")
def result() -> answer_quality.Result:
    return answer_quality.compute()


class TestFit:
    def test_the_scale_is_that_of_the_table(self, result: answer_quality.Result) -> None:
        assert pytest.approx((result.worst, result.best), abs=0.05) == (WORST, BEST)

    def test_lines_are_those_that_the_fit_gives(self, result: answer_quality.Result) -> None:
        for translation, name in zip(result.translations, (core.OPEN_LLM, core.REPORTED), strict=True):
            line = core.LINES[name]
            intercept, slope, per_year = translation.line.coefficients
            for value in (line.low, line.high):
                fitted = intercept + slope * value
                assert line.intercept + line.slope * value == pytest.approx(fitted, abs=3)
            assert line.per_year == pytest.approx(per_year, abs=1)
            assert line.error == pytest.approx(translation.line.unseen, abs=0.5)
            assert pytest.approx((line.low, line.high), abs=0.01) == (translation.low, translation.high)
            assert translation.models >= 20

    def test_the_guess_is_the_curve_that_the_fit_gives(self, result: answer_quality.Result) -> None:
        found = result.guess
        level, size, per_year = found.curve.coefficients
        assert found.power == core.POWER
        for billions in (0.5, 1, 8, 70, 400):
            fitted = level - size * billions**-found.power
            assert guess(round(billions * 1e9), "2025-01-01") == pytest.approx(fitted, abs=3)
        assert pytest.approx(per_year, abs=1) == core.PER_YEAR
        assert found.newest == core.NEWEST
        assert pytest.approx((core.WITHIN, core.BETWEEN), abs=1) == (found.within, found.between)
        assert found.curve.unseen <= ALONE + 1

    def test_all_weights_tell_more_than_active_ones(self, result: answer_quality.Result) -> None:
        assert result.guess.curve.unseen < result.guess.active


class TestEvidence:
    def test_people_are_believed_before_benchmarks_and_benchmarks_before_relatives(self) -> None:
        rated = (score(core.RATING, 1300.0), score(core.RATING_LOW, 1290.2))
        harness = score(core.OPEN_LLM, 30.0)
        report = score(core.REPORTED, 60.0)
        family = (score(core.FAMILY, 1250.0, source="2 rated models of its family"), score(core.FAMILY_LOW, 1214.0))
        grades = []
        for scores in ((*rated, harness, report, *family), (harness, report, *family), (report, *family), family, ()):
            found = answers(model(*scores))
            assert found is not None
            grades.append(found.grade)
        assert grades == [Grade.A, Grade.A, Grade.B, Grade.C, Grade.D]

    def test_the_score_is_the_lower_end_of_the_80_percent_interval(self) -> None:
        found = answers(model(score(core.RATING, 1300.0), score(core.RATING_LOW, 1280.4)))
        assert found is not None
        assert found.error == pytest.approx(10.0)
        assert found.score == pytest.approx((1300 - Z80 * 10 - WORST) / (BEST - WORST))

    def test_at_equal_points_the_less_certain_model_never_wins(self) -> None:
        points = guess(8_000_000_000, "2025-01-01")
        assert points is not None
        known = answers(model(score(core.RATING, points), score(core.RATING_LOW, points - 5)))
        guessed = answers(model())
        assert known is not None
        assert guessed is not None
        assert guessed.points == pytest.approx(known.points)
        assert guessed.score < known.score

    @pytest.mark.parametrize("value", [2.82, 60.0])
    def test_a_figure_outside_of_the_fitted_range_says_nothing(self, value: float) -> None:
        found = answers(model(score(core.OPEN_LLM, value)))
        assert found is not None
        assert found.grade is Grade.D

    def test_nothing_is_known_of_a_model_of_unknown_size(self) -> None:
        closed = Model(
            id="me/closed", family="mine", role=Role.GENERATION, parameters=None, context_length=4096,
            licence=Licence(spdx="MIT", commercial=Commercial.NO),
        )  # fmt: skip
        assert answers(closed) is None
        assert quality(closed, "F16").score == 0.0

    def test_a_model_newer_than_all_rated_ones_gains_nothing_by_that(self) -> None:
        assert guess(10**9, "2031-01-01") == guess(10**9, core.NEWEST)
        assert guess(10**9, None) == guess(10**9, core.OLDEST)

    def test_larger_and_newer_is_guessed_better(self) -> None:
        sizes = [guess(round(billions * 1e9), "2024-06-01") for billions in (0.135, 1, 8, 70)]
        assert sizes == sorted(sizes, key=lambda points: points or 0)
        assert (guess(10**9, "2024-06-01") or 0) < (guess(10**9, "2025-06") or 0)


class TestFamily:
    def test_relatives_pull_a_guess_towards_them_and_make_it_surer(self) -> None:
        points = guess(8_000_000_000, "2025-01-01") or 0.0
        rated = [
            model(score(core.RATING, points + 60), score(core.RATING_LOW, points + 59), identity=f"me/rated-{index}")
            for index in range(4)
        ]
        lone = model(identity="me/lone")
        one, many = (family_scores([*rated[:count], lone])["me/lone"] for count in (1, 4))
        assert points < one[0].value < many[0].value < points + 60
        assert points - Z80 * ALONE < one[1].value
        assert many[0].value - many[1].value < one[0].value - one[1].value < Z80 * ALONE

    def test_only_those_without_a_benchmark_are_guessed(self) -> None:
        rated = model(score(core.RATING, 1300.0), identity="me/rated")
        assert family_scores([rated]) == {}
        assert family_scores([model()]) == {}


class TestQuality:
    def test_figures_and_words_carry_grade_date_and_source(self) -> None:
        writer = model(score(core.RATING, 1300.0), score(core.RATING_LOW, 1290.0), score(core.FAITHFUL, 93.6))
        found = quality(writer, "Q4_K_M")
        assert found.figures["grade"] == "A"
        assert found.figures["date"] == "2025-01-02"
        assert found.figures["source"] == "somewhere"
        assert found.figures["faithful_percent"] == 93.6
        assert found.figures["score"] == round(found.score, 4)
        assert found.figures["evidence"] == found.evidence
        assert "grade A" in found.evidence
        assert "1300" in found.evidence
        assert "93.6 %" in found.evidence

    def test_a_guess_says_that_it_is_one(self) -> None:
        evidence = quality(model(), "F16").evidence
        assert "grade D" in evidence
        assert "guessed from size and age alone" in evidence

    def test_a_quant_keeps_the_inverse_of_its_perplexity_ratio(self) -> None:
        writer = model()
        whole, quant = quality(writer, "F16"), quality(writer, "Q2_K")
        loss = quant.figures["quant_loss"]
        assert isinstance(loss, float)
        assert quant.score == pytest.approx(whole.score / (1 + loss), rel=1e-3)
        assert quant.figures["quant_loss_basis"] == "measured"
        assert math.isfinite(quant.score)
