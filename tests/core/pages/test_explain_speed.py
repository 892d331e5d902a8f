"""The arithmetic of speed in words says what the estimate says."""

import pytest

from planner.core.estimates.estimator import estimate, settings_for, weights_of
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Pooling, Role
from planner.core.pages.explain_speed import explain_speed, generation_terms, prompt_terms
from planner.core.speed.calibration import GENERIC, Calibration
from planner.core.speed.generation import generation_seconds
from planner.core.speed.local import LocalPoint, with_local
from planner.core.speed.prompt import prompt_time
from planner.core.speed.work import Run, run_of, work_per_token
from tests.core.shapes import BERT_LARGE, DEEPSEEK_V2_LITE, LLAMA_8B, apple, gpu, machine, make_model

WRITER = make_model("writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000})
EXPERTS = make_model("experts", DEEPSEEK_V2_LITE, 15_700_000_000, quants={"Q4_K_M": 10_360_000_000})
FINDER = make_model(
    "finder",
    BERT_LARGE,
    335_000_000,
    role=Role.EMBEDDING,
    quants={"F16": 670_000_000},
    context=512,
    pooling=Pooling.CLS,
)
MACHINES = {
    "a card": machine(gpu(0, 24.0)),
    "a small card": machine(gpu(0, 4.0), ram_gib=32),
    "two cards": machine(gpu(0, 4.0), gpu(1, 4.0, bandwidth=300.0), ram_gib=32),
    "a CPU": machine(ram_gib=32),
    "shared memory": machine(apple(32.0), ram_gib=32),
}


def lines_of(model: Model, hardware: Hardware, calibration: Calibration = GENERIC) -> tuple[Run, tuple[str, ...]]:
    variant = model.variants[0]
    settings = settings_for(model, Workload(), 8192)
    found = estimate(model, variant, settings, hardware, machine_of(hardware, live=False), calibration=calibration)
    assert model.architecture is not None
    run = run_of(
        model.architecture,
        work_per_token(model.architecture, weights_of(model, variant), settings),
        settings=settings,
        hardware=hardware,
        placement=found.placement,
        memory=found.memory,
        quant=variant.quant,
        calibration=calibration,
    )
    return run, explain_speed(run, found.throughput)


@pytest.mark.parametrize("hardware", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("model", [WRITER, EXPERTS, FINDER], ids=lambda model: model.name)
def test_the_terms_add_up_to_the_time_of_the_estimate(model: Model, hardware: Hardware) -> None:
    run, lines = lines_of(model, hardware)
    prompt = prompt_time(run)
    assert prompt is not None
    assert sum(term.seconds for term in prompt_terms(run)) == pytest.approx(prompt.seconds)
    if model.role is Role.GENERATION:
        assert sum(term.seconds for term in generation_terms(run)) == pytest.approx(generation_seconds(run))
    assert all(len(line) <= 74 for line in lines)


def test_every_rate_is_explained_with_its_interval_and_what_that_rests_on() -> None:
    _, lines = lines_of(WRITER, MACHINES["a small card"])
    text = "\n".join(lines)
    assert text.count("80 % interval") == 2
    assert "prompt processing of 512 tokens" in text
    assert "generation: " in text
    assert "no device of its kind was measured; wider: the CPU does a part" in text
    assert "host: read" in text


def test_a_measurement_of_this_machine_is_named_as_what_moved_the_middle() -> None:
    settings = settings_for(WRITER, Workload(), 8192)
    point = LocalPoint(
        device="card-0/cuda",
        quantity="tg",
        arch=LLAMA_8B,
        quant="Q4_K_M",
        settings=settings,
        measured_tokens_per_s=50.0,
        predicted_tokens_per_s=40.0,
    )
    _, lines = lines_of(WRITER, MACHINES["a card"], with_local(GENERIC, [point]))
    assert any("times 1.25: this model was measured on this machine" in line for line in lines)


def test_what_does_not_run_has_no_speed_and_no_invented_one() -> None:
    _, lines = lines_of(WRITER, machine(ram_gib=2))
    assert lines == ("no speed: it does not run",)
    _, lines = lines_of(WRITER, machine(gpu(0, 24.0, bandwidth=None)))
    assert lines == ("no speed: the memory bandwidth or the arithmetic of the device is not known",)
