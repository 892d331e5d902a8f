"""What holds of every speed, whatever the model, the device and the settings."""

import math

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate
from planner.core.machines.devices import device_from_spec
from planner.core.machines.hardware import BandwidthBasis, Hardware
from planner.core.memory.estimate import Rate, Throughput
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Model, Role
from planner.core.models.quants import bits_per_weight
from planner.core.speed.calibration import GENERIC
from planner.units import GIB
from tests.core.shapes import BERT_LARGE, DEEPSEEK_V2_LITE, GEMMA3_270M, LLAMA_8B, gpu, machine, make_model

CATALOG = load()
QUANTS = ("Q2_K", "IQ3_M", "Q3_K_M", "IQ4_XS", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "F16")
SHAPES = {
    "dense": (LLAMA_8B, 8_030_261_248),
    "small": (GEMMA3_270M, 268_098_176),
    "experts": (DEEPSEEK_V2_LITE, 15_706_484_224),
}
FAST = settings(max_examples=60, deadline=None)


def model_of(shape: str) -> Model:
    arch, parameters = SHAPES[shape]
    sizes = {quant: int(parameters * (bits_per_weight(quant) or 16) / 8) for quant in QUANTS}
    return make_model(shape, arch, parameters, quants=sizes, context=2**20)


MODELS = {shape: model_of(shape) for shape in SHAPES}
MACHINES = [
    machine(device_from_spec(spec, index=0, host_memory_bytes=4096 * GIB, memory_bytes=4096 * GIB))
    for spec in CATALOG.devices
    if spec.memory_bandwidth_gbps
]

models = st.sampled_from(list(MODELS.values()))
hosts = st.sampled_from(MACHINES)


def speeds(model: Model, quant: str, hardware: Hardware, **wanted: object) -> Throughput:
    made = Settings(**{"context": 2**20, **wanted})  # type: ignore[arg-type]  # named by the caller
    variant = model.variant(quant)
    assert variant is not None
    where = machine_of(hardware, live=False)
    return estimate(model, variant, made, hardware, where, calibration=CATALOG.speed).throughput


def mid(rate: Rate | None) -> float:
    assert rate is not None
    return rate.mid


@FAST
@given(models, hosts, st.sampled_from(QUANTS), st.sampled_from(QUANTS))
def test_fewer_bytes_per_token_never_run_slower(model: Model, hardware: Hardware, one: str, other: str) -> None:
    sizes = {quant: model.variant(quant) for quant in (one, other)}
    small, large = sorted((one, other), key=lambda quant: getattr(sizes[quant], "file_bytes", 0))
    assert mid(speeds(model, small, hardware).tg) >= mid(speeds(model, large, hardware).tg)


@FAST
@given(models, hosts, st.integers(0, 500_000), st.integers(0, 500_000))
def test_more_depth_is_never_faster(model: Model, hardware: Hardware, one: int, other: int) -> None:
    shallow, deep = (speeds(model, "Q4_K_M", hardware, depth=depth) for depth in sorted((one, other)))
    assert mid(deep.tg) <= mid(shallow.tg)
    if shallow.pp is not None:
        assert mid(deep.pp) <= mid(shallow.pp)


@FAST
@given(models, st.floats(1, 1e5), st.floats(1, 1e5))
def test_more_bandwidth_is_never_slower(model: Model, one: float, other: float) -> None:
    slow, fast = (machine(gpu(0, 64, bandwidth=bandwidth)) for bandwidth in sorted((one, other)))
    assert mid(speeds(model, "Q4_K_M", fast, context=4096).tg) >= mid(speeds(model, "Q4_K_M", slow, context=4096).tg)


@FAST
@given(models, hosts, st.integers(1, 63), st.integers(2, 64))
def test_more_slots_give_more_together_and_less_each(model: Model, hardware: Hardware, fewer: int, more: int) -> None:
    few, many = sorted((fewer, max(2, more)))
    one, two = (speeds(model, "Q4_K_M", hardware, parallel=max(2, slots)) for slots in (few, many))
    assert mid(two.tg_slots) >= mid(one.tg_slots) * 0.999
    assert mid(two.tg_slots) <= max(2, many) * mid(two.tg) * 1.01


possible = st.floats(1e-3, 1e6)


@st.composite
def odd_machines(draw: st.DrawFn) -> Hardware:
    """Anything that passes as a machine."""
    card = msgspec.structs.replace(
        gpu(0, 64, bandwidth=draw(possible)),
        fp32_tflops=draw(st.none() | possible),
        fp16_tflops=draw(st.none() | possible),
        tdp_w=draw(st.none() | st.floats(1e-3, 1e9)),
    )
    hardware = machine(card, ram_gib=4096)
    host = msgspec.structs.replace(
        hardware.host,
        memory_bandwidth_gbps=draw(possible),
        memory_bandwidth_basis=draw(st.sampled_from([None, *BandwidthBasis])),
    )
    return msgspec.structs.replace(hardware, host=host)


@st.composite
def odd_settings(draw: st.DrawFn, *, embedding: bool) -> Settings:
    """As extreme as a request may be."""
    return Settings(
        context=8192,
        depth=draw(st.integers(0, 2**28)),
        n_prompt=draw(st.integers(1, 2**28)),
        n_gpu_layers=draw(st.none() | st.integers(0, 40)),
        parallel=draw(st.integers(1, 256)),
        embedding=embedding,
    )


ENCODER = make_model("encoder", BERT_LARGE, 335_141_888, role=Role.EMBEDDING, quants={"Q4_K_M": 200_000_000})


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*MODELS.values(), ENCODER]), odd_machines(), st.data())
def test_no_input_gives_a_rate_that_is_no_number(model: Model, hardware: Hardware, data: st.DataObject) -> None:
    wanted = data.draw(odd_settings(embedding=model is ENCODER))
    where = machine_of(hardware, live=False)
    for calibration in (GENERIC, CATALOG.speed):
        found = estimate(model, model.variants[-1], wanted, hardware, where, calibration=calibration).throughput
        for rate in (found.pp, found.tg, found.embed, found.tg_slots, found.first_token_s):
            if rate is not None:
                assert all(math.isfinite(value) for value in (rate.low, rate.mid, rate.high))
                assert 0 <= rate.low <= rate.mid <= rate.high
