"""Buffers that a real engine allocates, beside the estimate: every kind of architecture, setting by setting.

Run: python -m benchmarks.engine_memory [--only TEXT] [--held-out] [--write]     (needs gguf and xllamacpp)

The engine starts on hollow files (`hollow.py`): the widths of models in the catalog, with a few layers. It maps them
and reads no weights. Only its own lines count. `--write` puts them into `data/memory_engine.csv`, from which
`memory_accuracy.py` and the tests work without an engine. `--held-out` measures other models with random settings:
none of them had a part in finding the forms.
"""

import argparse
import csv
import importlib.metadata
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.hollow import write_hollow_gguf
from benchmarks.memory_accuracy import describe, print_engine_rows
from benchmarks.memory_rows import ENGINE_CSV, ENGINE_FIELDS, EngineRow, cut, engine_rows, shapes
from planner.serve.engine.embedded_child import common_params

_DEADLINE_S = 180.0
_LINE = re.compile(r"(\w+)\s+(model|KV|RS|compute|output) buffer size\s*=\s*([\d.]+) MiB")

_CHAT: tuple[dict[str, Any], ...] = (
    {},
    {"context": 2048, "ubatch": 128},
    {"context": 32768},
    {"ubatch": 2048},
    {"context": 16384, "ubatch": 32},
    {"parallel": 4},
    {"parallel": 4, "unified": True},
    {"context": 1000, "parallel": 3},
    {"kv_type_k": "q8_0", "kv_type_v": "q8_0"},
    {"kv_type_k": "q8_0", "kv_type_v": "q4_0", "context": 16384},
    {"flash_attention": False},
    {"flash_attention": False, "context": 2048, "ubatch": 128},
    {"flash_attention": False, "context": 16384, "ubatch": 256},
    {"flash_attention": False, "parallel": 4},
)
_LATENT = tuple(setting for setting in _CHAT if setting.get("kv_type_v") != "q4_0")
"""llama.cpp refuses a cache of two types with MLA."""
_EMBEDDING: tuple[dict[str, Any], ...] = (
    {"embedding": True, "context": 4096, "ubatch": 512},
    {"embedding": True, "context": 4096, "ubatch": 2048},
    {"embedding": True, "context": 8192, "ubatch": 128},
    {"embedding": True, "context": 2048, "ubatch": 512, "flash_attention": False},
    {"embedding": True, "context": 4096, "ubatch": 512, "parallel": 4},
)


def _encoder(longest: int) -> tuple[dict[str, Any], ...]:
    settings = [
        {"embedding": True, "context": longest, "ubatch": ubatch, "flash_attention": flash}
        for ubatch in (64, 512, 2048, 8192)
        for flash in (True, False)
        if ubatch <= longest
    ]
    return (*settings, {"embedding": True, "context": longest, "ubatch": 512, "parallel": 4})


@dataclass(frozen=True)
class Shape:
    """A model of the catalog with `layers` layers, in `quant`, and the settings to start it with."""

    model: str
    layers: int
    settings: tuple[dict[str, Any], ...]
    quant: str = "F16"


SHAPES = (
    Shape("meta-llama/Llama-3.1-8B-Instruct", 2, _CHAT + _EMBEDDING),
    Shape("HuggingFaceTB/SmolLM2-135M-Instruct", 4, _CHAT),
    Shape("Qwen/Qwen3-Embedding-0.6B", 4, _CHAT[:4] + _EMBEDDING),
    Shape("Qwen/Qwen3-14B", 2, _CHAT),
    Shape("Qwen/Qwen2.5-7B-Instruct", 2, _CHAT),
    Shape("microsoft/phi-4", 2, _CHAT),
    Shape("google/gemma-2-9b-it", 2, _CHAT),
    Shape("google/gemma-3-1b-it", 6, _CHAT + _EMBEDDING),
    Shape("google/gemma-3-12b-it", 6, _CHAT),
    Shape("openai/gpt-oss-20b", 2, _CHAT, "MXFP4"),
    Shape("Qwen/Qwen3-30B-A3B", 2, _CHAT + _EMBEDDING, "Q8_0"),
    Shape("mistralai/Mixtral-8x7B-Instruct-v0.1", 2, _CHAT, "IQ3_XXS"),
    Shape("zai-org/GLM-4.5-Air", 3, _CHAT + _EMBEDDING, "IQ3_XXS"),
    Shape("zai-org/GLM-4.7-Flash", 3, _LATENT, "IQ3_XXS"),
    # Three dense layers and one with experts.
    Shape("deepseek-ai/DeepSeek-V3", 5, _LATENT, "IQ1_S"),
    # llama.cpp knows the model without query compression by its 27 layers.
    Shape("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", 27, _LATENT, "IQ1_S"),
    Shape("Qwen/Qwen3.5-4B", 8, _CHAT, "Q5_0"),
    Shape("Qwen/Qwen3.5-35B-A3B", 4, _CHAT, "IQ3_XXS"),
    Shape("Qwen/Qwen3-Next-80B-A3B-Instruct", 4, _CHAT, "IQ1_S"),
    Shape("ibm-granite/granite-4.0-h-micro", 8, _CHAT, "Q5_0"),
    Shape("ibm-granite/granite-4.0-h-tiny", 8, _CHAT, "IQ3_XXS"),
    Shape("LiquidAI/LFM2-1.2B", 8, _CHAT, "Q5_0"),
    Shape("LiquidAI/LFM2-8B-A1B", 8, _CHAT, "IQ3_XXS"),
    Shape("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 8, _CHAT, "IQ3_XXS"),
    Shape("google/gemma-4-12B-it", 6, _CHAT, "IQ3_XXS"),
    Shape("google/gemma-4-26B-A4B-it", 6, _CHAT, "IQ3_XXS"),
    Shape("google/gemma-4-E2B-it", 35, _CHAT, "IQ3_XXS"),
    Shape("BAAI/bge-large-en-v1.5", 2, _encoder(512)),
    Shape("BAAI/bge-m3", 2, _encoder(8192)),
    Shape("sentence-transformers/all-MiniLM-L6-v2", 2, _encoder(512)),
    Shape("nomic-ai/nomic-embed-text-v1.5", 2, _encoder(8192)),
    Shape("ibm-granite/granite-embedding-english-r2", 4, _encoder(8192)),
    Shape("jinaai/jina-embeddings-v2-base-en", 2, _encoder(8192)),
    Shape("google/embeddinggemma-300m", 6, _encoder(2048)),
)


HELD_OUT = (
    ("01-ai/Yi-1.5-34B-Chat", 2, "Q5_0"),
    ("mistralai/Mistral-Nemo-Instruct-2407", 2, "Q5_0"),
    ("allenai/OLMo-2-0425-1B-Instruct", 3, "Q5_0"),
    ("ibm-granite/granite-3.3-8b-instruct", 3, "Q5_0"),
    ("HuggingFaceTB/SmolLM3-3B", 3, "Q5_0"),
    ("microsoft/Phi-3.5-mini-instruct", 3, "Q5_0"),
    ("google/gemma-2-27b-it", 2, "Q5_0"),
    ("google/gemma-3-4b-it", 6, "Q5_0"),
    ("google/gemma-4-E4B-it", 42, "IQ1_S"),
    ("Qwen/Qwen3-235B-A22B", 2, "IQ1_S"),
    ("Qwen/Qwen3.5-9B", 4, "Q5_0"),
    ("ibm-granite/granite-4.0-h-small", 7, "IQ1_S"),
    ("LiquidAI/LFM2-700M", 6, "Q5_0"),
    ("Alibaba-NLP/gte-modernbert-base", 4, "F16"),
    ("Snowflake/snowflake-arctic-embed-m-long", 2, "F16"),
    ("BAAI/bge-base-en-v1.5", 2, "F16"),
    ("jinaai/jina-embeddings-v2-small-en", 2, "F16"),
    ("Qwen/Qwen3-Embedding-4B", 3, "Q5_0"),
)
"""Model, layers and quant type; settings are drawn with the model's name as seed."""


def drawn_settings(model: str, number: int = 8) -> tuple[dict[str, Any], ...]:
    """Settings as people may choose them; the same for a model every time."""
    chance = random.Random(model)  # noqa: S311  # draws settings, keeps no secret
    arch = shapes()[model]
    found = []
    for _ in range(number):
        ubatch = chance.choice([48, 96, 256, 384, 512, 768, 1024])
        setting: dict[str, Any] = {"ubatch": ubatch, "parallel": chance.choice([1, 1, 2, 3, 6])}
        if arch.causal:
            setting["context"] = chance.randrange(1500, 40000)
            setting["unified"] = chance.random() < 0.3
            setting["kv_type_k"] = setting["kv_type_v"] = chance.choice(["f16", "f16", "q8_0", "q4_0"])
            setting["embedding"] = "Embedding" in model
        else:
            setting |= {"context": arch.position_embeddings or 4096, "embedding": True}
        found.append(setting)
    return tuple(found)


def held_out_shapes() -> tuple[Shape, ...]:
    """The models of `HELD_OUT` with their settings."""
    return tuple(Shape(model, layers, drawn_settings(model), quant) for model, layers, quant in HELD_OUT)


def measure(path: Path, setting: dict[str, Any]) -> dict[str, float]:
    """MiB by kind of buffer, as the engine says while it starts; empty when it does not start."""
    embedding = setting.get("embedding", False)
    ubatch = setting.get("ubatch", 512)
    values = {
        "model": str(path),
        "alias": "hollow",
        "n_ctx": setting.get("context", 8192),
        "n_batch": ubatch if embedding else max(2048, ubatch),
        "n_ubatch": ubatch,
        "n_parallel": setting.get("parallel", 1),
        "n_gpu_layers": 0,
        "cache_type_k": setting.get("kv_type_k", "f16"),
        "cache_type_v": setting.get("kv_type_v", "f16"),
        "flash_attention": setting.get("flash_attention", True),
        "embedding": embedding,
        "reranking": False,
        "pooling": "mean" if embedding else None,
        "api_key": "none",
        "kv_unified": setting.get("unified", False),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.engine_memory", "--child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert child.stdin is not None
    assert child.stdout is not None
    timer = threading.Timer(_DEADLINE_S, child.kill)
    timer.start()
    try:
        child.stdin.write(json.dumps(values) + "\n")
        child.stdin.flush()
        return _read(child.stdout)
    finally:
        timer.cancel()
        child.kill()
        child.wait()


def _read(lines: Iterable[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    last: list[str] = []
    for line in lines:
        last = [*last[-8:], line.rstrip()]
        if match := _LINE.search(line):
            kind = "repack" if match[1] == "CPU_REPACK" else match[2].lower()
            found[kind] = (0.0 if kind == "compute" else found.get(kind, 0.0)) + float(match[3])
        if "READY" in line:
            return found
    print("  the engine did not start:", *last, sep="\n    ", file=sys.stderr)
    return {}


def child() -> None:
    """The engine's process: load, say so, wait to be ended."""
    import xllamacpp  # noqa: PLC0415  # the engine lives in this process alone

    values = json.loads(sys.stdin.readline())
    params = common_params(xllamacpp, values)
    params.kv_unified = values["kv_unified"]
    # A warm-up would read the weights that are not there.
    params.warmup = False
    server = xllamacpp.Server(params)
    print("READY", flush=True)
    sys.stdin.read()
    del server


def measure_all(only: str, *, held_out: bool) -> Iterator[EngineRow]:
    """Every shape with each of its settings."""
    build = f"xllamacpp {importlib.metadata.version('xllamacpp')}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hollow.gguf"
        for shape in held_out_shapes() if held_out else SHAPES:
            if only.lower() not in shape.model.lower():
                continue
            write_hollow_gguf(cut(shapes()[shape.model], shape.layers), path, quant=shape.quant, vocabulary=True)
            for setting in shape.settings:
                if found := measure(path, setting):
                    row = _row(shape, setting, found, build, held_out=held_out)
                    print(f"{row.compute_mib:9.2f} MiB compute  {shape.model} {describe(row.settings)}", flush=True)
                    yield row


def _row(shape: Shape, setting: dict[str, Any], found: dict[str, float], build: str, *, held_out: bool) -> EngineRow:
    values: dict[str, Any] = {
        "context": 8192,
        "ubatch": 512,
        "parallel": 1,
        "unified": False,
        "kv_type_k": "f16",
        "kv_type_v": "f16",
    }
    values |= {"flash_attention": True, "embedding": False, **setting}
    return EngineRow(
        model=shape.model,
        layers=shape.layers,
        quant=shape.quant,
        weights_mib=found["model"],
        kv_mib=round(found.get("kv", 0.0) + found.get("rs", 0.0), 2),
        compute_mib=found["compute"],
        output_mib=found["output"],
        repack_mib=found.get("repack", 0.0),
        held_out=held_out,
        engine=build,
        **values,
    )


def main() -> None:
    """Measure, print beside the estimate, keep if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="models whose id contains this")
    parser.add_argument("--held-out", action="store_true", help="models that had no part in finding the forms")
    parser.add_argument("--write", action="store_true", help=f"put what was measured into {ENGINE_CSV.name}")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    rows = list(measure_all(options.only, held_out=options.held_out))
    print_engine_rows(rows)
    if options.write:
        new = {(row.model, row.held_out) for row in rows}
        rows = [*(row for row in engine_rows() if (row.model, row.held_out) not in new), *rows]
        with ENGINE_CSV.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ENGINE_FIELDS, lineterminator="\n")
            writer.writeheader()
            for row in rows:
                values = msgspec.structs.asdict(row)
                writer.writerow({k: int(v) if isinstance(v, bool) else v for k, v in values.items()})


if __name__ == "__main__":
    main()
