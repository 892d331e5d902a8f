import msgspec
import pytest

from planner.core.estimate import Rate
from planner.core.estimator import estimate, settings_for
from planner.core.hardware import BandwidthBasis, DeviceKind, Hardware
from planner.core.model import Model, Pooling, Role
from planner.core.placement import machine_of
from planner.core.throughput import cpu_bandwidth_gbps
from planner.core.workload import Settings, Workload
from tests.core.shapes import BERT_LARGE, LLAMA_8B, gpu, machine, make_model

BIG = make_model(
    "big", LLAMA_8B, 8030261248, quants={"Q8_0": 8_540_000_000, "Q4_K_M": 4_920_739_232, "Q2_K": 3_180_000_000}
)


def generation(hardware: Hardware, quant: str = "Q4_K_M", model: Model = BIG, **settings: object) -> Rate:
    variant = model.variant(quant)
    assert variant is not None
    made = Settings(**{"context": 8192, **settings})  # type: ignore[arg-type]  # named by the caller
    rate = estimate(model, variant, made, hardware, machine_of(hardware, live=False)).throughput.tg
    assert rate is not None
    return rate


def test_a_rate_is_an_interval_around_its_middle() -> None:
    rate = generation(machine(gpu(0, 24)))
    assert 0 < rate.low < rate.mid < rate.high
    assert rate.basis == "calibrated"


def test_fewer_bytes_per_token_are_faster() -> None:
    hardware = machine(gpu(0, 24))
    assert generation(hardware, "Q4_K_M").mid > generation(hardware, "Q8_0").mid


def test_a_fuller_cache_is_slower() -> None:
    hardware = machine(gpu(0, 24))
    assert generation(hardware, depth=8000).mid < generation(hardware, depth=0).mid


def test_more_bandwidth_is_faster_and_never_beyond_the_roof() -> None:
    slow, fast = (generation(machine(gpu(0, 24, bandwidth=b))).mid for b in (200, 1000))
    assert slow < fast
    assert fast < 1000e9 / 4.5e9 * 1.1


def test_a_second_card_adds_memory_not_speed() -> None:
    one = generation(machine(gpu(0, 24))).mid
    two = generation(machine(gpu(0, 5), gpu(1, 5))).mid
    assert two == pytest.approx(one, rel=0.05)


def test_layers_on_the_cpu_rule_the_speed() -> None:
    full = generation(machine(gpu(0, 24))).mid
    half = generation(machine(gpu(0, 24)), n_gpu_layers=16).mid
    none = generation(machine(gpu(0, 24)), n_gpu_layers=0).mid
    # Half the layers on a slow tier is far worse than half the speed.
    assert half < full / 2.5
    assert none < half


def with_memory(hardware: Hardware, gbps: float | None, basis: BandwidthBasis | None) -> Hardware:
    host = msgspec.structs.replace(hardware.host, memory_bandwidth_gbps=gbps, memory_bandwidth_basis=basis)
    return msgspec.structs.replace(hardware, host=host)


def test_a_measured_memory_counts_for_more_of_itself_than_a_data_sheets_peak() -> None:
    host = machine()
    peak = cpu_bandwidth_gbps(with_memory(host, 50.0, BandwidthBasis.SPECIFIED))
    assert peak == pytest.approx(27.5)
    # What a desktop with that peak reads is 0.78 of it: both ways agree.
    assert cpu_bandwidth_gbps(with_memory(host, 39.0, BandwidthBasis.MEASURED)) == pytest.approx(peak)
    assert cpu_bandwidth_gbps(with_memory(host, 50.0, BandwidthBasis.MEASURED)) == pytest.approx(35.3, rel=0.01)


def test_few_cores_bound_a_fast_memory_however_it_was_found() -> None:
    host = machine(cores=2)
    for basis in BandwidthBasis:
        assert cpu_bandwidth_gbps(with_memory(host, 300.0, basis)) == 16


def test_a_bandwidth_of_unknown_basis_is_a_peak_and_none_is_the_usual_one() -> None:
    host = machine()
    assert cpu_bandwidth_gbps(with_memory(host, 50.0, None)) == pytest.approx(27.5)
    assert cpu_bandwidth_gbps(with_memory(host, None, None)) == pytest.approx(22)


def test_a_measured_memory_is_as_fast_for_the_gpu_that_shares_it_as_its_peak() -> None:
    shared = msgspec.structs.replace(gpu(0, 24, bandwidth=None), kind=DeviceKind.UNIFIED)
    hardware = machine(shared, ram_gib=32)
    specified = generation(with_memory(hardware, 100.0, BandwidthBasis.SPECIFIED))
    assert generation(with_memory(hardware, 78.0, BandwidthBasis.MEASURED)).mid == specified.mid


def test_an_unknown_bandwidth_is_an_unknown_speed() -> None:
    hardware = machine(gpu(0, 24, bandwidth=None))
    variant = BIG.variant("Q4_K_M")
    assert variant is not None
    found = estimate(BIG, variant, Settings(context=8192), hardware, machine_of(hardware, live=False))
    assert found.throughput.tg is None


def test_a_card_known_by_size_alone_has_a_wider_interval() -> None:
    known = gpu(0, 24)
    anonymous = msgspec.structs.replace(known, memory_bandwidth_range_gbps=(250.0, 900.0))
    narrow, wide = generation(machine(known)), generation(machine(anonymous))
    assert wide.low < narrow.low
    assert wide.high > narrow.high
    assert wide.basis == "estimated"


def test_an_embedder_has_an_indexing_rate_and_no_generation_rate() -> None:
    model = make_model(
        "e", BERT_LARGE, 335141888, role=Role.EMBEDDING, quants={"F16": 670_000_000}, context=512, pooling=Pooling.CLS
    )
    hardware = machine(gpu(0, 24))
    found = estimate(
        model, model.variants[0], settings_for(model, Workload(), 512), hardware, machine_of(hardware, live=False)
    )
    assert found.throughput.tg is None
    assert found.throughput.embed is not None
