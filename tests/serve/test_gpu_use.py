"""A plan for the GPU that runs on the processor is an error with a way out, however little the engine says."""

import pytest

from planner.core.launch.launch_plan import EngineKind
from planner.serve.engine.engines import Engine
from planner.serve.engine.failure import LaunchError
from planner.serve.engine.memory_report import read_memory_report
from planner.serve.supervision.crew import check_gpu_use
from tests.serve.plans import process

CPU = "load_tensors:   CPU_Mapped model buffer size =    20.00 MiB"
GPU = "load_tensors:        CUDA0 model buffer size =    20.00 MiB"
NO_GPU = "warning: no usable GPU found, --gpu-layers option will be ignored"
SERVER = Engine(kind=EngineKind.LLAMA_SERVER, version="11434", binary="/bin/llama-server")


def judged(*lines: str, layers: int = 13, log_works: bool = True) -> None:
    check_gpu_use(process(layers=layers), read_memory_report(lines), SERVER, log_works=log_works)


@pytest.mark.parametrize(
    "lines",
    [
        (GPU, "load_tensors: offloaded 13/13 layers to GPU"),
        (GPU, CPU, "load_tensors: offloaded 13/13 layers to GPU"),
        # A plan may count the output as a layer of its own where the engine does not.
        (GPU, "load_tensors: offloaded 12/12 layers to GPU"),
        (GPU,),
    ],
)
def test_a_gpu_that_is_used_passes(lines: tuple[str, ...]) -> None:
    judged(*lines)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((CPU,), "does not use the GPU"),
        ((NO_GPU, CPU), "does not use the GPU"),
        ((CPU, "load_tensors: offloaded 0/13 layers to GPU"), "does not use the GPU"),
        ((GPU, CPU, "load_tensors: offloaded 5/13 layers to GPU"), "5 of 13 planned layers"),
        (("listening on http://127.0.0.1:1",), "does not say that it uses the GPU"),
    ],
)
def test_a_gpu_that_is_not_used_as_planned_is_an_error(lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(LaunchError) as caught:
        judged(*lines)
    assert caught.value.reference == "gpu-not-used"
    assert words in caught.value.message
    assert "--engine-path" in caught.value.hint
    assert "--ram SIZE" in caught.value.hint
    assert caught.value.permanent


def test_a_plan_for_the_processor_and_a_log_that_cannot_be_written_accuse_nobody() -> None:
    judged(CPU, layers=0)
    judged(log_works=False)
