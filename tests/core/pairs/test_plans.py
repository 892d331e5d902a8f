"""Which plans are shown, what is said of them, and what would change them."""

import itertools
import math
import random
import re

import msgspec
import pytest

from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Rate, Verdict
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Model, Pooling, Role
from planner.core.pairs.candidates import Pin
from planner.core.pairs.changes import Changes, with_changes
from planner.core.pairs.pair import COMFORT_MARGIN, recommend
from planner.core.pairs.recommendation import Recommendation
from planner.core.pairs.score import WEIGHTS, Target, combine, generation_speed_term, indexing_speed_term
from planner.core.speed.calibration import GENERIC
from planner.errors import NoResultError
from planner.units import duration_range, parse_disk
from tests.core.pairs.test_pair import BIG, EMBED_LARGE, EMBED_SMALL, MODELS, TINY
from tests.core.shapes import BERT_LARGE, GEMMA3_270M, LLAMA_8B, QWEN3_EMBED_06B, apple, gpu, machine, make_model

RERANK_SMALL = make_model(
    "rerank-small", BERT_LARGE, 335141888, role=Role.RERANKER, quants={"Q8_0": 360_000_000}, context=1024,
    pooling=Pooling.RANK,
)  # fmt: skip
RERANK_LARGE = make_model(
    "rerank-large", QWEN3_EMBED_06B, 595776512, role=Role.RERANKER, quants={"Q8_0": 639_150_592}, pooling=Pooling.RANK
)
BLIND = make_model(
    "rerank-short", BERT_LARGE, 335141888, role=Role.RERANKER, quants={"Q8_0": 360_000_000}, context=512,
    pooling=Pooling.RANK,
)  # fmt: skip


def named(model: Model, name: str, **facts: object) -> Model:
    """The same model under another name."""
    return msgspec.structs.replace(model, id=f"maker/{name}", **facts)


def changed(hardware: Hardware, workload: Workload, plans: tuple[Recommendation, ...]) -> tuple[Recommendation, ...]:
    where = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    return with_changes(plans, Changes(MODELS, where, hardware, workload, GENERIC, margin=COMFORT_MARGIN))


def files_of(plan: Recommendation) -> int:
    return sum(choice.variant.file_bytes or 0 for choice in plan.choices)


def test_a_speed_counts_by_its_low_end() -> None:
    sure, unsure = Rate(low=18.0, mid=20.0, high=22.0), Rate(low=6.0, mid=30.0, high=90.0)
    target = Target(5, 20)
    assert target.term(sure) > target.term(unsure) > target.term(None)


def test_waiting_for_the_first_word_counts_as_much_as_reading_the_others() -> None:
    workload = Workload()
    quick, slow = Rate(low=20.0, mid=20.0, high=20.0), Rate(low=5.0, mid=5.0, high=5.0)
    soon, late = (
        Rate(low=rate, mid=rate, high=rate) for rate in (workload.prompt_tokens / 5, workload.prompt_tokens / 120)
    )
    assert generation_speed_term(quick, soon, workload) == pytest.approx(1.0)
    assert generation_speed_term(slow, late, workload) == pytest.approx(0.0)
    assert generation_speed_term(quick, late, workload) == generation_speed_term(slow, soon, workload)
    assert generation_speed_term(quick, None, workload) < generation_speed_term(quick, late, workload)


def test_the_more_documents_the_more_an_embedder_s_speed_matters() -> None:
    rate = Rate(low=1000.0, mid=1000.0, high=1000.0)
    terms = [indexing_speed_term(rate, Workload(docs=docs)) for docs in (10, 1_000, 10_000, 1_000_000)]
    assert terms == sorted(terms, reverse=True)
    assert (terms[0], terms[-1]) == (1.0, -1.0)
    hardware = machine(gpu(0, 24))
    few, many = (recommend(MODELS, hardware, Workload(docs=docs))[0] for docs in (10, 50_000))
    assert few.embedding is not None
    assert many.embedding is not None
    assert few.indexing_s is not None
    assert many.indexing_s is not None
    assert few.embedding.quality["mtr_percent"] < many.embedding.quality["mtr_percent"]  # type: ignore[operator]
    assert few.indexing_s.low <= few.indexing_s.mid <= few.indexing_s.high < many.indexing_s.low


def test_the_terms_of_a_plan_add_up_to_its_score() -> None:
    for plan in recommend(MODELS, machine(gpu(0, 8)), Workload()):
        assert plan.terms is not None
        weights = WEIGHTS["balanced"]
        points = sum(getattr(weights, name) * getattr(plan.terms, name) for name in plan.terms.__struct_fields__)
        assert plan.score == pytest.approx(100 * points, abs=0.051)
        assert plan.score == combine(plan.terms, "balanced")


def test_variants_of_one_family_are_one_choice() -> None:
    relatives = [named(BIG, "big-thinking"), named(BIG, "big-coder", parameters=8_100_000_000)]
    stranger = named(BIG, "other-8b", family="other")
    plans = recommend([*MODELS, *relatives, stranger], machine(gpu(0, 24)), Workload(limit=5))
    names = [plan.generation.model.id for plan in plans if plan.generation]
    assert len({BIG.id, *(model.id for model in relatives)} & set(names)) == 1
    assert stranger.id in names
    stands = next(plan for plan in plans if plan.relatives)
    assert len(stands.relatives) == 2
    assert any("relatives" in reason for reason in stands.reasons)


def test_plans_of_one_score_say_so_and_the_smaller_one_comes_first() -> None:
    twin = named(BIG, "a-twin", family="other", variants=(BIG.variants[1],))
    only = msgspec.structs.replace(BIG, variants=(BIG.variants[1],))
    plans = recommend([EMBED_LARGE, only, twin], machine(gpu(0, 24)), Workload())
    assert plans[0].score == plans[1].score
    assert not any("as good as" in reason for reason in plans[0].reasons)
    assert plans[1].reasons[0].startswith("as good as plan 1 ")
    sizes = [plan.memory.total_bytes for plan in plans]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("vram", [3, 6, 8, 12, 24])
def test_what_is_shown_beside_the_best_plan_never_changes_it(vram: float) -> None:
    hardware = machine(gpu(0, vram))
    (alone,) = recommend(MODELS, hardware, Workload(limit=1))
    plans = recommend(MODELS, hardware, Workload(limit=10))
    assert plans[0].score == alone.score
    assert plans[0].command == alone.command
    scores = [plan.score for plan in plans]
    assert scores == sorted(scores, reverse=True)


def test_labels_are_true_among_those_shown() -> None:
    plans = recommend(MODELS, machine(gpu(0, 12)), Workload(limit=10))
    assert len(plans) > 1
    by_label = {label: plan for plan in plans for label in plan.label.split(", ")}
    speeds = {plan.rank: plan.generation.estimate.throughput.tg for plan in plans if plan.generation}
    assert plans[0].label.startswith("balanced")
    assert by_label["smallest"].memory.total_bytes == min(plan.memory.total_bytes for plan in plans)
    assert speeds[by_label["fastest"].rank] == max(speeds.values(), key=lambda rate: rate.mid if rate else 0.0)


@pytest.mark.parametrize("prefer", ["balanced", "quality", "speed"])
def test_only_one_plan_is_called_that_of_the_best_quality_and_it_is(prefer: Prefer) -> None:
    for vram in (4, 6, 8, 12, 24):
        plans = recommend(MODELS, machine(gpu(0, vram)), Workload(prefer=prefer, limit=10))
        good = [0.0 if (t := plan.terms) is None else 0.33 * t.retrieval + 0.5 * t.answers for plan in plans]
        named_best = [place for place, plan in enumerate(plans) if "best quality" in plan.label.split(", ")]
        assert len(named_best) == 1
        assert good[named_best[0]] == max(good)
        assert plans[0].label.startswith(
            {"balanced": "balanced", "quality": "best ", "speed": "best for speed"}[prefer]
        )


def test_no_reranker_is_called_better_as_no_scores_compare_them() -> None:
    plans = recommend([RERANK_SMALL, RERANK_LARGE], machine(gpu(0, 24)), Workload(role=Role.RERANKER))
    assert len(plans) == 2
    assert not any("quality" in plan.label for plan in plans)


@pytest.mark.parametrize("role", [Role.EMBEDDING, Role.GENERATION])
def test_a_single_model_is_started_without_a_partner(role: Role) -> None:
    for plan in recommend(MODELS, machine(gpu(0, 12)), Workload(role=role)):
        (choice,) = plan.choices
        assert plan.command[:3] == ("planner", "launch", f"{choice.model.id}:{choice.variant.quant}")


def test_of_files_with_the_same_score_the_smaller_one_is_taken() -> None:
    huge = make_model(
        "huge", LLAMA_8B, 8030261248, quants={"F16": 16_070_000_000, "Q8_0": 8_540_000_000, "Q4_K_M": 4_920_739_232}
    )
    plan = recommend([EMBED_SMALL, huge], machine(gpu(0, 80, bandwidth=2000.0)), Workload())[0]
    assert [choice.variant.quant for choice in plan.choices] == ["Q8_0", "Q8_0"]


@pytest.mark.parametrize("limit_bytes", [700_000_000, 3_600_000_000, 6_000_000_000, 9_000_000_000])
def test_a_bounded_download_has_the_best_plan_within_it(limit_bytes: int) -> None:
    hardware = machine(gpu(0, 16))
    free = Workload(limit=1)
    best = 0.0
    roles = [[model for model in MODELS if model.role is role] for role in (Role.EMBEDDING, Role.GENERATION)]
    for pair in itertools.product(*roles):
        for variants in itertools.product(*(model.variants for model in pair)):
            if sum(variant.file_bytes or 0 for variant in variants) <= limit_bytes:
                pins = [Pin(model, variant) for model, variant in zip(pair, variants, strict=True)]
                best = max(best, recommend(MODELS, hardware, free, pins=pins)[0].score)
    plans = recommend(MODELS, hardware, Workload(max_download_bytes=limit_bytes))
    assert plans[0].score == best
    assert all(files_of(plan) <= limit_bytes for plan in plans)


def test_a_reranker_is_placed_last_and_costs_the_pair_nothing() -> None:
    models = [*MODELS, RERANK_SMALL, RERANK_LARGE, BLIND]
    for vram in (2, 4, 8, 24):
        hardware = machine(gpu(0, vram))
        without, having = (recommend(models, hardware, Workload(reranker=wanted)) for wanted in (False, True))
        assert [plan.score for plan in having] == [plan.score for plan in without]
        assert [plan.choices[:2] for plan in having] == [plan.choices for plan in without]
        for plan in having:
            assert plan.reranker is not None
            assert plan.reranker.model.id != BLIND.id  # a chunk and a question do not fit into it
            assert f"{plan.reranker.model.id}:Q8_0" in plan.command
            assert any(reason.startswith("reranks 24 found chunks in") for reason in plan.reasons)
            for row in plan.memory.devices:
                assert row.total_bytes <= (row.budget_bytes or 0)


def test_the_smallest_plan_is_so_with_its_reranker() -> None:
    large = msgspec.structs.replace(
        RERANK_LARGE, variants=make_model("x", QWEN3_EMBED_06B, 1, quants={"F32": 2_400_000_000}).variants
    )
    middle = make_model("middle", GEMMA3_270M, 500_000_000, quants={"F32": 1_090_000_000}, context=8192)
    seen = set()
    for tenths in range(20, 80, 2):
        hardware = machine(gpu(0, tenths / 10, bandwidth=2000.0))
        models = [EMBED_SMALL, TINY, middle, RERANK_SMALL, large]
        plans = recommend(models, hardware, Workload(reranker=True))
        smallest = min(plans, key=lambda plan: plan.memory.total_bytes)
        assert len(plans) == 1 or "smallest" in smallest.label.split(", ")
        seen |= {choice.model.name for choice in smallest.choices}
    assert {"tiny", "middle"} <= seen  # beside the larger pair there is room for the smaller reranker alone


def test_a_reranker_that_does_not_fit_is_left_out_unless_it_was_named() -> None:
    models = [EMBED_SMALL, TINY, RERANK_LARGE]
    hardware = machine(ram_gib=2.2)
    (plan,) = recommend(models, hardware, Workload(reranker=True))
    assert plan.reranker is None
    assert "no reranker fits beside it" in plan.reasons
    with pytest.raises(NoResultError, match="rerank-large does not fit beside embed-small"):
        recommend(models, hardware, Workload(), pins=(Pin(RERANK_LARGE),))
    with pytest.raises(NoResultError, match="No reranker model in the catalog matches"):
        recommend(MODELS, hardware, Workload(reranker=True))


def test_a_chunk_must_fit_into_the_embedder() -> None:
    plans = recommend(MODELS, machine(gpu(0, 24)), Workload(role=Role.EMBEDDING, chunk_tokens=1024))
    assert EMBED_SMALL.id not in {plan.embedding.model.id for plan in plans if plan.embedding}


@pytest.mark.parametrize("vram", [3, 4, 5, 6, 8, 10])
def test_the_memory_that_is_said_to_be_missing_is_enough(vram: float) -> None:
    workload = Workload()
    plans = changed(machine(gpu(0, vram)), workload, recommend(MODELS, machine(gpu(0, vram)), workload))
    for plan in plans:
        for line in plan.changes:
            found = re.match(r"([\d.]+) GiB more GPU memory would (?:allow (\w+) of|hold all of \S+ (\w+))", line)
            if found is None or plan.embedding is None or plan.generation is None:
                continue
            quant = found.group(2) or found.group(3)
            pins = (
                Pin(plan.embedding.model, plan.embedding.variant),
                Pin(plan.generation.model, plan.generation.model.variant(quant)),
            )
            wish = Workload(context=plan.generation.settings.context)
            larger = recommend(MODELS, machine(gpu(0, vram + float(found.group(1)))), wish, pins=pins)[0]
            assert larger.generation is not None
            assert larger.generation.estimate.placement.verdict is Verdict.FITS, line


def test_a_shorter_context_that_is_said_to_allow_a_quant_does() -> None:
    sizes = {"Q4_K_M": 4_920_739_232, "Q5_K_M": 5_730_000_000, "Q6_K": 6_600_000_000}
    fine = make_model("fine", LLAMA_8B, 8030261248, quants=sizes)
    seen = 0
    for tenths in range(70, 110, 2):
        hardware = machine(gpu(0, tenths / 10))
        for plan in changed(hardware, Workload(), recommend([EMBED_SMALL, fine], hardware, Workload())):
            for line in plan.changes:
                found = re.match(r"(\d+) instead of (\d+) tokens of context would allow (\w+) of fine", line)
                if found is None or plan.embedding is None:
                    continue
                seen += 1
                pins = (Pin(plan.embedding.model, plan.embedding.variant), Pin(fine, fine.variant(found.group(3))))
                (other,) = recommend([], hardware, Workload(context=int(found.group(1))), pins=pins)
                assert other.generation is not None
                assert other.generation.estimate.placement.verdict is Verdict.FITS
    assert seen


def test_nothing_changes_where_nothing_is_missing() -> None:
    hardware = machine(gpu(0, 80, bandwidth=2000.0))
    best, *_ = changed(hardware, Workload(), recommend(MODELS, hardware, Workload()))
    assert best.changes == ()


def test_what_comes_nearest_is_named_when_nothing_fits() -> None:
    hardware = machine(gpu(0, 8))
    with pytest.raises(NoResultError, match=r"10000 tok/s here: the fastest plan \(embed-\w+ \w+ \+ tiny Q8_0\)"):
        recommend(MODELS, hardware, Workload(min_speed=10_000.0))
    with pytest.raises(NoResultError, match="smallest files for these wishes take 651 MB"):
        recommend(MODELS, hardware, Workload(max_download_bytes=100_000_000))
    with pytest.raises(NoResultError, match=r"may be used here: .* are missing"):
        recommend(MODELS, machine(ram_gib=0.3), Workload())
    with pytest.raises(NoResultError, match="context of 100000 tokens: the longest of any is 32768"):
        recommend(MODELS, hardware, Workload(context=100_000))


def test_where_small_files_take_much_memory_the_least_download_that_runs_is_named() -> None:
    cached = make_model("cached", QWEN3_EMBED_06B, 595776512, quants={"Q8_0": 639_150_592})
    lean = make_model("lean", GEMMA3_270M, 268098176, quants={"F32": 1_090_000_000, "F16": 560_000_000})
    whole = msgspec.structs.replace(lean, variants=lean.variants[:1])
    wish = Workload(max_download_bytes=1_200_000_000, context=32768)
    with pytest.raises(
        NoResultError, match=r"\(1.20 GB\) runs here; embed-small Q8_0 \+ lean F32 would, with 1.45 GB"
    ):
        recommend([EMBED_SMALL, cached, whole], machine(ram_gib=4), wish)
    assert recommend([EMBED_SMALL, cached, lean], machine(ram_gib=4), wish)


@pytest.mark.parametrize("odd_bytes", [1, 400_000, 999_999, 2_345_678_901])
def test_the_download_that_is_said_to_be_enough_is(odd_bytes: int) -> None:
    tiny = make_model("odd", GEMMA3_270M, 268098176, quants={"Q8_0": 291_000_000 + odd_bytes}, context=8192)
    models = [EMBED_SMALL, tiny]
    with pytest.raises(NoResultError) as raised:
        recommend(models, machine(gpu(0, 24)), Workload(max_download_bytes=400_000_000))
    enough = parse_disk(raised.value.hint.removeprefix("Allow ").removesuffix(" or more."))
    assert recommend(models, machine(gpu(0, 24)), Workload(max_download_bytes=enough))


@pytest.mark.parametrize("hardware", [machine(gpu(0, 8)), machine(gpu(0, 24, bandwidth=2000.0)), machine(ram_gib=16)])
@pytest.mark.parametrize("limit_bytes", [None, 1_500_000_000])
def test_the_plan_that_is_called_the_fastest_is(hardware: Hardware, limit_bytes: int | None) -> None:
    """Also where the speed that all plans gain from counts for no more."""
    quick = make_model("quick", GEMMA3_270M, 200_000_000, quants={"Q4_0": 110_000_000, "Q8_0": 215_000_000})
    models = [*MODELS, quick]
    with pytest.raises(NoResultError) as raised:
        recommend(models, hardware, Workload(min_speed=1e9, max_download_bytes=limit_bytes))
    named_speed = float(re.findall(r"to (\d+) tok/s", raised.value.message)[0])
    least, high = 1.0, 0.0
    while True:  # the next plan that is faster than the one before, until there is none
        wish = Workload(min_speed=least, max_download_bytes=limit_bytes, limit=1)
        try:
            (plan,) = recommend(models, hardware, wish)
        except NoResultError:
            break
        rate = plan.generation.estimate.throughput.tg if plan.generation else None
        assert rate is not None
        least, high = math.nextafter(rate.mid, math.inf), rate.high
    assert named_speed == pytest.approx(high, abs=0.5)


def test_a_part_of_the_score_never_grows_when_memory_shrinks() -> None:
    """What the search's bounds rest on, with speeds of prompts in it."""
    dice = random.Random(3)
    for _ in range(40):
        gib, ram = dice.uniform(2, 16), dice.uniform(4, 32)
        sizes = sorted((gib, gib * dice.uniform(0.3, 1.0)))
        scores = []
        for size in sizes:
            hardware = machine(gpu(0, size, bandwidth=400.0), ram_gib=ram)
            try:
                scores.append(recommend([BIG], hardware, Workload(role=Role.GENERATION, limit=1))[0].score)
            except NoResultError:
                scores.append(0.0)
        assert scores == sorted(scores)


@pytest.mark.parametrize("hardware", [machine(gpu(0, 12)), machine(apple(16), ram_gib=16), machine(ram_gib=16)])
def test_every_plan_s_command_names_what_decides_it(hardware: Hardware) -> None:
    workload = Workload(prefer="speed", docs=50_000, parallel=2, limit=3)
    for plan in recommend(MODELS, hardware, workload):
        text = " ".join(plan.command)
        for option in ("--prefer speed", "--docs 50000", "--parallel 2", "--context "):
            assert option in text


@pytest.mark.parametrize("least", [None, 20.0, 60.5])
def test_the_command_puts_everything_where_the_plan_says(least: float | None) -> None:
    for tenths in range(30, 130, 10):
        hardware = machine(gpu(0, tenths / 10), cores=64)
        try:
            plans = recommend(MODELS, hardware, Workload(min_speed=least, docs=1, prefer="quality"))
        except NoResultError:
            continue
        for plan in plans:
            options = dict(zip(plan.command[4::2], plan.command[5::2], strict=True))
            asked = Workload(
                context=int(options.pop("--context")),
                min_speed=float(options.pop("--min-speed")) if least else None,
                docs=int(options.pop("--docs")),
                prefer="quality",
            )
            assert options == {"--prefer": "quality"}
            pins = [Pin(choice.model, choice.variant) for choice in plan.choices]
            (again,) = recommend(MODELS, hardware, asked, pins=pins)
            assert again.memory == plan.memory
            assert again.choices == plan.choices


def test_times_are_told_in_a_fitting_unit() -> None:
    assert duration_range(0.2, 0.8) == "less than 1 s"
    assert duration_range(1.24, 3) == "1.2 to 3.0 s"
    assert duration_range(40, 119) == "40 to 119 s"
    assert duration_range(400, 1100) == "6.7 to 18 min"
    assert duration_range(3600, 7200) == "1.0 to 2.0 h"
    assert duration_range(2 * 86_400, 20 * 86_400) == "2.0 to 20 days"


def test_the_embedder_on_the_cpu_is_named_only_where_it_makes_room() -> None:
    for tenths in range(40, 90, 5):
        hardware = machine(gpu(0, tenths / 10), cores=64)
        for plan in changed(hardware, Workload(docs=1), recommend(MODELS, hardware, Workload(docs=1))):
            for line in plan.changes:
                if " on the CPU would free " in line:
                    assert re.search(r"free .*iB of the GPU for (\w+ of|all of) \w+", line)
