"""What `planner bench` found, for people: tables with bars that show how speed falls and rises."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.cli.output import table
from planner.units import format_rate

if TYPE_CHECKING:
    from planner.serve.proof.bench_sweep import Kind, Point

_BAR = 24


def sweep_lines(points: "Sequence[Point]", *, whole: bool) -> list[str]:
    """Three parts: with depth, with length and number of texts, with many clients."""
    lines: list[str] = []
    lines += _depths(points)
    lines += _embedding(points)
    lines += _clients(points)
    if not whole:
        lines += ["", "The time was over before everything was measured; --minutes gives it more."]
    return lines


def _of(points: "Sequence[Point]", kind: "Kind") -> "list[Point]":
    return [point for point in points if point.kind == kind]


def _depths(points: "Sequence[Point]") -> list[str]:
    made = _of(points, "generation")
    if not made:
        return []
    prompts = {point.depth: point.tokens_per_s for point in _of(points, "prompt")}
    most = max(point.tokens_per_s for point in made)
    rows = [
        (
            str(point.depth),
            format_rate(prompts[point.depth]) if point.depth in prompts else "-",
            format_rate(point.tokens_per_s),
            bar(point.tokens_per_s / most),
        )
        for point in made
    ]
    headings = ("tokens before", "prompt tok/s", "generation tok/s", "")
    return ["", *table(headings, rows, right=frozenset({0, 1, 2}))]


def _embedding(points: "Sequence[Point]") -> list[str]:
    found = _of(points, "embedding")
    if not found:
        return []
    batches = sorted({point.batch for point in found})
    # Lengths differ by a few tokens from batch to batch; what was asked for is in order.
    by_batch = {batch: [point for point in found if point.batch == batch] for batch in batches}
    most = max(point.tokens_per_s for point in found)
    rows = []
    for index, first in enumerate(by_batch[batches[0]]):
        same = [by_batch[batch][index] for batch in batches if index < len(by_batch[batch])]
        cells = [format_rate(point.tokens_per_s) for point in same] + ["-"] * (len(batches) - len(same))
        best = max(point.tokens_per_s for point in same)
        rows.append((str(first.length), *cells, bar(best / most)))
    headings = ("tokens of a text", *(f"{batch} a request" for batch in batches), "")
    lines = table(headings, rows, right=frozenset(range(len(headings) - 1)))
    return ["", "embedding, tok/s", *lines]


def _clients(points: "Sequence[Point]") -> list[str]:
    generation = {point.clients: point for point in _of(points, "generation-clients")}
    embedding = {point.clients: point for point in _of(points, "embedding-clients")}
    if not generation and not embedding:
        return []
    most = max(point.tokens_per_s for point in (generation or embedding).values())
    rows = [
        (
            str(clients),
            *_total_and_wait(generation.get(clients)),
            *_total_and_wait(embedding.get(clients)),
            bar((generation or embedding)[clients].tokens_per_s / most)
            if clients in (generation or embedding)
            else "",
        )
        for clients in sorted({*generation, *embedding})
    ]
    headings = ("clients", "generation tok/s", "first token", "embedding tok/s", "answer", "")
    return ["", "together", *table(headings, rows, right=frozenset({0, 1, 2, 3, 4}))]


def _total_and_wait(point: "Point | None") -> tuple[str, str]:
    if point is None:
        return "-", "-"
    return format_rate(point.tokens_per_s), "-" if point.first_s is None else f"{point.first_s:.2f} s"


def bar(share: float, *, width: int = _BAR) -> str:
    """A bar of up to `width` characters; plain ASCII where the terminal knows nothing else."""
    unicode = (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")
    return ("█" if unicode else "#") * max(1, round(max(0.0, min(1.0, share)) * width))
