"""What an embedder and a generator do to each other on one processor, as engines wait by default and as ours do.

    python benchmarks/busy_pair.py GENERATOR.gguf EMBEDDER.gguf [--turns 3] [--seconds 10] [--json]

Each model in an embedded engine of its own, as a deployment has them, with all threads each. By turns with the OpenMP
library's own spinning and with the environment that `planner up` gives an engine: tokens per second of one client
that writes, one that embeds, and of both at once. Medians of the turns.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2

from planner.serve.engine.environment import engine_environment

_CHILD = """
import sys, xllamacpp
path, embeds = sys.argv[1], sys.argv[2] == "embeds"
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames, params.fit_params = path, 0, ["127.0.0.1"], False
params.n_ctx = params.n_batch = params.n_ubatch = 512
params.n_parallel = 1
if embeds:
    params.embedding = True
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
_TEXTS = [f"Note {number}: the ferry in the harbour in winter, beside an old mill. " * 4 for number in range(16)]


@contextmanager
def engine(model: Path, kind: str, environment: dict[str, str]) -> Iterator[str]:
    """A running engine's address."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(model), kind],
        env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        address = next((line.strip() for line in process.stdout if line.startswith("http")), None)
        if address is None:
            raise SystemExit(f"The engine did not start with {model}.")
        yield address
    finally:
        process.kill()
        process.wait()


def post(url: str, body: dict[str, object]) -> dict[str, object]:
    """The answer to a request."""
    answer = httpx2.post(url, json=body, timeout=600)
    answer.raise_for_status()
    return dict(answer.json())


def write(address: str) -> int:
    """Tokens of one answer."""
    answer = post(f"{address}/completion", {"prompt": "The river", "n_predict": 16, "ignore_eos": True})
    return int(str(answer["tokens_predicted"]))


def embed(address: str) -> int:
    """Tokens of some texts."""
    usage = post(f"{address}/v1/embeddings", {"input": _TEXTS})["usage"]
    assert isinstance(usage, dict)
    return int(usage["prompt_tokens"])


def rates(work: dict[str, str], seconds: float) -> dict[str, float]:
    """Tokens per second of each kind of work (`write`, `embed`: an address), all going on at once."""
    found: dict[str, float] = {}

    def repeat(kind: str, address: str) -> None:
        started, tokens = time.monotonic(), 0
        while (passed := time.monotonic() - started) < seconds or not tokens:
            tokens += {"write": write, "embed": embed}[kind](address)
        found[kind] = tokens / max(passed, time.monotonic() - started)

    threads = [threading.Thread(target=repeat, args=item) for item in work.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def turn(models: dict[str, Path], environment: dict[str, str], seconds: float) -> dict[str, float]:
    """All figures of one turn."""
    with ExitStack() as stack:
        work = {kind: stack.enter_context(engine(model, f"{kind}s", environment)) for kind, model in models.items()}
        found = {f"{kind} alone": rates({kind: address}, seconds)[kind] for kind, address in work.items()}
        return found | {f"{kind}, both busy": value for kind, value in rates(work, seconds).items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("generator", type=Path)
    parser.add_argument("embedder", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    models = {"write": arguments.generator, "embed": arguments.embedder}
    ours = engine_environment(os.environ, config_home=Path("/nonexistent"), python=True)
    settings = {"by default": {k: v for k, v in ours.items() if k != "GOMP_SPINCOUNT"}, "as ours": ours}
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in settings}
    for _ in range(arguments.turns):
        for name, environment in settings.items():
            turns[name].append(turn(models, environment, arguments.seconds))
    found = {
        name: {key: round(statistics.median(each[key] for each in all_turns), 1) for key in all_turns[0]}
        for name, all_turns in turns.items()
    }
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, figures in found.items():
        print(f"{name:12}", ", ".join(f"{key} {value:g} tok/s" for key, value in sorted(figures.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
