"""What is said when a deployment is not what was estimated."""

from pathlib import Path

import msgspec
import pytest

from planner.core.models.model import Role
from planner.serve.engine.memory_report import MemoryReport
from planner.serve.proof.differences import busy_warning, difference_notes
from planner.serve.proof.verify import Check, VerifyReport
from tests.serve.plans import MIB, spec

CHECKS = (Check("gateway", ok=True, detail="answers"),)
AS_ESTIMATED = MemoryReport(weights_bytes=20 * MIB, kv_cache_bytes=10 * MIB, compute_bytes=6 * MIB)


def notes(folder: Path, tg: float, embed: float, busy_share: float | None = None) -> list[str]:
    report = VerifyReport(checks=CHECKS, tg_tokens_per_s=tg, embed_tokens_per_s=embed)
    plans = [process.plan for process in spec(folder).processes]
    return list(difference_notes(plans, report, busy_share=busy_share))


@pytest.mark.parametrize(
    ("tg", "embed", "told"),
    [
        (20.0, 200.0, []),
        (10.0, 300.0, []),
        (9.0, 200.0, [("generation", " below")]),
        (4.9, 200.0, [("generation", "far below")]),
        (1.0, 1.0, [("embedding", "far below"), ("generation", "far below")]),
        (31.0, 200.0, [("generation", "faster than")]),
    ],
)
def test_a_speed_outside_its_range_is_told(
    tmp_path: Path, tg: float, embed: float, told: list[tuple[str, str]]
) -> None:
    found = notes(tmp_path, tg, embed)
    assert [note.partition("-")[0] for note in found] == [role for role, _ in told]
    assert all(word in note for note, (_, word) in zip(found, told, strict=True))


def test_others_at_work_are_named_as_the_reason_and_their_absence_too(tmp_path: Path) -> None:
    assert "other programs keep 60%" in notes(tmp_path, 1.0, 200.0, 0.6)[0]
    assert "nothing else is busy" in notes(tmp_path, 1.0, 200.0, 0.05)[0]
    assert "may be busy" in notes(tmp_path, 1.0, 200.0, None)[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, None),
        ({"compute_bytes": 8 * MIB}, None),
        ({"kv_cache_bytes": 30 * MIB}, "mostly by the KV cache: 20 MiB more"),
        ({"weights_bytes": 4 * MIB}, "mostly by the weights: 16 MiB less"),
    ],
)
def test_memory_that_differs_is_told_with_the_part_that_does(
    tmp_path: Path, changes: dict[str, int], said: str | None
) -> None:
    report = VerifyReport(checks=CHECKS, tg_tokens_per_s=20.0)
    buffers = {Role.GENERATION: msgspec.structs.replace(AS_ESTIMATED, **changes)}
    plans = [process.plan for process in spec(tmp_path).processes]
    found = difference_notes(plans, report, memory=buffers)
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_a_measurement_on_a_busy_machine_says_so() -> None:
    assert busy_warning(None) is None
    assert busy_warning(0.05) is None
    said = busy_warning(0.8)
    assert said is not None
    assert "80%" in said
    assert "--forget" in said
