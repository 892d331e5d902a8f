"""Two plans side by side: what is gained, what is lost, what cannot be said."""

import msgspec

from planner.core.memory.estimate import Rate, Seconds, Throughput
from planner.core.pages.what_if import NONE, Comparison, Turn, compare_plans
from planner.core.pairs.recommendation import Choice, Recommendation
from tests.tui.world import plan

BEFORE = plan(2, "acme/writer-8b", 5.0)


def changed(
    base: Recommendation,
    *,
    score: float = 88.0,
    tg: Rate | None = None,
    embedder_quality: dict[str, float | str | None] | None = None,
    generator_quality: dict[str, float | str | None] | None = None,
    context: int = 8192,
    first_word_s: Seconds | None = None,
) -> Recommendation:
    """A plan with some figures of its own."""
    embedding, generation = base.embedding, base.generation
    assert embedding is not None
    assert generation is not None
    if embedder_quality is not None:
        embedding = msgspec.structs.replace(embedding, quality=embedder_quality)
    throughput = generation.estimate.throughput if tg is None else Throughput(tg=tg)
    generation = msgspec.structs.replace(
        generation,
        quality=generation.quality if generator_quality is None else generator_quality,
        settings=msgspec.structs.replace(generation.settings, context=context),
        estimate=msgspec.structs.replace(generation.estimate, throughput=throughput),
    )
    return msgspec.structs.replace(
        base, score=score, embedding=embedding, generation=generation, first_word_s=first_word_s
    )


def figure(found: Comparison, name: str) -> tuple[str, str, str, Turn]:
    """A line by its name, without its words."""
    line = next(line for line in found.figures if line.name == name)
    return line.before, line.after, line.change, line.turn


def test_a_plan_gains_and_loses_nothing_against_itself() -> None:
    found = compare_plans(BEFORE, BEFORE, same_weights=True)
    assert found.score_change == 0
    assert (found.gains, found.losses) == ((), ())
    assert {line.turn for line in found.figures} <= {Turn.SAME, Turn.OPEN}
    assert figure(found, "score") == ("88.0", "88.0", "±0", Turn.SAME)


def test_better_models_and_slower_answers_are_a_gain_and_a_loss() -> None:
    before = changed(
        BEFORE,
        embedder_quality={"score": 0.6, "mtr_percent": 39.13, "pool": "p"},
        generator_quality={"score": 0.5},
        tg=Rate(20.0, 40.0, 60.0),
    )
    after = changed(
        plan(1, "acme/writer-32b", 20.0, embedder="acme/finder-4b"),
        score=95.5,
        embedder_quality={"score": 0.9, "mtr_percent": 8.88, "pool": "p"},
        generator_quality={"score": 0.75},
        tg=Rate(10.0, 20.0, 30.0),
    )
    found = compare_plans(before, after, same_weights=True)
    assert found.score_change == 7.5
    assert figure(found, "embedding")[2:] == ("MTR 39.13 → 8.88 %", Turn.GAIN)
    assert figure(found, "generation")[2:] == ("+25 of 100", Turn.GAIN)
    assert figure(found, "tok/s") == ("20 to 60", "10 to 30", "50 % of the speed", Turn.LOSS)
    assert figure(found, "memory")[3] is Turn.OPEN
    assert found.gains == (
        "finds better with finder-4b F16 (MTR 39.13 → 8.88 %)",
        "answers better with writer-32b Q4_K_M (+25 of 100)",
    )
    assert found.losses == ("writes at 50 % of the speed",)


def test_ranks_of_two_pools_are_not_set_against_each_other() -> None:
    before = changed(BEFORE, embedder_quality={"score": 0.6, "mtr_percent": 39.13, "pool": "old"})
    other = plan(2, "acme/writer-8b", 5.0, embedder="acme/finder-4b")
    after = changed(other, embedder_quality={"score": 0.9, "mtr_percent": 8.88, "pool": "new"})
    change = figure(compare_plans(before, after, same_weights=True), "embedding")[2]
    assert change == "+30 of 100"


def test_speeds_within_five_percent_count_as_alike() -> None:
    before, after = changed(BEFORE, tg=Rate(10.0, 20.0, 30.0)), changed(BEFORE, tg=Rate(10.0, 20.9, 30.0))
    assert figure(compare_plans(before, after, same_weights=True), "tok/s")[2:] == ("as fast", Turn.SAME)


def test_a_shorter_wait_and_more_context_are_gains() -> None:
    before = changed(BEFORE, first_word_s=Seconds(low=8.0, mid=14.0, high=25.0))
    after = changed(BEFORE, first_word_s=Seconds(low=0.8, mid=1.5, high=3.1), context=32768)
    found = compare_plans(before, after, same_weights=True)
    assert figure(found, "context") == ("8192", "32768", "4 times", Turn.GAIN)
    assert figure(found, "first word") == ("8.0 to 25 s", "0.8 to 3.1 s", "9.3 times as fast", Turn.GAIN)


def test_a_hundredfold_speed_is_written_out() -> None:
    before = changed(BEFORE, first_word_s=Seconds(low=100.0, mid=200.0, high=300.0))
    after = changed(BEFORE, first_word_s=Seconds(low=1.0, mid=1.6, high=3.0))
    assert figure(compare_plans(before, after, same_weights=True), "first word")[2] == "125 times as fast"


def test_scores_of_another_preference_are_not_compared() -> None:
    found = compare_plans(BEFORE, changed(BEFORE, score=99.0), same_weights=False)
    assert found.score_change is None
    assert figure(found, "score")[3] is Turn.OPEN


def test_what_is_not_known_is_no_gain_and_no_loss() -> None:
    alone = msgspec.structs.replace(BEFORE, embedding=None)
    found = compare_plans(BEFORE, alone, same_weights=True)
    assert figure(found, "embedding") == ("finder-large-v1 F16", NONE, "", Turn.OPEN)
    assert figure(found, "indexing")[3] is Turn.OPEN
    assert isinstance(BEFORE.embedding, Choice)
