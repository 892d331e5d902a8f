"""The table of the llamafile article on embeddings for RAG, by the command that the README gives for it.

Its pool of May 2024 no longer exists; `board_2024-07-06-a` comes nearest (docs/recommendation.md). Averages are the
article's to the printed digit; mean task ranks depend on every model of a pool, and are within 0.7.
"""

import json
import re
from pathlib import Path

import pytest

from planner.cli.app import run

COMMAND = ["rank", "--pool", "board_2024-07-06-a", "--limit", "10"]

PUBLISHED = """
1 SFR-Embedding-Mistral 5.72 63.66 51.67 60.64 59.00 85.05
2 e5-mistral-7b-instruct 9.92 62.33 50.26 60.20 56.89 84.63
3 voyage-large-2-instruct 10.23 63.68 53.35 60.09 58.28 84.58
4 GritLM-7B 11.91 62.33 50.61 60.49 57.41 83.35
5 mxbai-embed-large-v1 14.08 60.51 46.71 60.11 54.39 85.00
6 GritLM-8x7B 14.49 61.24 50.14 59.80 55.09 83.26
7 UAE-Large-V1 14.74 60.47 46.73 59.88 54.66 84.54
8 voyage-lite-02-instruct 14.87 62.91 52.42 58.24 56.60 85.79
9 google-gecko.text-embedding-preview-0409 15.12 61.10 47.48 58.90 55.70 85.07
10 GIST-large-Embedding-v0 15.71 59.99 46.55 60.05 53.44 84.59
"""
ROWS = [line.split() for line in PUBLISHED.split("\n") if line]
FIGURES = ("rag_average", "clustering", "reranking", "retrieval", "sts")


def test_the_document_has_the_published_table(capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*COMMAND, "--json"]) == 0
    ranking = json.loads(capfd.readouterr().out)["ranking"]
    assert [row["model"].rsplit("/", 1)[-1] for row in ranking] == [name for _, name, *_ in ROWS]
    for found, (rank, name, mtr, *averages) in zip(ranking, ROWS, strict=True):
        assert found["rank"] == int(rank)
        assert found["mtr_percent"] == pytest.approx(float(mtr), abs=0.7), name
        assert [f"{found[figure]:.2f}" for figure in FIGURES] == averages, name


def test_the_table_prints_the_published_digits_in_the_published_order(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(COMMAND) == 0
    out = capfd.readouterr().out
    assert "board_2024-07-06-a, 2024-07-06: 187 models, 40 tasks" in out
    lines = [line.split() for line in out.splitlines() if re.match(r" +\d+ ", line)]
    assert len(lines) == 10
    for line, (rank, name, _, *averages) in zip(lines, ROWS, strict=True):
        assert line[0] == rank
        assert line[1].endswith(f"/{name}")
        assert line[3:8] == averages


def test_the_readme_gives_the_command() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    assert f"`planner {' '.join(COMMAND)}`" in readme
