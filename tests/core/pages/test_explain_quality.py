"""Where a quality figure comes from, in words: always with a date and a source."""

import msgspec

from planner.core.models.model import Role, Score
from planner.core.pages.explain_quality import explain_quality
from planner.core.scores.quality import quality
from planner.core.scores.standing import Standing
from tests.core.shapes import BERT_LARGE, LLAMA_8B, make_model

POOL = "results_2026-08-20"
FINDER = make_model(
    "finder", BERT_LARGE, 335_000_000, role=Role.EMBEDDING, quants={"Q8_0": 360_000_000}, context=512, mtr=6.92
)
WRITER = make_model("writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000})


def test_a_rank_is_told_with_its_pool_date_and_source() -> None:
    text = "\n".join(explain_quality(FINDER, "Q8_0"))
    assert f"MTR 6.92 % in pool {POOL}." in text
    assert "date 2026-08-20; source test" in text
    assert "Lower is better" in text
    standing = Standing(
        pool=POOL,
        date="2026-08-20",
        source="test",
        mtr_percent=6.92,
        average=None,
        averages={},
        rank=7,
        ranked=129,
        models=200,
    )
    assert f"MTR 6.92 % in pool {POOL}, rank 7 of 129." in explain_quality(FINDER, "Q8_0", [standing])


def test_unranked_is_not_called_bad_and_says_what_it_counts_as() -> None:
    text = "\n".join(explain_quality(msgspec.structs.replace(FINDER, scores=()), "Q8_0"))
    assert "That says nothing about how good it is." in text
    assert "counts as 40 of 100" in text


def test_a_grade_is_told_with_what_it_rests_on() -> None:
    rated = msgspec.structs.replace(
        WRITER,
        scores=(
            Score("answers_rating:arena", 1320.0, "2025-12-11", "arena at commit abc"),
            Score("answers_rating_low:arena", 1312.0, "2025-12-11", "arena at commit abc"),
            Score("answers_faithful:vectara", 95.2, "2026-03-10", "vectara at commit def"),
        ),
    )
    text = "\n".join(explain_quality(rated, "Q4_K_M"))
    assert "Grade A: a benchmark of this very model" in text
    assert "date 2025-12-11; source arena at commit abc" in text
    assert "percent of summaries that keep to the text: 95.2" in text
    assert "answers_rating_low" not in text
    assert "Grade D: its size and age alone" in "\n".join(explain_quality(WRITER, "Q4_K_M"))


def test_the_last_line_is_the_score_that_plans_are_chosen_by() -> None:
    for model, quant in ((FINDER, "Q8_0"), (WRITER, "Q4_K_M"), (WRITER, "Q2_K")):
        *_, loss, total = explain_quality(model, quant)
        assert total == f"Together: {100 * quality(model, quant).score:.0f} of 100."
        assert loss.startswith(f"{quant} raises perplexity by")
