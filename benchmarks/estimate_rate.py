"""How many estimates a second one process of `planner estimate --jsonl` answers.

Run: python -m benchmarks.estimate_rate [NUMBER]

The requests name every generator of the catalog in turn, on cards of several sizes, with several contexts and caches,
so that no answer repeats. Start-up (a run with a single request) is taken off.
"""

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from planner.catalog.loader import load

_CARDS = ("RTX 3060 12 GB", "RTX 3090", "RTX 4090", "H100 PCIe", "RTX 2000 Ada")


def requests(number: int) -> list[str]:
    """Lines of requests, none like another."""
    names = [model.id for model in load().models if model.architecture is not None]
    settings = itertools.product(range(1024, 32768, 128), ("Q4_K_M", "Q8_0"), ("f16", "q8_0"), _CARDS)
    found = []
    for index, (context, quant, kind, card) in zip(range(number), settings, strict=False):
        name = names[index % len(names)]
        found.append({"id": index, "model": name, "quant": quant, "gpu": card, "context": context, "kv_type": kind})
    return [json.dumps(request) for request in found]


def seconds(lines: list[str], folder: Path) -> float:
    """How long the command takes to answer these lines."""
    path = folder / "requests.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "planner", "estimate", "--jsonl", str(path)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=600,
    )
    taken = time.perf_counter() - started
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    failed = [answer for answer in answers if "error" in answer]
    if len(answers) != len(lines) or len(failed) > len(lines) // 10:
        sys.exit(f"{len(answers)} answers to {len(lines)} requests, {len(failed)} errors: {failed[:1]}")
    return taken


def main() -> None:
    """Measure and print."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 4800
    lines = requests(number)
    with tempfile.TemporaryDirectory() as folder:
        start_up = seconds(lines[:1], Path(folder))
        whole = seconds(lines, Path(folder))
    print(
        f"start-up {start_up:.2f} s; {number} estimates in {whole - start_up:.2f} s: "
        f"{number / (whole - start_up):,.0f} a second"
    )


if __name__ == "__main__":
    main()
