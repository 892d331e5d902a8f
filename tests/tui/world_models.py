"""A small catalog that never changes, for the pages about models: every role, licence and verdict is there."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from planner.core.machines.hardware import Hardware
from planner.core.models.model import Commercial, Licence, Model, Pooling, Prompts, Role, Score
from planner.core.values import RepoId
from planner.tui.data.details import details_of
from planner.tui.data.machine import Situation
from planner.tui.data.models import read_rows
from planner.tui.services import Services
from tests.core.shapes import (
    BERT_LARGE,
    BGE_M3,
    DEEPSEEK_V2_LITE,
    LLAMA_8B,
    QWEN3_EMBED_06B,
    gpu,
    machine,
    make_model,
)
from tests.tui.world import World

HERE: Hardware = machine(
    msgspec.structs.replace(gpu(0, 12.0, bandwidth=360.0), id="cuda:0", name="Acme GPU 12", slug="acme-gpu-12"),
    ram_gib=32,
)
_POOL = "results_2026-08-20"
_BIG = msgspec.structs.replace(
    LLAMA_8B, layers=126, embedding_length=16384, feed_forward_length=53248, head_count=128
)


def _acme(model: Model, owner: str = "acme", **changes: Any) -> Model:
    return msgspec.structs.replace(model, id=f"{owner}/{model.name}", family="acme", **changes)


def _finder(name: str, mtr: float | None, **changes: Any) -> Model:
    model = make_model(
        name,
        BERT_LARGE,
        335_000_000,
        role=Role.EMBEDDING,
        quants={"F16": 670_000_000, "Q8_0": 360_000_000},
        context=512,
        pooling=Pooling.CLS,
        date="2025-03-01",
        languages=("en",),
    )
    scores = (
        ()
        if mtr is None
        else (
            Score(f"rag_mtr_percent:{_POOL}", mtr, "2026-08-20", "mteb/results at commit abc"),
            Score(f"rag_average:{_POOL}", 62.5, "2026-08-20", "mteb/results at commit abc"),
            Score(f"retrieval_average:{_POOL}", 55.25, "2026-08-20", "mteb/results at commit abc"),
        )
    )
    return _acme(model, scores=scores, embedding_length=1024, **changes)


CATALOG: tuple[Model, ...] = (
    _finder(
        "finder-large",
        6.92,
        prompts=Prompts(query="Represent this sentence for searching: "),
        matryoshka=(512, 256),
        sources={"pooling": "its model card", "prompts": "its model card"},
    ),
    _finder("finder-small", 24.31, languages=("de", "en"), builds_on=("acme/finder-large",)),
    _acme(
        make_model(
            "finder-many",
            BGE_M3,
            568_000_000,
            role=Role.EMBEDDING,
            quants={"F16": 1_160_000_000},
            context=8192,
            pooling=Pooling.CLS,
            languages=("multilingual",),
        ),
        licence=Licence("CC-BY-NC-4.0", Commercial.NO),
    ),
    _acme(
        make_model("finder-wide", QWEN3_EMBED_06B, 596_000_000, role=Role.EMBEDDING, quants={"Q8_0": 640_000_000}),
    ),
    _acme(
        make_model(
            "writer-8b",
            LLAMA_8B,
            8_030_000_000,
            quants={"F16": 16_070_000_000, "Q8_0": 8_540_000_000, "Q4_K_M": 4_920_000_000},
            context=131072,
            date="2025-08-01",
            languages=("en", "de", "fr"),
        ),
        scores=(
            Score("answers_rating:lmarena", 1320.0, "2025-12-11", "lmarena at commit abc"),
            Score("answers_rating_low:lmarena", 1312.0, "2025-12-11", "lmarena at commit abc"),
        ),
        aliases=("writer",),
        notes=("Thinks before it answers unless told not to.",),
    ),
    _acme(
        make_model("writer-16b-a3b", DEEPSEEK_V2_LITE, 15_700_000_000, quants={"Q4_K_M": 10_360_000_000}),
        active_parameters=2_400_000_000,
        licence=Licence("LicenseRef-Acme-Community", Commercial.CONDITIONAL),
    ),
    _acme(make_model("writer-405b", _BIG, 405_000_000_000, quants={"Q4_K_M": 243_000_000_000}, context=131072)),
    _acme(
        make_model("judge", BGE_M3, 568_000_000, role=Role.RERANKER, quants={"F16": 1_160_000_000}, context=8192),
        pooling=Pooling.RANK,
    ),
    _acme(
        make_model("unsized", LLAMA_8B, 1_000_000_000),
        gguf_repos=(RepoId("acme/unsized-GGUF"),),
        architecture=None,
    ),
    Model(
        id="rival/closed-embedder",
        family="rival",
        role=Role.EMBEDDING,
        parameters=None,
        context_length=8191,
        licence=Licence("LicenseRef-proprietary", Commercial.CONDITIONAL),
        deployable=False,
        deploy_note="Closed weights, API only: it can be ranked, not run.",
        scores=(Score(f"rag_mtr_percent:{_POOL}", 12.5, "2026-08-20", "mteb/results at commit abc"),),
    ),
    _acme(make_model("twin", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000})),
    _acme(make_model("twin", LLAMA_8B, 8_030_000_000, quants={"Q8_0": 8_540_000_000}), owner="rival"),
)
"""On `HERE`: writer-8b fits, writer-16b-a3b runs in part, writer-405b does not; of unsized nothing can be said."""


def model_world(**changes: Any) -> World:
    """The world with this catalog and this machine."""
    return World(situation=Situation(HERE, CATALOG), **changes)


def services(world: World) -> Services:
    """The seams: the store is empty and no rental is known, whatever this machine has."""
    nowhere = Path(__file__).parent / "no-such-store"
    return replace(
        world.services,
        model_rows=partial(read_rows, models_dir=nowhere),
        model_details=partial(details_of, models_dir=nowhere),
        model_rentals=lambda *_: None,
    )
