import msgspec
import pytest

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate, settings_for
from planner.core.machines.devices import device_from_spec
from planner.core.machines.hardware import BandwidthBasis, DeviceKind, Hardware
from planner.core.memory.estimate import Rate, Throughput
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings, Workload
from planner.core.models.model import Model, Pooling, Role
from planner.core.speed.calibration import HostSpeed
from planner.core.speed.cpu import cpu_bandwidth_gbps
from planner.errors import BadDataError
from planner.units import GIB
from tests.core.shapes import BERT_LARGE, DEEPSEEK_V2_LITE, LLAMA_8B, gpu, machine, make_model

CATALOG = load()
SHIPPED = CATALOG.speed

BIG = make_model(
    "big", LLAMA_8B, 8030261248, quants={"Q8_0": 8_540_000_000, "Q4_K_M": 4_920_739_232, "Q2_K": 3_180_000_000}
)


def generation(hardware: Hardware, quant: str = "Q4_K_M", model: Model = BIG, **settings: object) -> Rate:
    made = Settings(**{"context": 8192, **settings})  # type: ignore[arg-type]  # named by the caller
    rate = throughput(hardware, made, quant, model).tg
    assert rate is not None
    return rate


def throughput(hardware: Hardware, settings: Settings, quant: str = "Q4_K_M", model: Model = BIG) -> Throughput:
    variant = model.variant(quant)
    assert variant is not None
    where = machine_of(hardware, live=False)
    return estimate(model, variant, settings, hardware, where, calibration=SHIPPED).throughput


def test_a_rate_is_an_interval_around_its_middle() -> None:
    rate = generation(machine(gpu(0, 24)))
    assert 0 < rate.low < rate.mid < rate.high


def named(slug: str) -> Hardware:
    spec = next(spec for spec in CATALOG.devices if spec.slug == slug)
    return machine(device_from_spec(spec, index=0, host_memory_bytes=64 * GIB))


def width(rate: Rate) -> float:
    return rate.high / rate.low


def test_the_nearer_the_measured_devices_the_narrower_the_interval() -> None:
    measured, relative, stranger = (
        generation(named(slug)) for slug in ("geforce-rtx-3090", "rtx-a6000", "geforce-rtx-2080-ti")
    )
    assert (measured.basis, relative.basis, stranger.basis) == ("calibrated", "calibrated", "estimated")
    assert width(measured) <= width(relative) * 1.01  # printed with three digits
    assert width(relative) <= width(stranger) * 1.01
    nothing_known = estimate(
        BIG,
        BIG.variants[1],
        Settings(context=8192),
        named("geforce-rtx-3090"),
        machine_of(named("geforce-rtx-3090"), live=False),
    ).throughput.tg
    assert nothing_known is not None
    assert nothing_known.basis == "estimated"
    assert width(nothing_known) > width(stranger)


@pytest.mark.parametrize("field", ["memory_bandwidth_gbps", "fp32_tflops", "fp16_tflops"])
@pytest.mark.parametrize("value", [0.0, -1.0, 1e-300, 1e300, float("nan"), float("inf")])
def test_a_device_of_no_speed_is_an_error_that_names_the_field(field: str, value: float) -> None:
    broken = msgspec.structs.replace(gpu(0, 24), **{field: value})
    with pytest.raises(BadDataError, match=field) as caught:
        throughput(machine(broken), Settings(context=4096))
    assert caught.value.reference == "bad-hardware"


def test_a_host_without_bandwidth_is_an_error_too() -> None:
    with pytest.raises(BadDataError, match="The host"):
        throughput(with_memory(machine(), 0.0, None), Settings(context=4096))


def test_all_slots_together_are_faster_than_one_and_slower_than_their_number() -> None:
    hardware = named("geforce-rtx-3090")
    alone = throughput(hardware, Settings(context=8192))
    assert alone.tg_slots is None
    four = throughput(hardware, Settings(context=8192, parallel=4))
    assert four.tg is not None
    assert four.tg_slots is not None
    assert four.tg.mid * 1.5 < four.tg_slots.mid < four.tg.mid * 4
    assert width(four.tg_slots) > width(four.tg)


def test_the_first_token_waits_for_the_prompt_and_one_step() -> None:
    found = throughput(named("geforce-rtx-3090"), Settings(context=8192, n_prompt=4000))
    assert found.pp is not None
    assert found.tg is not None
    assert found.first_token_s is not None
    assert found.first_token_s.mid == pytest.approx(4000 / found.pp.mid + 1 / found.tg.mid, rel=0.01)
    assert found.first_token_s.low < found.first_token_s.mid < found.first_token_s.high


def test_a_cache_on_the_host_is_read_at_the_hosts_speed() -> None:
    hardware = machine(gpu(0, 24))
    near, far = (generation(hardware, depth=8000, context=16384, kv_offload=there) for there in (True, False))
    assert far.mid < near.mid / 1.5
    assert width(far) > width(near)


def test_experts_on_the_host_cost_more_the_more_there_are_and_less_than_whole_layers() -> None:
    model = make_model("experts", DEEPSEEK_V2_LITE, 15_706_484_224, quants={"Q4_K_M": 10_364_416_768})
    rates = [generation(machine(gpu(0, 24)), model=model, n_cpu_moe=count).mid for count in (0, 8, 26)]
    assert rates == sorted(rates, reverse=True)
    layers = generation(machine(gpu(0, 24)), model=model, n_gpu_layers=1).mid
    assert rates[-1] > layers


def test_prompts_of_experts_are_faster_in_larger_micro_batches() -> None:
    model = make_model("experts", DEEPSEEK_V2_LITE, 15_706_484_224, quants={"Q4_K_M": 10_364_416_768})
    small, large = (
        throughput(named("geforce-rtx-3090"), Settings(context=8192, n_prompt=2048, ubatch=ubatch), model=model).pp
        for ubatch in (128, 2048)
    )
    assert small is not None
    assert large is not None
    assert large.mid > 1.5 * small.mid


def test_flash_attention_matters_for_long_prompts_alone() -> None:
    def prompt(n_prompt: int, *, flash: bool) -> float:
        settings = Settings(context=16384, n_prompt=n_prompt, flash_attention=flash)
        rate = throughput(named("geforce-rtx-3090"), settings).pp
        assert rate is not None
        return rate.mid

    assert prompt(512, flash=True) == pytest.approx(prompt(512, flash=False), rel=0.1)
    assert prompt(16000, flash=True) > 1.3 * prompt(16000, flash=False)


def test_a_tighter_power_limit_slows_prompts_and_not_generation() -> None:
    card = named("geforce-rtx-3090").devices[0]
    limited = machine(msgspec.structs.replace(card, power_limit_w=200.0))
    free, less = throughput(machine(card), Settings(context=4096)), throughput(limited, Settings(context=4096))
    assert free.pp is not None
    assert less.pp is not None
    assert 0.5 * free.pp.mid < less.pp.mid < 0.9 * free.pp.mid
    assert free.tg == less.tg


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
    peak = cpu_bandwidth_gbps(with_memory(host, 50.0, BandwidthBasis.SPECIFIED), HostSpeed())
    assert peak == pytest.approx(27.5)
    # What a desktop with that peak reads is 0.78 of it: both ways agree.
    assert cpu_bandwidth_gbps(with_memory(host, 39.0, BandwidthBasis.MEASURED), HostSpeed()) == pytest.approx(peak)
    assert cpu_bandwidth_gbps(with_memory(host, 50.0, BandwidthBasis.MEASURED), HostSpeed()) == pytest.approx(
        35.3, rel=0.01
    )


def test_few_cores_bound_a_fast_memory_however_it_was_found() -> None:
    host = machine(cores=2)
    for basis in BandwidthBasis:
        assert cpu_bandwidth_gbps(with_memory(host, 300.0, basis), HostSpeed()) == 16


def test_a_bandwidth_of_unknown_basis_is_a_peak_and_none_is_the_usual_one() -> None:
    host = machine()
    assert cpu_bandwidth_gbps(with_memory(host, 50.0, None), HostSpeed()) == pytest.approx(27.5)
    assert cpu_bandwidth_gbps(with_memory(host, None, None), HostSpeed()) == pytest.approx(22)


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
    assert found.throughput.first_token_s is None


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
