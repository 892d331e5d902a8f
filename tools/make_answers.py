r"""Write catalog/evals/answers_*.json: published benchmarks of generation models, one source on one day each.

    python tools/make_answers.py --arena text.json --history result.csv --open-llm index.html --reported data/ \
        --faithful README.md

Single facts (a model, a figure) of these sources, read on 2026-11-25:

* --arena: lmarena/arena-catalog, commit ea8297b (2025-12-11), data/leaderboard-text-style-control.json: ratings from
  blind comparisons by people, with the influence of length and markup taken out, and their 95 % intervals.
* --history: nakasyou/lmarena-history, commit 22d6c6a, output/result.csv: the day a model was first rated, which
  stands for its release where nothing better is known.
* --open-llm: chenjy16/modelrank_ai, commit 2c9830d (2025-05-09), docs/index.html: the last table of the Open LLM
  Leaderboard 2, which was closed in 2025; all models in one harness. Only the rows of publishers, not of fine-tuners.
* --reported: JonathanChavezTamales/llm-leaderboard, commit 24a9ccf (2025-10-16), data/: MMLU-Pro as publishers report
  it, each with its source, and parameters and release dates.
* --faithful: vectara/hallucination-leaderboard, commit 2e09859 (2026-03-10), README.md.

Where a publisher's model has several rows (precision, chat template) the best one counts: a template left out says
nothing of the model. Parameters and dates come from the catalog, else from --reported, else from the name and
--history.
"""

import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

from planner.catalog.answers import Row
from planner.catalog.loader import load
from planner.catalog.location import data_dir
from planner.core.models.model import Role

ALIASES = {
    "command-a-03-2025": "CohereLabs/c4ai-command-a-03-2025",
    "command-r-08-2024": "CohereLabs/c4ai-command-r-08-2024",
    "command-r-plus-08-2024": "CohereLabs/c4ai-command-r-plus-08-2024",
    "deepseek-r1": "deepseek-ai/DeepSeek-R1",
    "deepseek-r1-0528": "deepseek-ai/DeepSeek-R1-0528",
    "deepseek-v3-0324": "deepseek-ai/DeepSeek-V3-0324",
    "gemma-3n-e4b-it": "google/gemma-3n-E4B-it",
    "glm-4.6": "zai-org/GLM-4.6",
    "llama-3-70b-instruct": "meta-llama/Meta-Llama-3-70B-Instruct",
    "llama-3-8b-instruct": "meta-llama/Meta-Llama-3-8B-Instruct",
    "llama-3.1-405b-instruct-bf16": "meta-llama/Llama-3.1-405B-Instruct",
    "llama-4-maverick-17b-128e-instruct": "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "llama-4-scout-17b-16e-instruct": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "ministral-8b-2410": "mistralai/Ministral-8B-Instruct-2410",
    "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.1",
    "mistral-large-2407": "mistralai/Mistral-Large-Instruct-2407",
    "mistral-large-2411": "mistralai/Mistral-Large-Instruct-2411",
    "mistral-small-2506": "mistralai/Mistral-Small-3.2-24B-Instruct-2506",
    "mistral-small-24b-instruct-2501": "mistralai/Mistral-Small-24B-Instruct-2501",
    "olmo-3-32b-think": "allenai/Olmo-3-32B-Think",
    "qwen3-235b-a22b-instruct-2507": "Qwen/Qwen3-235B-A22B-Instruct-2507",
    "qwen3-235b-a22b-thinking-2507": "Qwen/Qwen3-235B-A22B-Thinking-2507",
    "qwen3-30b-a3b-instruct-2507": "Qwen/Qwen3-30B-A3B-Instruct-2507",
    "qwen3-coder-480b-a35b-instruct": "Qwen/Qwen3-Coder-480B-A35B-Instruct",
    "qwen3-next-80b-a3b-instruct": "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "qwen3-next-80b-a3b-thinking": "Qwen/Qwen3-Next-80B-A3B-Thinking",
    "qwq-32b": "Qwen/QwQ-32B",
    "meta-llama/meta-llama-3.1-8b-instruct": "meta-llama/Llama-3.1-8B-Instruct",
    "meta-llama/meta-llama-3.1-70b-instruct": "meta-llama/Llama-3.1-70B-Instruct",
    "meta-llama/meta-llama-3.1-405b-instruct": "meta-llama/Llama-3.1-405B-Instruct",
    # As the leaderboard of faithful summaries spells them.
    "meta-llama/llama-3.3-70b-instruct-turbo": "meta-llama/Llama-3.3-70B-Instruct",
    "zai-org/glm-4.5-air-fp8": "zai-org/GLM-4.5-Air",
}
"""Names of the sources, without case, whose Hub id is not the same name with an owner."""

THINKERS = re.compile(r"qwq|r1-distill|deepseek-r1|-think|reasoning|openthinker|marco-o1", re.IGNORECASE)
"""Models that write their thoughts first: the harness of the Open LLM Leaderboard cuts or misreads their answers
(QwQ-32B has 12 points there and is rated above Llama-3.3-70B)."""

PUBLISHERS = frozenset(
    {"01-ai", "allenai", "berkeley-nest", "CohereForAI", "databricks", "deepseek-ai", "google", "HuggingFaceH4"}
    | {"HuggingFaceTB", "ibm-granite", "internlm", "meta-llama", "microsoft", "mistralai", "NousResearch", "nvidia"}
    | {"openai", "openchat", "princeton-nlp", "Qwen", "teknium", "tiiuae", "TinyLlama", "upstage", "zai-org"}
)
"""Whose rows of the Open LLM Leaderboard are read: makers of models, not of copies."""

WRONG_DATES = {"deepseek-ai/DeepSeek-V3.1"}
"""Dated in --reported before the version that came before it."""

_NAMED_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?:-a\d+(?:\.\d+)?b)?(?![a-z])", re.IGNORECASE)
_NAMED_DATE = re.compile(r"-(2[3-9])(0[1-9]|1[0-2])(?!\d)")
_CLOSED = ("gemini", "claude", "gpt-3", "gpt-4", "gpt-5", "reka")


class Facts:
    """What is known of models: Hub ids by short name, parameters and release dates by id."""

    def __init__(self, reported: Path, published: list[str]) -> None:
        self.ids: dict[str, str] = {}
        self.size: dict[str, int] = {}
        self.released: dict[str, str] = {}
        self.reported: list[dict[str, Any]] = []
        for path in sorted(reported.glob("organizations/*/models/*/model.json")):
            self._add(json.loads(path.read_text()), path.with_name("benchmarks.json"))
        for identity in published:
            self.ids.setdefault(identity.rsplit("/", 1)[1].casefold(), identity)
        self.catalog = {m.id.casefold(): m for m in load().models if m.role is Role.GENERATION}
        for model in self.catalog.values():
            self.ids[model.name.casefold()] = model.id
            self.size[model.id] = model.parameters or 0
            if model.release_date:
                self.released[model.id] = model.release_date

    def _add(self, entry: dict[str, Any], benchmarks: Path) -> None:
        link = re.fullmatch(r"https://huggingface\.co/([^/]+/[^/]+)/?", entry.get("source_weights_link") or "")
        if not link or not entry.get("param_count") or entry.get("license_id") == "proprietary":
            return
        identity = link[1]
        self.ids.setdefault(identity.rsplit("/", 1)[1].casefold(), identity)
        self.size[identity] = entry["param_count"]
        if entry.get("release_date") and identity not in WRONG_DATES:
            self.released[identity] = entry["release_date"]
        rows = json.loads(benchmarks.read_text()) if benchmarks.is_file() else []
        for row in rows:
            if row["benchmark_id"] == "mmlu-pro" and row["is_self_reported"]:
                self.reported.append(
                    {"id": identity, "value": row["score"] * 100, "source": row["self_reported_source_link"]}
                )

    def identity(self, name: str) -> str | None:
        """The Hub id that a source's name means, None where it is not known."""
        key = name.casefold()
        if key in ALIASES or key in self.catalog:
            return ALIASES.get(key) or self.catalog[key].id
        return self.ids.get(key) or (name if name in self.size else None)


def row(name: str, value: float, facts: Facts, *, low: float | None = None, **more: Any) -> dict[str, Any]:
    """A model of a table, with everything known of it and nothing that is not."""
    identity = facts.identity(name)
    size = facts.size.get(identity or "")
    named = _NAMED_SIZE.search(name)
    if not size and named and not re.search(r"\dx\d|-\d+e-", name):
        size = round(float(named[1]) * 1e9)
    found = {
        "name": name,
        "value": round(value, 2),
        "low": None if low is None else round(low, 2),
        "id": identity if identity != name else None,
        "parameters": size or None,
        "released": facts.released.get(identity or "") or more.get("seen"),
    }
    return {key: value for key, value in found.items() if value is not None} | {
        key: value for key, value in more.items() if key == "source"
    }


def arena(path: Path, history: Path, facts: Facts) -> list[dict[str, Any]]:
    """Every model of the text arena, closed ones too: they make the scale."""
    first: dict[str, str] = {}
    with history.open() as stream:
        snapshots = list(csv.DictReader(stream))
    for snapshot in snapshots:
        day = snapshot[""]
        for name, value in snapshot.items():
            if name and value not in {"", "0", "0.0"} and day != snapshots[0][""]:
                first.setdefault(name, f"{day[:4]}-{day[4:6]}-{day[6:8]}")
    rows = []
    for name, entry in json.loads(path.read_text())["full"].items():
        dated = _NAMED_DATE.search(name)
        seen = first.get(name) or (f"20{dated[1]}-{dated[2]}" if dated else None)
        found = row(name, entry["rating"], facts, low=entry["rating_q025"], seen=seen)
        if name.startswith(_CLOSED) or "-online" in name:
            found.pop("parameters", None)
        rows.append(found)
    return sorted(rows, key=lambda found: (-found["value"], found["name"]))


def leaderboard(path: Path) -> dict[str, tuple[float, float]]:
    """Publisher's model → average in percent (the best of its rows) and parameters in 10^9."""
    best: dict[str, tuple[float, float]] = {}
    for line in re.findall(r"<tr>(.*?)</tr>", path.read_text(), re.DOTALL):
        cells = re.findall(r"<td>(.*?)</td>", line, re.DOTALL)
        link = re.search(r'huggingface\.co/([^"]+)"', cells[1]) if len(cells) == 10 else None
        if link is None or link[1].split("/")[0] not in PUBLISHERS or THINKERS.search(link[1]):
            continue
        name, value = link[1], float(cells[2])
        if name not in best or value > best[name][0]:
            best[name] = (value, float(cells[3]))
    return best


def open_llm(board: dict[str, tuple[float, float]], facts: Facts) -> list[dict[str, Any]]:
    """The rows of the leaderboard."""
    rows: dict[str, dict[str, Any]] = {}
    for name, (value, billions) in board.items():
        found = row(name, value, facts)
        if billions > 0:
            found.setdefault("parameters", round(billions * 1e9))
        rows.setdefault(found.get("id", name).casefold(), found)  # a model that was renamed is there twice
    return sorted(rows.values(), key=lambda found: (-found["value"], found["name"]))


def reported(facts: Facts) -> list[dict[str, Any]]:
    """What publishers say of their own models."""
    rows = {entry["id"]: row(entry["id"], entry["value"], facts, source=entry["source"]) for entry in facts.reported}
    return sorted(rows.values(), key=lambda found: (-found["value"], found["name"]))


def faithful(path: Path, facts: Facts) -> list[dict[str, Any]]:
    """The share of summaries that say nothing the text does not, in percent, of models whose weights are known."""
    rows = []
    for line in path.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[2].endswith("%"):
            name = cells[0]
            known = facts.identity(name) or facts.identity(name.rsplit("/", 1)[-1])
            found = row(name, float(cells[2].removesuffix("%")), facts)
            rows.append({**found, "id": known} if known and known != name else found)
    return rows


def write(name: str, content: dict[str, Any], models: list[dict[str, Any]]) -> None:
    """One line a model, so that a change of one is a change of one line."""
    head = json.dumps({"kind": "answers", "schema": 1, "name": name, **content}, ensure_ascii=False, indent=1)
    lines = ",\n".join(f"  {json.dumps(_cells(model), ensure_ascii=False)}" for model in models)
    path = data_dir() / "evals" / f"{name}.json"
    path.write_text(f'{head.removesuffix("}").rstrip()},\n "models": [\n{lines}\n ]\n}}\n')
    print(path, len(models))


def _cells(model: dict[str, Any]) -> list[Any]:
    """A row in the order of its fields, as far as the last one known."""
    cells = [model.get(field) for field in Row.__struct_fields__]
    while cells[-1] is None:
        cells.pop()
    return cells


def main() -> None:
    """Write the four tables."""
    parser = argparse.ArgumentParser(description="Write catalog/evals/answers_*.json.")
    for option in ("--arena", "--history", "--open-llm", "--reported", "--faithful"):
        parser.add_argument(option, type=Path, required=True)
    args = parser.parse_args()
    board = leaderboard(args.open_llm)
    facts = Facts(args.reported, sorted(board))
    rated = arena(args.arena, args.history, facts)
    write(
        "answers_lmarena_2025-12-11",
        {
            "date": "2025-12-11",
            "benchmark": "LMArena text, overall, style control: ratings from blind comparisons by people",
            "figure": "rating",
            "unit": "rating points; 400 points are odds of ten to one",
            "reported": False,
            "source": "https://github.com/lmarena/arena-catalog at commit ea8297b, "
            "data/leaderboard-text-style-control.json (category full)",
            "licence": "no licence file was found in the source; single published ratings are facts",
            "notes": [
                "low: lower end of the source's 95 % interval.",
                "released: the catalog's date, else that of the reported table, else the day the model was first in "
                "LMArena's tables (github.com/nakasyou/lmarena-history at 22d6c6a), else the month in its name.",
                "A model that thinks or not, as asked, is rated in the mode its name means.",
            ],
        },
        rated,
    )
    write(
        "answers_open-llm_2025-05-09",
        {
            "date": "2025-05-09",
            "benchmark": "Open LLM Leaderboard 2, average of IFEval, BBH, MATH level 5, GPQA, MuSR and MMLU-Pro",
            "figure": "average",
            "unit": "percent, normalised so that guessing is 0",
            "reported": False,
            "source": "https://github.com/chenjy16/modelrank_ai at commit 2c9830d, docs/index.html, a copy of the "
            "leaderboard of huggingface.co/open-llm-leaderboard",
            "licence": "no licence file was found in the copy; single published scores are facts",
            "notes": [
                "Rows of publishers only; of several rows of a model the best one.",
                "Models that think before they answer are left out: the harness misreads them.",
            ],
        },
        open_llm(board, facts),
    )
    write(
        "answers_reported_2025-10-16",
        {
            "date": "2025-10-16",
            "benchmark": "MMLU-Pro as publishers report it",
            "figure": "mmlu_pro",
            "unit": "percent",
            "reported": True,
            "source": "https://github.com/JonathanChavezTamales/llm-leaderboard at commit 24a9ccf, "
            "data/organizations",
            "licence": "CC-BY-4.0, Copyright 2024 jc; single figures, no text",
            "notes": ["Prompts and harness are the publishers'. source: where the publisher says it."],
        },
        reported(facts),
    )
    write(
        "answers_faithful_2026-03-10",
        {
            "date": "2026-03-10",
            "benchmark": "Vectara hallucination leaderboard: summaries that say nothing the text does not",
            "figure": "faithful",
            "unit": "percent",
            "reported": False,
            "source": "https://github.com/vectara/hallucination-leaderboard at commit 2e09859, README.md",
            "licence": "Apache-2.0",
            "notes": [
                "Shown beside the score and not part of it: it does not say whether an answer is any good, and "
                "models that answer little do well."
            ],
        },
        faithful(args.faithful, facts),
    )


if __name__ == "__main__":
    main()
