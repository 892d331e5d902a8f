"""Network shapes used by several tests, with the numbers of their published configurations."""

from planner.core.machines.hardware import Backend, Cpu, Device, DeviceKind, Hardware, Host, Vendor
from planner.core.models.model import (
    Architecture,
    Artifact,
    Commercial,
    Licence,
    Model,
    Pooling,
    Role,
    Score,
    Variant,
)
from planner.core.values import RepoId, RepoPath
from planner.units import GIB

LLAMA_8B = Architecture(
    name="llama",
    layers=32,
    embedding_length=4096,
    feed_forward_length=14336,
    head_count=32,
    head_count_kv=8,
    key_length=128,
    value_length=128,
    vocab_size=128256,
)
QWEN3_EMBED_06B = Architecture(
    name="qwen3",
    layers=28,
    embedding_length=1024,
    feed_forward_length=3072,
    head_count=16,
    head_count_kv=8,
    key_length=128,
    value_length=128,
    vocab_size=151669,
    tied_embeddings=True,
)
BERT_LARGE = Architecture(
    name="bert",
    layers=24,
    embedding_length=1024,
    feed_forward_length=4096,
    head_count=16,
    head_count_kv=16,
    key_length=64,
    value_length=64,
    vocab_size=30522,
    causal=False,
    gated_feed_forward=False,
    position_embeddings=512,
    token_types=2,
)
BGE_M3 = Architecture(
    name="bert",
    layers=24,
    embedding_length=1024,
    feed_forward_length=4096,
    head_count=16,
    head_count_kv=16,
    key_length=64,
    value_length=64,
    vocab_size=250002,
    causal=False,
    gated_feed_forward=False,
    position_embeddings=8194,
    token_types=1,
)
GEMMA3_270M = Architecture(
    name="gemma3",
    layers=18,
    embedding_length=640,
    feed_forward_length=2048,
    head_count=4,
    head_count_kv=1,
    key_length=256,
    value_length=256,
    vocab_size=262144,
    tied_embeddings=True,
    sliding_window=512,
    full_attention_every=6,
)
DEEPSEEK_V2_LITE = Architecture(
    name="deepseek2",
    layers=27,
    embedding_length=2048,
    feed_forward_length=10944,
    head_count=16,
    head_count_kv=16,
    key_length=192,
    value_length=128,
    vocab_size=102400,
    expert_count=64,
    expert_used_count=6,
    expert_feed_forward_length=1408,
    expert_shared_feed_forward_length=2816,
    leading_dense_layers=1,
    kv_lora_rank=512,
    rope_head_length=64,
)


def make_model(
    name: str,
    arch: Architecture,
    parameters: int,
    *,
    role: Role = Role.GENERATION,
    quants: dict[str, int] | None = None,
    context: int = 32768,
    pooling: Pooling | None = None,
    mtr: float | None = None,
    date: str = "2024-01-01",
    commercial: Commercial = Commercial.YES,
    languages: tuple[str, ...] = (),
) -> Model:
    """A deployable model with one Hub file per quant (name → bytes)."""
    variants = tuple(
        Variant(
            quant=quant,
            file_bytes=size,
            artifacts=(
                Artifact(source="hub", repo=RepoId("maker/files"), file=RepoPath(f"{name}-{quant}.gguf"), bytes=size),
            ),
        )
        for quant, size in (quants or {}).items()
    )
    scores = (
        ()
        if mtr is None
        else (Score(name="rag_mtr_percent:results_2026-08-20", value=mtr, date="2026-08-20", source="test"),)
    )
    return Model(
        id=f"maker/{name}",
        family="test",
        role=role,
        parameters=parameters,
        context_length=context,
        licence=Licence("Apache-2.0", commercial),
        architecture=arch,
        pooling=pooling,
        release_date=date,
        languages=languages,
        scores=scores,
        variants=variants,
    )


def gpu(index: int, gib: float, *, bandwidth: float | None = 500.0, backend: Backend = Backend.CUDA) -> Device:
    """A discrete NVIDIA card of `gib` GiB."""
    size = int(gib * GIB)
    return Device(
        id=f"gpu{index}",
        name=f"Card {index}",
        slug=f"card-{index}",
        vendor=Vendor.NVIDIA,
        backend=backend,
        kind=DeviceKind.DISCRETE,
        memory_total_bytes=size,
        memory_free_bytes=size,
        memory_budget_bytes=size,
        memory_bandwidth_gbps=bandwidth,
        fp32_tflops=20.0,
        fp16_tflops=80.0,
    )


def apple(gib: float) -> Device:
    """A unified-memory device whose working-set limit is three quarters of `gib` GiB."""
    size = int(gib * GIB)
    return Device(
        id="gpu0",
        name="Apple M",
        slug="apple-m",
        vendor=Vendor.APPLE,
        backend=Backend.METAL,
        kind=DeviceKind.UNIFIED,
        memory_total_bytes=size,
        memory_free_bytes=None,
        memory_budget_bytes=size * 3 // 4,
        memory_bandwidth_gbps=400.0,
        fp32_tflops=13.0,
    )


def machine(*devices: Device, ram_gib: float = 16.0, cores: int = 8) -> Hardware:
    """A host with these devices."""
    return Hardware(
        host=Host(
            os="linux",
            cpu=Cpu(name="test", cores_physical=cores, cores_usable=cores, isa=("avx2",)),
            memory_total_bytes=int(ram_gib * GIB),
            memory_available_bytes=int(ram_gib * GIB),
            memory_bandwidth_gbps=50.0,
        ),
        devices=devices,
    )
