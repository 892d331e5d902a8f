"""The engine's own buffer lines, as real builds print them."""

from planner.serve.engine.memory_report import read_memory_report
from planner.units import MIB

STARTER = """\
0.00.353.398 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.356.985 I llama_context:        CPU  output buffer size =     0.19 MiB
0.00.357.116 I llama_kv_cache:        CPU KV buffer size =    90.00 MiB
0.00.746.686 I llama_kv_cache: size =   90.00 MiB (  4096 cells,  30 layers,  1/1 seqs), K (f16):   45.00 MiB
0.00.754.512 I sched_reserve:        CPU compute buffer size =    18.64 MiB
"""


def test_a_processor_only_model_adds_up_to_what_the_engine_says_at_its_exit() -> None:
    report = read_memory_report(STARTER.splitlines())
    assert report is not None
    assert round(report.total_bytes / MIB) == 201  # 92 + 90 + 18, and what rounding dropped
    assert report.weights_bytes == round(92.10 * MIB)
    assert report.kv_cache_bytes == 90 * MIB
    assert report.gpu_bytes == 0
    assert report.offloaded is None


def test_two_caches_of_a_sliding_window_model_are_added() -> None:
    lines = ["CPU model buffer size = 1.00 MiB", "CPU KV buffer size = 12.00 MiB", "CPU KV buffer size = 15.00 MiB"]
    report = read_memory_report(lines)
    assert report is not None
    assert report.kv_cache_bytes == 27 * MIB


def test_a_compute_buffer_reserved_twice_counts_once() -> None:
    lines = [*STARTER.splitlines(), "sched_reserve: CPU compute buffer size = 20.00 MiB"]
    report = read_memory_report(lines)
    assert report is not None
    assert report.compute_bytes == 20 * MIB + round(0.19 * MIB)


def test_a_repacked_copy_of_mapped_weights_is_told_but_not_added() -> None:
    lines = ["CPU_Mapped model buffer size = 315.00 MiB", "CPU_REPACK model buffer size = 236.00 MiB"]
    report = read_memory_report(lines)
    assert report is not None
    assert (report.weights_bytes, report.repacked_bytes) == (315 * MIB, 236 * MIB)


def test_without_mapping_the_repacked_weights_are_the_only_ones() -> None:
    lines = ["CPU model buffer size = 79.00 MiB", "CPU_REPACK model buffer size = 236.00 MiB"]
    report = read_memory_report(lines)
    assert report is not None
    assert report.weights_bytes == 315 * MIB


def test_buffers_on_a_card_are_told_apart_from_pinned_host_memory() -> None:
    lines = [
        "load_tensors: offloaded 33/33 layers to GPU",
        "load_tensors:        CUDA0 model buffer size =  4403.49 MiB",
        "load_tensors:   CPU_Mapped model buffer size =   281.81 MiB",
        "llama_kv_cache:      CUDA0 KV buffer size =  1024.00 MiB",
        "llama_context:  CUDA_Host  output buffer size =     0.49 MiB",
        "sched_reserve:      CUDA0 compute buffer size =   258.50 MiB",
        "sched_reserve:  CUDA_Host compute buffer size =    24.01 MiB",
        "llama_memory_recurrent:  CUDA0 RS buffer size =    10.00 MiB",
    ]
    report = read_memory_report(lines)
    assert report is not None
    assert report.offloaded == (33, 33)
    assert report.gpu_bytes == round((4403.49 + 1024 + 258.5 + 10) * MIB)
    assert report.kv_cache_bytes == 1034 * MIB


def test_a_silent_engine_reports_nothing_rather_than_zero() -> None:
    assert read_memory_report([]) is None
    assert read_memory_report(["listening on http://127.0.0.1:1", "KV buffer size = lots"]) is None
