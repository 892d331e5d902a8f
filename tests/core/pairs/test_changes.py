"""What is said to change a plan is true on the machine that it speaks of, and is nothing that the wishes forbid."""

import re
from collections.abc import Callable, Iterator

import msgspec
import pytest

from planner.core.estimates.estimator import estimate
from planner.core.machines.hardware import Backend, Hardware
from planner.core.machines.more_memory import with_more_memory, with_one_more_card
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Role, Variant
from planner.core.pairs.candidates import Pin
from planner.core.pairs.changes import Changes, with_changes
from planner.core.pairs.pair import COMFORT_MARGIN, recommend
from planner.core.pairs.reasons import rate_text
from planner.core.pairs.recommendation import Recommendation
from planner.core.speed.calibration import GENERIC
from planner.errors import NoResultError
from planner.units import GIB
from tests.core.pairs.test_pair import BIG, MODELS
from tests.core.pairs.test_plans import changed, files_of
from tests.core.shapes import apple, gpu, machine


def by_memory(plan: Recommendation) -> Iterator[tuple[int, Variant, str]]:
    """The added bytes, the file and the line of every change that takes memory for the same generator."""
    assert plan.generation is not None
    for line in plan.changes:
        found = re.match(r"([\d.]+) GiB more .*memory would (?:allow (\w+) of|hold all of) (\S+) ?(\w*)", line)
        if found is not None and found[3].rstrip(",") == plan.generation.model.name:
            variant = plan.generation.model.variant(found[2] or found[4].rstrip(":"))
            assert variant is not None
            yield int(float(found[1]) * GIB), variant, line


def is_whole(plan: Recommendation, variant: Variant, hardware: Hardware) -> bool:
    """Whether the generator of a plan is whole in that file beside the same others."""
    assert plan.generation is not None
    pins = [Pin(choice.model, choice.variant) for choice in plan.choices if choice.model.role is not Role.GENERATION]
    wish = Workload(role="rag" if pins else Role.GENERATION, context=plan.generation.settings.context)
    try:
        (found,) = recommend([], hardware, wish, pins=[*pins, Pin(plan.generation.model, variant)])
    except NoResultError:
        return False
    assert found.generation is not None
    placement = found.generation.estimate.placement
    return placement.verdict is Verdict.FITS and not placement.n_cpu_moe


@pytest.mark.parametrize(
    "described",
    [
        lambda gib: machine(ram_gib=gib),
        lambda gib: machine(apple(gib), ram_gib=gib),
        lambda gib: machine(gpu(0, gib)),
        lambda gib: machine(gpu(0, 1, backend=Backend.ROCM), gpu(1, gib)),
    ],
)
def test_the_memory_that_is_missing_is_enough_and_no_step_less_is(described: Callable[[float], Hardware]) -> None:
    seen = 0
    for gib in (4, 6, 7, 8, 9, 10, 11, 12, 16):
        hardware = described(gib)
        for role in ("rag", Role.GENERATION):
            try:
                plans = recommend(MODELS, hardware, Workload(role=role))
            except NoResultError:
                continue
            for plan in changed(hardware, Workload(role=role), plans):
                for more, variant, line in by_memory(plan):
                    seen += 1
                    assert is_whole(plan, variant, with_more_memory(hardware, more)), line
                    assert not is_whole(plan, variant, with_more_memory(hardware, more - GIB // 2)), line
    assert seen


SEVERAL = re.compile(
    r"(?:([\d.]+) GiB more on each GPU)?(?: or )?(one more Card \d)? would "
    r"(?:hold all of (\S+) (\w+)|allow (\w+) of (\S+)|allow (\S+) (\w+))(?:: (.+) instead of .+)?"
)


def test_what_several_cards_lack_is_told_as_more_on_each_or_one_card_more_and_is_true() -> None:
    kinds: set[str] = set()
    for cards in ((4, 4), (6, 6), (3, 3, 3), (2, 5), (5, 2), (1, 1), (2, 2, 2, 2), (8, 3)):
        for grown in (0.0, 0.5, 1.0, 1.5):
            made = [gpu(index, size + grown, bandwidth=500.0 - 100 * index) for index, size in enumerate(cards)]
            hardware = machine(*made)
            for plan in changed(hardware, Workload(), recommend(MODELS, hardware, Workload())):
                for line in plan.changes:
                    if "of context" not in line and "on the CPU" not in line:
                        kinds.update(_checked(plan, hardware, line))
    assert kinds == {"each", "one", "rates"}


def _checked(plan: Recommendation, hardware: Hardware, line: str) -> Iterator[str]:
    """What a line about several cards promises, each looked for on the machine that it speaks of."""
    found = SEVERAL.match(line)
    assert found is not None, line
    name, quant = found[3] or found[6] or found[7], found[4] or found[5] or found[8]
    model = next(each for each in MODELS if each.name == name)
    rates = []
    if found[1]:
        more = int(float(found[1]) * GIB)
        where = with_more_memory(hardware, more, each=True)
        rates.append(_whole_beside(plan, model, quant, where))
        assert not _whole_beside(plan, model, quant, with_more_memory(hardware, more - GIB // 2, each=True)), line
        yield "each"
    if found[2]:
        larger = with_one_more_card(hardware)
        assert larger is not None
        assert larger.devices[-1].name == found[2].removeprefix("one more ")
        rates.append(_whole_beside(plan, model, quant, larger))
        yield "one"
    assert rates, line
    assert all(rates), line
    if found[9]:
        assert " or ".join(dict.fromkeys(rates)) == found[9]
        yield "rates"


def _whole_beside(plan: Recommendation, model: Model, quant: str, hardware: Hardware) -> str:
    """How fast a generator is, whole beside the embedder of a plan as it is; nothing where it is not whole."""
    assert plan.generation is not None
    assert plan.embedding is not None
    variant = model.variant(quant)
    assert variant is not None
    where = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    beside = plan.embedding.estimate.memory
    context = min(plan.generation.settings.context, model.context_length)
    settings = msgspec.structs.replace(plan.generation.settings, context=context)
    found = estimate(model, variant, settings, hardware, where.less(beside))
    whole = found.placement.verdict is Verdict.FITS and not found.placement.n_cpu_moe
    return rate_text(found.throughput.tg) if whole and found.throughput.tg is not None else ""


def test_one_more_card_is_another_of_the_roomiest_and_empty() -> None:
    used = msgspec.structs.replace(gpu(1, 8), memory_free_bytes=GIB, memory_budget_bytes=7 * GIB)
    larger = with_one_more_card(machine(gpu(0, 4), used))
    assert larger is not None
    added = larger.devices[-1]
    assert added.id not in {device.id for device in larger.devices[:-1]}
    assert (added.name, added.memory_free_bytes, added.memory_budget_bytes) == ("Card 1", 8 * GIB, 8 * GIB)
    assert with_one_more_card(machine()) is None
    assert with_one_more_card(machine(apple(16), ram_gib=16)) is None


def test_no_change_is_named_that_the_wishes_forbid() -> None:
    seen = 0
    for gib in (3, 4, 5, 6, 8, 10):
        hardware = machine(gpu(0, gib))
        for limit, least in ((6_000_000_000, None), (None, 60.0), (9_000_000_000, 30.0)):
            wish = Workload(max_download_bytes=limit, min_speed=least)
            try:
                plans = recommend(MODELS, hardware, wish)
            except NoResultError:
                continue
            for plan in changed(hardware, wish, plans):
                for more, variant, line in by_memory(plan):
                    seen += 1
                    assert plan.generation is not None
                    others = files_of(plan) - (plan.generation.variant.file_bytes or 0)
                    assert limit is None or others + (variant.file_bytes or 0) <= limit, line
                    pins = [Pin(c.model, variant if c is plan.generation else c.variant) for c in plan.choices]
                    asked = Workload(context=plan.generation.settings.context, min_speed=least)
                    assert recommend([], with_more_memory(hardware, more), asked, pins=pins), line
    assert seen


def test_a_better_model_that_is_too_large_to_fetch_is_not_named() -> None:
    hardware = machine(gpu(0, 3))
    free, bounded = (
        changed(hardware, wish, recommend(MODELS, hardware, wish))[0]
        for wish in (Workload(), Workload(max_download_bytes=3_000_000_000))
    )
    assert any(BIG.name in line for line in free.changes)
    assert not any(BIG.name in line for line in bounded.changes)


def test_a_model_without_any_file_is_no_better_one() -> None:
    file = Variant(quant="Q4_K_M", artifacts=(), file_bytes=4_920_739_232)
    lost = msgspec.structs.replace(BIG, id="maker/lost", variants=(file,))
    hardware = machine(gpu(0, 3))
    best = recommend(MODELS, hardware, Workload())
    where = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    changes = Changes([lost], where, hardware, Workload(), GENERIC, margin=COMFORT_MARGIN)
    assert not any("lost" in line for plan in with_changes(best, changes) for line in plan.changes)


def test_an_embedder_alone_has_changes_too() -> None:
    seen = set()
    for tenths in range(8, 80, 4):
        hardware = machine(gpu(0, tenths / 10))
        wish = Workload(role=Role.EMBEDDING)
        for plan in changed(hardware, wish, recommend(MODELS, hardware, wish)):
            for line in plan.changes:
                found = re.match(r"([\d.]+) GiB more GPU memory would (?:allow|hold all of) (\S+) (\w+)", line)
                assert found is not None, line
                model = next(each for each in MODELS if each.name == found[2])
                pin = Pin(model, model.variant(found[3].rstrip(":,")))
                larger = with_more_memory(hardware, int(float(found[1]) * GIB))
                (alone,) = recommend([], larger, wish, pins=[pin])
                assert alone.embedding is not None
                assert alone.embedding.estimate.placement.verdict is Verdict.FITS
                figures = [choice.quality["mtr_percent"] for choice in (alone.embedding, plan.embedding) if choice]
                if "instead of" in line and "mean task rank" in line:
                    assert line.endswith(f"rank is {figures[0]:.2f} % instead of {figures[1]:.2f} %")
                seen.add("better" if "mean task rank" in line else "whole")
    assert seen == {"better", "whole"}


def test_a_generator_of_unknown_size_is_compared_without_figures() -> None:
    unknown = msgspec.structs.replace(BIG, id="maker/unknown", family="other", parameters=None)
    hardware = machine(gpu(0, 3))
    plans = recommend([*MODELS[:2], unknown], hardware, Workload())
    assert any("would allow big Q4_K_M" in line for line in changed(hardware, Workload(), plans)[0].changes)
