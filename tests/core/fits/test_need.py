"""The reverse question: what a model needs and which devices have it, always in agreement with the estimate."""

from collections.abc import Callable

import pytest

from planner.catalog.loader import load
from planner.core.estimates.estimator import estimate, settings_for
from planner.core.fits.device_market import DeviceClass, device_class, folded, generation, ram_sizes_gib
from planner.core.fits.fitting import usable_context
from planner.core.fits.need import need, sized_variants, wanted_variant
from planner.core.fits.need_answer import CONTEXT_SIZES_GIB, DESKTOP, SERVER, DeviceNeed, Need, Question
from planner.core.machines.hardware import DeviceKind, DeviceSpec
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Architecture, Commercial, Licence, Model, Role, Variant
from planner.errors import NoResultError, UsageError
from planner.units import GIB
from tests.core.shapes import LLAMA_8B, QWEN3_EMBED_06B

SPECS = load().devices


def model(
    arch: Architecture | None = LLAMA_8B,
    quants: tuple[str, ...] = ("F16", "Q8_0", "Q4_K_M"),
    role: Role = Role.GENERATION,
) -> Model:
    return Model(
        id="me/model",
        family="mine",
        role=role,
        parameters=8_000_000_000,
        context_length=32768,
        licence=Licence("MIT", Commercial.YES),
        architecture=arch,
        variants=tuple(Variant(quant=quant, artifacts=()) for quant in quants),
    )


def ask(
    subject: Model | None = None,
    *,
    quant: str = "Q4_K_M",
    context: int = 8192,
    everything: bool = False,
    **wishes: object,
) -> Need:
    subject = subject or model()
    question = Question(
        model=subject,
        variants=sized_variants(subject),
        variant=wanted_variant(subject, quant),
        context=context,
        workload=Workload(**wishes),  # type: ignore[arg-type]
    )
    return need(question, SPECS, everything=everything)


def of(kind: DeviceClass, found: Need, verdict: Verdict = Verdict.FITS) -> list[DeviceNeed]:
    return [device for device in found.devices if device.kind is kind and device.verdict is verdict]


class TestMarket:
    @pytest.mark.parametrize(
        ("slug", "expected"),
        [
            ("geforce-rtx-3090", DeviceClass.CONSUMER),
            ("titan-rtx", DeviceClass.CONSUMER),
            ("radeon-vii", DeviceClass.CONSUMER),
            ("arc-b580", DeviceClass.CONSUMER),
            ("rtx-a6000", DeviceClass.WORKSTATION),
            ("rtx-pro-6000-blackwell-max-q", DeviceClass.WORKSTATION),
            ("t1000-8gb", DeviceClass.WORKSTATION),
            ("radeon-pro-vii", DeviceClass.WORKSTATION),
            ("radeon-pro-w7900", DeviceClass.WORKSTATION),
            ("arc-pro-b60", DeviceClass.WORKSTATION),
            ("l4", DeviceClass.DATA_CENTRE),
            ("tesla-t4", DeviceClass.DATA_CENTRE),
            ("tesla-v100s-pcie-32gb", DeviceClass.DATA_CENTRE),
            ("radeon-pro-v620", DeviceClass.DATA_CENTRE),
            ("radeon-instinct-mi300a", DeviceClass.DATA_CENTRE),
            ("apple-m4-max-40c", DeviceClass.APPLE),
            ("radeon-8060s", DeviceClass.SHARED),
            ("gb10", DeviceClass.SHARED),
            ("arc-140v-mobile", DeviceClass.SHARED),
            ("geforce-rtx-4090-mobile", DeviceClass.LAPTOP),
            ("rtx-a4000-max-q", DeviceClass.LAPTOP),
            ("radeon-rx-6600m", DeviceClass.LAPTOP),
            ("radeon-rx-6650m-xt", DeviceClass.LAPTOP),
            ("arc-a770m", DeviceClass.LAPTOP),
            ("geforce-gtx-980mx", DeviceClass.LAPTOP),
            ("cmp-90hx", DeviceClass.MINING),
        ],
    )
    def test_the_class_follows_from_the_product_line(self, slug: str, expected: DeviceClass) -> None:
        (spec,) = (spec for spec in SPECS if spec.slug == slug)
        assert device_class(spec) is expected

    def test_every_device_of_the_table_is_in_exactly_one_chip(self) -> None:
        names = [name for chip in folded(SPECS) for name in (chip.spec.name, *chip.others)]
        assert sorted(names) == sorted(spec.name for spec in SPECS)

    def test_chips_that_are_sold_under_several_names_are_folded_and_others_are_not(self) -> None:
        chips = {chip.spec.slug: chip.others for chip in folded(SPECS)}
        assert chips["geforce-rtx-5090"] == ("GeForce RTX 5090 D",)
        assert chips["geforce-rtx-4070"] == ()
        assert chips["geforce-rtx-4060-ti-16gb"] == ()

    def test_shared_memory_comes_in_the_sizes_that_are_sold_with_a_chip(self) -> None:
        sizes = {spec.slug: ram_sizes_gib(spec) for spec in SPECS if spec.kind is DeviceKind.UNIFIED}
        assert all(found == tuple(sorted(found)) and found for found in sizes.values())
        assert sizes["apple-m3-ultra-80c"] == (96, 256, 512)
        assert sizes["apple-m3-ultra-60c"] == (96, 256)
        assert sizes["gb10"] == (128,)

    def test_old_devices_and_those_of_one_country_are_not_on_sale(self) -> None:
        on_sale = {spec.slug for spec in SPECS if generation(spec) is not None}
        assert {"geforce-rtx-3090", "apple-m3-ultra-80c", "b300", "radeon-8060s"} <= on_sale
        assert not {"geforce-gtx-1080", "geforce-rtx-5090-d", "h20-96gb", "apple-m1-8c", "uhd-graphics-770"} & on_sale


class TestQuants:
    def test_memory_is_that_of_the_estimate_on_a_card_that_holds_everything(self) -> None:
        subject = model()
        hardware = virtual_hardware(Overrides(gpu="a100-sxm4-80gb", ram_bytes=32 * GIB), SPECS)
        for quant in ask(subject).quants:
            found = estimate(
                subject,
                quant.variant,
                settings_for(subject, Workload(), 8192),
                hardware,
                machine_of(hardware, live=False),
            )
            assert [row.total_bytes for row in found.memory.devices] == [quant.gpu_bytes, quant.host_bytes]

    def test_quants_need_more_the_larger_their_file(self) -> None:
        quants = ask().quants
        assert [quant.variant.quant for quant in quants] == ["F16", "Q8_0", "Q4_K_M"]
        for measure in ("gpu_bytes", "file_bytes"):
            sizes = [getattr(quant, measure) for quant in quants]
            assert sizes == sorted(sizes, reverse=True)

    @pytest.mark.parametrize(
        "wish",
        [{"context": 32768}, {"parallel": 4}, {"kv_type": "f32"}],
        ids=["context", "parallel", "cache"],
    )
    def test_context_slots_and_cache_type_cost_memory(self, wish: dict[str, object]) -> None:
        plain = ask().quants[-1]
        more = ask(**wish).quants[-1]  # type: ignore[arg-type]
        assert more.gpu_bytes > plain.gpu_bytes
        assert more.cpu_only.total_bytes > plain.cpu_only.total_bytes

    def test_without_a_gpu_the_memory_to_have_leaves_room_for_the_system(self) -> None:
        for quant in ask().quants:
            cpu = quant.cpu_only
            assert cpu.host is DESKTOP
            assert cpu.ram_gib is not None
            assert cpu.ram_gib in DESKTOP.ram_gib
            assert cpu.total_bytes + 2 * GIB <= cpu.ram_gib * GIB
            assert cpu.rate is not None

    def test_what_no_desktop_holds_is_told_for_a_server(self) -> None:
        subject = load().find("deepseek-ai/DeepSeek-V3")
        (small,) = (quant for quant in ask(subject).quants if quant.variant.quant == "Q4_K_M")
        assert small.cpu_only.host is SERVER
        assert small.partial is not None

    def test_a_part_on_a_card_is_the_smallest_that_is_fast_enough(self) -> None:
        slow, fast = (ask(min_speed=speed).quants[0].partial for speed in (2.0, 8.0))
        assert slow is not None
        assert fast is not None
        assert fast.rate is not None
        assert fast.rate.mid >= 8
        assert slow.card_gib < fast.card_gib
        assert fast.gpu_bytes <= fast.card_gib * GIB < ask().quants[0].gpu_bytes

    def test_a_part_on_a_card_is_told_only_where_it_is_clearly_faster_than_the_cpu(self) -> None:
        for quant in ask(min_speed=0.1).quants:
            assert quant.partial is not None
            assert quant.partial.rate is not None
            assert quant.cpu_only.rate is not None
            assert quant.partial.rate.mid >= 1.25 * quant.cpu_only.rate.mid

    def test_a_part_on_a_card_is_not_told_of_embedders(self) -> None:
        embedder = model(QWEN3_EMBED_06B, ("Q8_0",), Role.EMBEDDING)
        assert ask(embedder, quant="Q8_0").quants[0].partial is None

    def test_the_longest_context_is_what_fits_a_card_of_that_size(self) -> None:
        subject = model()
        for quant in ask(subject).quants:
            for gib, tokens in zip(CONTEXT_SIZES_GIB, quant.contexts, strict=True):
                hardware = virtual_hardware(Overrides(vram=(gib * GIB,), ram_bytes=64 * GIB), SPECS)
                assert tokens == usable_context(subject, quant.variant, hardware)

    def test_a_smaller_cache_holds_a_longer_context(self) -> None:
        plain, small = (ask(kv_type=kv_type).quants[1].contexts[1] for kv_type in ("f16", "q8_0"))
        assert plain is not None
        assert small is not None
        assert plain < small


class TestDevices:
    @pytest.mark.parametrize(
        "reference", ["meta-llama/Llama-3.3-70B-Instruct", "openai/gpt-oss-120b", "Qwen/Qwen3-8B"]
    )
    def test_every_figure_is_the_estimate_for_those_devices(self, reference: str) -> None:
        catalog = load()
        subject = catalog.find(reference)
        variant = wanted_variant(subject, None)
        question = Question(model=subject, variants=sized_variants(subject), variant=variant, context=8192)
        found = need(question, catalog.devices, calibration=catalog.speed)
        assert len(found.devices) > 8
        base = DESKTOP.hardware()
        for device in found.devices:
            ram = round(device.memory_gib * GIB) if device.shared else None
            overrides = Overrides(gpu=f"{device.count}x {device.chip.spec.slug}", ram_bytes=ram)
            hardware = virtual_hardware(overrides, catalog.devices, base=base)
            expected = estimate(
                subject,
                variant,
                settings_for(subject, Workload(), 8192),
                hardware,
                machine_of(hardware, live=False),
                calibration=catalog.speed,
            )
            assert device.estimate == expected

    def test_all_that_is_named_holds_the_model_and_is_on_sale(self) -> None:
        for device in ask().devices:
            assert generation(device.chip.spec) is not None
            assert device.verdict is Verdict.FITS or device.useful
            assert device.device_bytes <= device.count * device.memory_gib * GIB

    def test_few_are_named_by_default_and_all_on_request(self) -> None:
        few, everything = ask(), ask(everything=True)
        assert 8 <= len(few.devices) <= 15
        assert len(everything.devices) == len(folded(SPECS))
        assert {device.verdict for device in everything.devices} == set(Verdict)

    def test_devices_come_by_class_then_by_memory(self) -> None:
        for found in (ask(), ask(everything=True)):
            kinds = [device.kind for device in found.devices]
            assert kinds == sorted(kinds, key=list(DeviceClass).index)
            for kind in DeviceClass:
                memory = [device.count * device.memory_gib for device in of(kind, found)]
                assert memory == sorted(memory)

    def test_a_wanted_speed_leaves_out_what_is_slower_by_its_middle(self) -> None:
        fast = ask(min_speed=100)
        for device in fast.devices:
            assert device.rate is not None
            assert device.rate.mid >= 100
        slow = {device.chip.spec.slug for device in ask().devices}
        assert slow - {device.chip.spec.slug for device in fast.devices}

    def test_where_one_card_is_not_enough_the_fewest_that_are_enough_are_named(self) -> None:
        subject = load().find("meta-llama/Llama-3.3-70B-Instruct")
        found = ask(subject)
        several = {d.chip.spec.slug: d for d in of(DeviceClass.CONSUMER, found) if d.count > 1}
        card = several["geforce-rtx-3090"]
        assert (card.count, card.memory_gib) == (2, 24)
        one = virtual_hardware(Overrides(gpu="geforce-rtx-3090"), SPECS, base=DESKTOP.hardware())
        settings = settings_for(subject, Workload(), 8192)
        alone = estimate(subject, found.question.variant, settings, one, machine_of(one, live=False))
        assert alone.placement.verdict is not Verdict.FITS

    def test_laptops_are_never_counted_twice(self) -> None:
        subject = load().find("meta-llama/Llama-3.3-70B-Instruct")
        laptops = [d for d in ask(subject, everything=True).devices if d.kind is DeviceClass.LAPTOP]
        assert {device.count for device in laptops} == {1}

    def test_a_chip_with_shared_memory_is_told_with_the_least_that_holds_the_model(self) -> None:
        found = {device.chip.spec.slug: device for device in ask(everything=True).devices}
        assert found["apple-m4-max-32c"].memory_gib == 36
        assert found["apple-m2-10c"].memory_gib == 16
        assert found["apple-m2-10c"].host_bytes == 0
        larger = {d.chip.spec.slug: d for d in ask(quant="F16", everything=True).devices}
        assert larger["apple-m2-10c"].memory_gib == 24

    def test_the_largest_quant_that_the_same_devices_hold_is_told(self) -> None:
        found = {device.chip.spec.slug: device for device in ask(everything=True).devices}
        held = {slug: None if (q := found[slug].largest) is None else q.quant for slug in found}
        assert held["geforce-rtx-4060"] == "Q4_K_M"
        assert held["geforce-rtx-3060-12gb"] == "Q8_0"
        assert held["geforce-rtx-3090"] == "F16"

    def test_a_mixture_of_experts_is_also_told_for_cards_with_a_part_of_it(self) -> None:
        found = ask(load().find("openai/gpt-oss-120b"), quant="MXFP4")
        part = of(DeviceClass.CONSUMER, found, Verdict.OFFLOAD)
        assert part
        for device in part:
            assert device.rate is not None
            assert device.rate.mid >= 5
            assert device.count == 1
            assert device.host_bytes > 32 * GIB

    def test_a_card_too_small_for_a_single_layer_has_nothing_on_it(self) -> None:
        found = {device.chip.spec.slug: device for device in ask(quant="F16", everything=True).devices}
        small = [d for d in found.values() if d.verdict is Verdict.OFFLOAD and not d.estimate.placement.n_gpu_layers]
        assert small
        for device in small:
            assert device.device_bytes == (device.estimate.memory.total_bytes if device.shared else 0)
        assert all(device.host_bytes == 0 for device in found.values() if device.shared)


class TestNothing:
    def test_a_speed_that_nothing_reaches_is_an_error_that_names_the_nearest(self) -> None:
        with pytest.raises(NoResultError) as caught:
            ask(min_speed=1e6)
        assert caught.value.reference == "too-slow"
        assert "The nearest is" in caught.value.message

    def test_a_model_that_nothing_holds_is_an_error_that_names_the_largest(self) -> None:
        small = tuple(spec for spec in SPECS if spec.slug in {"geforce-rtx-4060", "geforce-rtx-3090"})
        subject = load().find("moonshotai/Kimi-K2-Instruct")
        variant = Variant(quant="F16", artifacts=())
        question = Question(model=subject, variants=(), variant=variant, context=8192)
        with pytest.raises(NoResultError, match="RTX 3090") as caught:
            need(question, small)
        assert caught.value.reference == "nothing-fits"

    def test_a_model_without_an_architecture_is_refused_with_the_reason(self) -> None:
        with pytest.raises(NoResultError) as caught:
            wanted_variant(load().find("openai/text-embedding-3-large"), None)
        assert caught.value.reference == "no-architecture"
        assert "Closed weights" in caught.value.message

    def test_an_unknown_quant_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(UsageError) as caught:
            wanted_variant(model(), "Q9")
        assert "Q8_0" in caught.value.hint

    @pytest.mark.parametrize(("role", "expected"), [(Role.GENERATION, "Q4_K_M"), (Role.EMBEDDING, "Q8_0")])
    def test_without_known_files_the_usual_quant_is_meant(self, role: Role, expected: str) -> None:
        assert wanted_variant(model(quants=(), role=role), None).quant == expected


def test_the_same_question_has_the_same_answer() -> None:
    assert ask() == ask()


@pytest.mark.parametrize("pick", [lambda s: s.kind is DeviceKind.DISCRETE, lambda s: s.kind is DeviceKind.UNIFIED])
def test_a_table_with_one_kind_of_device_is_enough(pick: Callable[[DeviceSpec], bool]) -> None:
    subject = model()
    question = Question(model=subject, variants=(), variant=wanted_variant(subject, None), context=2048)
    assert need(question, tuple(filter(pick, SPECS))).devices
