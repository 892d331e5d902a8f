"""What gives way when an engine ran out of memory: only what the planner chose by itself."""

from typing import Any

import pytest

from planner.core.estimates.estimator import estimate, settings_for
from planner.core.launch.launch_plan import ProcessPlan, plan_process
from planner.core.launch.smaller import GPU_SHARE, LEAST_CONTEXT, difference, smaller_plan
from planner.core.machines.hardware import Hardware
from planner.core.memory.estimate import Verdict
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Workload
from planner.core.models.model import Model, Pooling, Role
from planner.core.pairs.recommendation import Choice
from planner.units import GIB
from tests.core.shapes import BGE_M3, DEEPSEEK_V2_LITE, LLAMA_8B, apple, gpu, machine, make_model

WRITER = make_model("llama", LLAMA_8B, 8_000_000_000, quants={"Q4_K_M": 4_900_000_000}, context=131_072)
EXPERTS = make_model("moe", DEEPSEEK_V2_LITE, 16_000_000_000, quants={"Q4_K_M": 10_400_000_000})
EMBEDDER = make_model(
    "bge", BGE_M3, 568_000_000, role=Role.EMBEDDING, quants={"F16": 1_160_000_000}, context=8192, pooling=Pooling.CLS
)
CPU, CARD, TWO, MAC = machine(), machine(gpu(0, 12)), machine(gpu(0, 4), gpu(1, 4)), machine(apple(16))


def planned(hardware: Hardware, tokens: int = 8192, model: Model = WRITER, **wish: Any) -> ProcessPlan:
    workload = Workload(**wish)
    settings = settings_for(model, workload, tokens)
    room = machine_of(hardware, live=True)
    found = estimate(model, model.variants[0], settings, hardware, room)
    choice = Choice(model=model, variant=model.variants[0], settings=settings, estimate=found)
    return plan_process(choice, gpu_backend=room.gpu_backend, threads=4)


def smaller(plan: ProcessPlan, hardware: Hardware, **wish: Any) -> ProcessPlan | None:
    workload = Workload(**wish)
    return smaller_plan(plan, hardware=hardware, machine=machine_of(hardware, live=True), workload=workload)


@pytest.mark.parametrize(("context", "less"), [(32768, 16384), (8192, 4096), (3000, LEAST_CONTEXT)])
def test_an_automatic_context_is_halved_down_to_what_is_of_use(context: int, less: int) -> None:
    plan = planned(CPU, context)
    found = smaller(plan, CPU)
    assert found is not None
    assert found.settings.context == less
    assert found.estimate.memory.total_bytes < plan.estimate.memory.total_bytes
    assert (found.threads, found.variant, found.settings.kv_type_k) == (4, plan.variant, "f16")
    assert difference(plan, found) == f"context {less} instead of {context}"


def test_a_context_the_user_named_stays_and_on_a_cpu_nothing_is_left_to_give_way() -> None:
    assert smaller(planned(CPU, 16384, context=16384), CPU, context=16384) is None
    assert smaller(planned(CPU, LEAST_CONTEXT), CPU) is None


@pytest.mark.parametrize("hardware", [CARD, TWO], ids=["one", "two"])
def test_on_a_gpu_fewer_layers_lie_there_and_what_the_user_named_stays(hardware: Hardware) -> None:
    plan = planned(hardware, 16384, context=16384)
    found = smaller(plan, hardware, context=16384)
    assert found is not None
    assert found.settings.context == 16384
    assert 0 < found.n_gpu_layers < plan.n_gpu_layers
    before = {row.device: row.total_bytes for row in plan.estimate.memory.devices}
    for row in found.estimate.memory.devices:
        if row.device != "host":
            assert row.total_bytes <= GPU_SHARE * before[row.device]
    assert f"{found.n_gpu_layers} instead of {plan.n_gpu_layers} layers on the GPU" in difference(plan, found)
    assert (found.tensor_split is None) == (plan.tensor_split is None)


def test_a_card_that_was_left_alone_stays_so() -> None:
    hardware = machine(gpu(0, 12), gpu(1, 2))
    plan = planned(hardware)
    found = smaller(plan, hardware)
    assert found is not None
    assert {row.device for row in found.estimate.memory.devices if row.total_bytes} <= {"gpu0", "host"}


def test_experts_move_to_the_host_before_whole_layers_do() -> None:
    hardware = machine(gpu(0, 16), ram_gib=32)
    plan = planned(hardware, model=EXPERTS, context=8192)
    found = smaller(plan, hardware, context=8192)
    assert found is not None
    assert found.n_cpu_moe > plan.n_cpu_moe
    assert "the experts of" in difference(plan, found)


def test_on_unified_memory_only_the_context_gives_way() -> None:
    plan = planned(MAC, 32768)
    found = smaller(plan, MAC)
    assert found is not None
    assert found.settings.context == 16384
    assert (found.n_gpu_layers, found.backend) == (plan.n_gpu_layers, plan.backend)


def test_an_embedder_keeps_room_for_a_chunk() -> None:
    found = smaller(planned(CPU, 2048, EMBEDDER), CPU)
    assert found is not None
    assert (found.settings.context, found.settings.ubatch) == (1024, 1024)
    assert smaller(planned(CPU, 2048, EMBEDDER), CPU, chunk_tokens=2048) is None


def test_slots_are_kept_and_share_the_smaller_context() -> None:
    found = smaller(planned(CPU, 8192, parallel=4), CPU, parallel=4)
    assert found is not None
    assert (found.settings.parallel, found.settings.context) == (4, 4 * 4096)


def test_with_no_room_on_the_host_for_the_layers_the_context_alone_gives_way() -> None:
    hardware = machine(gpu(0, 12), ram_gib=0.6)
    plan = planned(hardware, 32768)
    found = smaller(plan, hardware)
    assert found is not None
    assert found.estimate.placement.verdict is not Verdict.NO_FIT
    assert found.settings.context == 16384
    assert plan.estimate.memory.total_bytes - found.estimate.memory.total_bytes > GIB // 2
