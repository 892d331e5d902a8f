"""Write catalog/evals/ from tables of MTEB scores.

    python tools/make_evals.py --v1 eng_v1_scores.csv --v2 eng_v2_scores.csv --exclusions exclusions.json

Both tables have the columns model, task, category, metric, score, pool, a row per score. They hold single facts of

* embeddings-benchmark/leaderboard, commit 5a33a55 (2024-07-06), boards_data/en/data_tasks/<category>/default.jsonl
  (pool board_2024-07-06, models by their short names), and
* embeddings-benchmark/results, commit f4cc6c8 (2026-08-20), results/<org__name>/<revision>/<task>.json (pool
  results_2026-08-20, models as org/name; of several revisions of a task the one with the most tasks).

The exclusions are {"pool": name, "A": [model, …]}: the board's models that the ranking article's pool did not have.
Scores are written with the digits of the source. Rows named …#dup are second rows of one name and are dropped.
"""

import argparse
import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from planner.catalog.evals import read_pool
from planner.catalog.location import data_dir

BOARD, RESULTS = "board_2024-07-06", "results_2026-08-20"
CATEGORIES = ("Clustering", "Reranking", "Retrieval", "STS")

Scores = dict[str, dict[str, str]]
"""Model → task → score as written."""

FILES: dict[str, dict[str, Any]] = {
    BOARD: {
        "date": "2024-07-06",
        "benchmark": "MTEB(eng, v1), the 40 datasets of clustering, reranking, retrieval and STS",
        "source": "https://github.com/embeddings-benchmark/leaderboard at commit 5a33a55, boards_data/en/data_tasks",
        "licence": "no licence file was found in the source; single published scores are facts",
        "notes": [
            "Scores are self-reported in model cards; user uploads and GGUF duplicates count in the ranks.",
            "id: the Hub id of the same name in embeddings-benchmark/results whose scores agree (median difference "
            "at most 0.5 over at least 10 tasks), else tools/make_evals.py has the reason.",
        ],
    },
    RESULTS: {
        "date": "2026-08-20",
        "benchmark": "MTEB(eng, v1), the 40 datasets of clustering, reranking, retrieval and STS",
        "source": "https://github.com/embeddings-benchmark/results at commit f4cc6c8",
        "licence": "CC0-1.0",
        "notes": ["Maintained re-runs. CQADupstackRetrieval is the mean of 12 subforums where no total existed."],
    },
    f"{RESULTS}-v2": {
        "date": "2026-08-20",
        "benchmark": "MTEB(eng, v2), the 29 datasets of clustering, reranking, retrieval and STS",
        "source": "https://github.com/embeddings-benchmark/results at commit f4cc6c8",
        "licence": "CC0-1.0",
        "notes": ["Maintained re-runs; clustering and reranking by the task's main score."],
    },
}
SELECTION_NOTES = [
    "The board as near as possible to May 2024, when the llamafile article on embeddings for RAG ranked it: 19 "
    "models are left out that were published later or whose presence contradicts the printed table (for MUG-B-1.6, "
    "TDTE, b1ade-embed and neural-embedding-v1 the date is not known).",
    "Gives the article's ten models in its order; mean task ranks are 1.01 to 1.04 times those printed.",
]

HUB_IDS = {
    # The results repository has too few scores of them to compare; the name is unique there and on the Hub.
    "GritLM-7B": "GritLM/GritLM-7B",
    "gte-Qwen1.5-7B-instruct": "Alibaba-NLP/gte-Qwen1.5-7B-instruct",
    "gte-large-en-v1.5": "Alibaba-NLP/gte-large-en-v1.5",
    "gtr-t5-base": "sentence-transformers/gtr-t5-base",
    "gtr-t5-large": "sentence-transformers/gtr-t5-large",
    "gtr-t5-xl": "sentence-transformers/gtr-t5-xl",
    "gtr-t5-xxl": "sentence-transformers/gtr-t5-xxl",
    "sentence-t5-base": "sentence-transformers/sentence-t5-base",
    "sentence-t5-large": "sentence-transformers/sentence-t5-large",
    "sentence-t5-xl": "sentence-transformers/sentence-t5-xl",
    "sentence-t5-xxl": "sentence-transformers/sentence-t5-xxl",
    "text-embedding-3-large": "openai/text-embedding-3-large",
    "text-embedding-3-small": "openai/text-embedding-3-small",
    "text-embedding-ada-002": "openai/text-embedding-ada-002",
    # Closed: the vendor's name and the board's are one. The re-run of voyage-large-2-instruct differs (median 2.9).
    "google-gecko.text-embedding-preview-0409": "google/google-gecko.text-embedding-preview-0409",
    "voyage-large-2-instruct": "voyageai/voyage-large-2-instruct",
    "voyage-lite-02-instruct": "voyageai/voyage-lite-02-instruct",
    # The board shortens the name of McGill-NLP's supervised adapter for Llama 3.
    "LLM2Vec-Meta-Llama-3-supervised": "McGill-NLP/LLM2Vec-Meta-Llama-3-8B-Instruct-mntp-supervised",
}
"""Board name → Hub id where the scores cannot confirm it."""


def read_table(path: Path) -> tuple[dict[str, Scores], dict[str, tuple[str, str]]]:
    """Pool → model → task → score, and task → (category, metric)."""
    pools: dict[str, Scores] = defaultdict(lambda: defaultdict(dict))
    tasks: dict[str, tuple[str, str]] = {}
    with path.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if row["model"].endswith("#dup"):
                continue
            scores = pools[row["pool"]][row["model"]]
            if row["task"] in scores:
                raise SystemExit(f"{path}: {row['model']} has two scores for {row['task']} in {row['pool']}")
            scores[row["task"]] = row["score"]
            tasks[row["task"]] = (row["category"], row["metric"])
    return pools, tasks


def hub_ids(board: Scores, results: Scores) -> dict[str, str]:
    """Board name → Hub id: the one model of that name whose scores agree, else what HUB_IDS says."""
    named: dict[str, list[str]] = defaultdict(list)
    for identity in results:
        named[identity.rsplit("/", 1)[-1].casefold()].append(identity)
    found: dict[str, str] = {}
    for name, scores in board.items():
        for identity in named[name.casefold()] if len(named[name.casefold()]) == 1 else ():
            common = scores.keys() & results[identity].keys()
            gaps = [abs(float(scores[task]) - float(results[identity][task])) for task in common]
            if len(gaps) >= 10 and statistics.median(gaps) <= 0.5:
                found[name] = identity
    return {**{name: identity for name, identity in HUB_IDS.items() if name in board}, **found}


def scores_file(name: str, scores: Scores, tasks: dict[str, tuple[str, str]], ids: dict[str, str]) -> str:
    """The file of a pool, a line per task and per model."""
    order = sorted(tasks, key=lambda task: (CATEGORIES.index(tasks[task][0]), task.casefold()))
    head = json.dumps({"schema": 1, "kind": "scores", "name": name, **FILES[name]}, ensure_ascii=False, indent=2)
    task_lines = [
        json.dumps({"name": task, "category": tasks[task][0].lower(), "metric": tasks[task][1]}) for task in order
    ]
    model_lines = []
    for model in sorted(scores, key=str.casefold):
        label = {"name": model, **({"id": ids[model]} if model in ids else {})}
        values = ",".join(scores[model].get(task, "null") for task in order)
        model_lines.append(f'{json.dumps(label, ensure_ascii=False)[:-1]}, "scores": [{values}]}}')
    return (
        head.removesuffix("\n}")
        + ',\n  "tasks": [\n    ' + ",\n    ".join(task_lines)
        + '\n  ],\n  "models": [\n    ' + ",\n    ".join(model_lines) + "\n  ]\n}\n"
    )  # fmt: skip


def main() -> None:
    """Read the tables, write the files, and read them back as the program does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--v1", type=Path, required=True, help="scores of MTEB(eng, v1), both pools")
    parser.add_argument("--v2", type=Path, required=True, help="scores of MTEB(eng, v2)")
    parser.add_argument("--exclusions", type=Path, required=True, help='{"pool": …, "A": […]}')
    parser.add_argument("--folder", type=Path, default=data_dir() / "evals", help="where to write")
    options = parser.parse_args()
    first, first_tasks = read_table(options.v1)
    second, second_tasks = read_table(options.v2)
    exclusions = json.loads(options.exclusions.read_text())
    selection = {
        "schema": 1, "kind": "selection", "name": f"{BOARD}-a", "base": exclusions["pool"],
        "exclude": exclusions["A"], "notes": SELECTION_NOTES,
    }  # fmt: skip
    ids = hub_ids(first[BOARD], first[RESULTS])
    content = {
        BOARD: scores_file(BOARD, first[BOARD], first_tasks, ids),
        RESULTS: scores_file(RESULTS, first[RESULTS], first_tasks, {}),
        f"{RESULTS}-v2": scores_file(f"{RESULTS}-v2", second[RESULTS], second_tasks, {}),
        f"{BOARD}-a": json.dumps(selection, ensure_ascii=False, indent=2) + "\n",
    }
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, text in content.items():
        path = options.folder / f"{name}.json"
        path.write_text(text, encoding="utf-8")
    for name in content:
        pool = read_pool(options.folder / f"{name}.json")
        known = sum(model.id is not None for model in pool.models)
        print(f"{name}: {len(pool.models)} models ({known} with an id of their own), {len(pool.tasks)} tasks")


if __name__ == "__main__":
    main()
