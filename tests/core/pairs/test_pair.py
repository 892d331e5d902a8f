"""The pair planner against brute force on small catalogs, and the promises it makes."""

import itertools
import random

import msgspec
import pytest

from planner.core.estimates.estimator import estimate, settings_for
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import Machine, machine_of
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Commercial, Model, Pooling, Role
from planner.core.pairs.candidates import CONTEXTS, EMBED_CONTEXT, Pin
from planner.core.pairs.pair import COMFORT_MARGIN, Planner, recommend
from planner.core.pairs.score import Terms, combine, context_term, generation_speed_term, indexing_speed_term
from planner.core.scores.quality import quality
from planner.core.values import RepoId
from planner.errors import NoResultError
from planner.units import GIB
from tests.core.shapes import BERT_LARGE, GEMMA3_270M, LLAMA_8B, QWEN3_EMBED_06B, apple, gpu, machine, make_model

EMBED_SMALL = make_model(
    "embed-small", BERT_LARGE, 335141888, role=Role.EMBEDDING, quants={"F16": 670_000_000, "Q8_0": 360_000_000},
    context=512, pooling=Pooling.CLS, mtr=26.0,
)  # fmt: skip
EMBED_LARGE = make_model(
    "embed-large", QWEN3_EMBED_06B, 595776512, role=Role.EMBEDDING, quants={"Q8_0": 639_150_592},
    pooling=Pooling.LAST, mtr=22.0,
)  # fmt: skip
EMBED_HUGE = make_model(
    "embed-huge", LLAMA_8B, 8030261248, role=Role.EMBEDDING, quants={"Q4_K_M": 4_920_739_232},
    pooling=Pooling.LAST, mtr=7.0, commercial=Commercial.NO,
)  # fmt: skip
TINY = make_model("tiny", GEMMA3_270M, 268098176, quants={"Q8_0": 291_000_000}, context=8192)
BIG = make_model(
    "big", LLAMA_8B, 8030261248, quants={"Q8_0": 8_540_000_000, "Q4_K_M": 4_920_739_232, "Q2_K": 3_180_000_000},
)  # fmt: skip
MODELS: list[Model] = [EMBED_SMALL, EMBED_LARGE, EMBED_HUGE, TINY, BIG]


def brute_force(models: list[Model], hardware: Hardware, workload: Workload) -> float:
    """The best score over every combination, without any shortcut."""
    where = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    best = -1.0
    embedders = [m for m in models if m.role is Role.EMBEDDING]
    generators = [m for m in models if m.role is Role.GENERATION]
    for embedder, generator in itertools.product(embedders, generators):
        for e_variant, g_variant in itertools.product(embedder.variants, generator.variants):
            ways = [None, 0, *(-count for count in where.steps_of_speed)]
            for layers, context in itertools.product(itertools.product(ways, [*ways, 1]), CONTEXTS):
                if context > generator.context_length:
                    continue
                score = _pair_score(
                    embedder, e_variant.quant, generator, g_variant.quant, layers, context, where, hardware, workload
                )
                best = max(best, score)
    return best


def _pair_score(  # noqa: PLR0917  # the test spells out one whole combination
    embedder: Model, e_quant: str, generator: Model, g_quant: str, layers: tuple[int | None, int | None],
    context: int, where: Machine, hardware: Hardware, workload: Workload,
) -> float:  # fmt: skip
    e_variant, g_variant = embedder.variant(e_quant), generator.variant(g_quant)
    assert e_variant is not None
    assert g_variant is not None
    e_settings = settings_for(embedder, workload, min(embedder.context_length, EMBED_CONTEXT))
    g_settings = settings_for(generator, workload, context)
    e_settings, g_settings = (
        msgspec.structs.replace(made, n_gpu_layers=way) if way in {0, 1} else made
        for made, way in zip((e_settings, g_settings), layers, strict=True)
    )
    e = estimate(embedder, e_variant, e_settings, hardware, _cards(where, layers[0]))
    if e.placement.verdict is Verdict.NO_FIT:
        return -1.0
    g = estimate(generator, g_variant, g_settings, hardware, _cards(where.less(e.memory), layers[1]))
    if g.placement.verdict is Verdict.NO_FIT:
        return -1.0
    return combine(
        Terms(
            retrieval=quality(embedder, e_quant).score,
            answers=quality(generator, g_quant).score,
            generation_speed=generation_speed_term(g.throughput.tg, g.throughput.pp, workload),
            indexing_speed=indexing_speed_term(e.throughput.embed, workload),
            context=context_term(context, workload.needed_context),
        ),
        workload.prefer,
    )


def _cards(machine: Machine, way: int | None) -> Machine:
    """All cards, or the fastest so many where that is meant by a negative number."""
    return machine.fastest(-way) if way and way < 0 else machine


@pytest.mark.parametrize("vram", [1.5, 3, 5, 6, 7, 8, 10, 12, 16, 24])
@pytest.mark.parametrize("prefer", ["quality", "speed", "balanced"])
def test_the_best_pair_is_the_best_of_all(vram: float, prefer: str) -> None:
    workload = Workload(prefer=prefer)  # type: ignore[arg-type]  # parametrised text
    hardware = machine(gpu(0, vram))
    assert recommend(MODELS, hardware, workload)[0].score == pytest.approx(brute_force(MODELS, hardware, workload))


def test_the_best_pair_is_the_best_of_all_on_random_machines_and_catalogs() -> None:
    dice = random.Random(7)
    for _ in range(25):
        models = [m for m in MODELS if dice.random() < 0.8] or MODELS
        if not {Role.EMBEDDING, Role.GENERATION} <= {m.role for m in models}:
            continue
        cards = [gpu(i, dice.uniform(1, 14), bandwidth=dice.uniform(100, 1000)) for i in range(dice.randrange(3))]
        hardware = machine(*cards, ram_gib=dice.uniform(3, 24))
        workload = Workload(prefer=dice.choice(["quality", "speed", "balanced"]))
        wanted = brute_force(models, hardware, workload)
        if wanted < 0:
            with pytest.raises(NoResultError):
                recommend(models, hardware, workload)
        else:
            assert recommend(models, hardware, workload)[0].score == pytest.approx(wanted)


def test_both_processes_fit_together_with_both_overheads() -> None:
    for plan in recommend(MODELS, machine(gpu(0, 8)), Workload()):
        for row in plan.memory.devices:
            assert row.budget_bytes is not None
            assert row.total_bytes <= row.budget_bytes
        assert plan.memory.total_bytes == sum(c.estimate.memory.total_bytes for c in plan.choices)
        assert plan.memory.headroom_bytes == plan.memory.budget_bytes - plan.memory.total_bytes
        assert plan.memory.devices[0].budget_bytes == int(8 * GIB * (1 - COMFORT_MARGIN))


def test_more_memory_never_lowers_the_best_score() -> None:
    scores = [recommend(MODELS, machine(gpu(0, g)), Workload())[0].score for g in (2, 4, 6, 8, 12, 16, 24, 48)]
    assert scores == sorted(scores)


@pytest.mark.parametrize("prefer", ["quality", "speed", "balanced"])
@pytest.mark.parametrize("bandwidth", [2.0, 10.0, 30.0])
def test_a_card_that_is_slower_than_the_host_never_lowers_the_best_score(prefer: Prefer, bandwidth: float) -> None:
    workload = Workload(prefer=prefer)
    alone = recommend(MODELS, machine(ram_gib=32), workload)[0].score
    assert recommend(MODELS, machine(gpu(0, 3, bandwidth=bandwidth), ram_gib=32), workload)[0].score >= alone


def test_where_chunks_are_long_no_context_that_may_be_asked_for_scores_more() -> None:
    models = [EMBED_HUGE, msgspec.structs.replace(BIG, context_length=131_072)]
    wish = Workload(prefer="quality", chunk_tokens=2048)
    best = recommend(models, machine(gpu(0, 48)), wish)[0].score
    for context in (32_768, 65_536, 131_072):
        asked = msgspec.structs.replace(wish, context=context)
        assert recommend(models, machine(gpu(0, 48)), asked)[0].score <= best


def test_a_shared_memory_is_never_overbooked_and_more_of_it_never_scores_less() -> None:
    scores = []
    for gib in (8, 12, 16, 24, 32, 48, 64):
        plans = recommend(MODELS, machine(apple(gib), ram_gib=gib), Workload(limit=10))
        for plan in plans:
            assert [row.device for row in plan.memory.devices] == ["host"]
            assert plan.memory.total_bytes <= plan.memory.budget_bytes
        scores.append(plans[0].score)
    assert scores == sorted(scores)


@pytest.mark.parametrize("cards", [((8, 900.0), (24, 300.0)), ((16, 500.0), (1, 200.0)), ((16, 500.0), (0.5, 900.0))])
def test_a_second_card_never_scores_less(cards: tuple[tuple[float, float], ...]) -> None:
    made = [gpu(i, gib, bandwidth=speed) for i, (gib, speed) in enumerate(cards)]
    both = recommend(MODELS, machine(*made), Workload())[0].score
    assert both >= max(recommend(MODELS, machine(card), Workload())[0].score for card in made)


def test_each_generator_appears_once() -> None:
    plans = recommend(MODELS, machine(gpu(0, 24)), Workload(limit=10))
    names = [plan.generation.model.id for plan in plans if plan.generation]
    assert sorted(names) == sorted({m.id for m in (TINY, BIG)})
    assert [plan.rank for plan in plans] == list(range(1, len(plans) + 1))


def test_commercial_licence_leaves_out_what_forbids_it() -> None:
    plans = recommend(MODELS, machine(gpu(0, 48)), Workload(licence="commercial", prefer="quality"))
    assert all(plan.embedding and plan.embedding.model.id != EMBED_HUGE.id for plan in plans)


def test_min_speed_is_a_promise() -> None:
    plans = recommend(MODELS, machine(gpu(0, 24)), Workload(min_speed=100.0))
    for plan in plans:
        assert plan.generation is not None
        rate = plan.generation.estimate.throughput.tg
        assert rate is not None
        assert rate.mid >= 100


def test_a_pinned_model_and_quant_are_kept() -> None:
    variant = BIG.variant("Q2_K")
    (plan,) = recommend(MODELS, machine(gpu(0, 24)), Workload(), pins=(Pin(BIG, variant),))
    assert plan.generation is not None
    assert (plan.generation.model.id, plan.generation.variant.quant) == (BIG.id, "Q2_K")


def test_a_context_the_user_names_is_kept_or_refused() -> None:
    plans = recommend(MODELS, machine(gpu(0, 24)), Workload(context=12000))
    assert {plan.generation.settings.context for plan in plans if plan.generation} == {12000}
    assert all(plan.generation and plan.generation.model.id == BIG.id for plan in plans)
    with pytest.raises(NoResultError, match="matches"):
        recommend(MODELS, machine(gpu(0, 24)), Workload(context=100_000))


def test_single_roles() -> None:
    (only, *_) = recommend(MODELS, machine(gpu(0, 8)), Workload(role=Role.EMBEDDING))
    assert only.generation is None
    assert only.embedding is not None
    (only, *_) = recommend(MODELS, machine(gpu(0, 8)), Workload(role=Role.GENERATION))
    assert only.embedding is None


def test_nothing_fits_says_how_much_would_be_needed() -> None:
    with pytest.raises(NoResultError, match=r"smallest plan \(embed-small Q8_0 \+ tiny Q8_0\) takes .* MiB|GiB"):
        recommend(MODELS, machine(ram_gib=0.3), Workload())


def test_the_command_runs_what_was_recommended() -> None:
    plan = recommend(MODELS, machine(gpu(0, 8)), Workload())[0]
    assert plan.embedding is not None
    assert plan.generation is not None
    assert plan.command[:2] == ("planner", "up")
    assert f"{plan.generation.model.id}:{plan.generation.variant.quant}" in plan.command
    assert str(plan.generation.settings.context) in plan.command
    assert plan.reasons


def bare(model: Model, *repos: str) -> Model:
    """The model without a file that is named, in the given repositories."""
    variants = tuple(msgspec.structs.replace(variant, artifacts=()) for variant in model.variants)
    return msgspec.structs.replace(model, variants=variants, gguf_repos=tuple(RepoId(repo) for repo in repos))


def test_a_model_without_a_named_file_is_recommended_if_its_repository_is_known() -> None:
    hardware = machine(gpu(0, 8))
    named = recommend([EMBED_SMALL, BIG], hardware, Workload())
    found = recommend([EMBED_SMALL, bare(BIG, "acme/big-GGUF")], hardware, Workload())
    assert [plan.score for plan in found] == [plan.score for plan in named]
    assert found[0].generation is not None
    assert found[0].generation.variant.artifacts == ()


def test_a_model_of_which_neither_file_nor_repository_is_known_is_never_recommended() -> None:
    hardware = machine(gpu(0, 8))
    plans = recommend([EMBED_SMALL, bare(EMBED_LARGE), TINY, bare(BIG)], hardware, Workload())
    names = {choice.model.id for plan in plans for choice in plan.choices}
    assert names == {EMBED_SMALL.id, TINY.id}
    with pytest.raises(NoResultError):
        recommend([EMBED_SMALL, bare(BIG)], hardware, Workload())


def test_a_question_after_others_has_the_answer_of_one_asked_alone() -> None:
    hardware = machine(gpu(0, 8))
    planner = Planner(MODELS, hardware)
    for workload in (
        Workload(),
        Workload(prefer="quality"),
        Workload(licence="commercial"),
        Workload(prefer="speed", docs=100_000),
        Workload(context=8192, kv_type="q8_0"),
        Workload(),
    ):
        assert planner.recommend(workload) == recommend(MODELS, hardware, workload)
