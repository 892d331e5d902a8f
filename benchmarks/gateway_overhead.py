"""What the gateway costs: the same requests sent to an engine directly and through the gateway, in turns.

    python benchmarks/gateway_overhead.py [--name default] [--embeddings 400] [--streams 12] [--json]

Needs a running deployment with an embedding and a generation model (`planner up --starter --detach`) and a quiet
machine. Embeddings: milliseconds of one short text on a kept connection, the median of many, direct and through the
gateway by turns, so that what else runs slows both. Streams: tokens/s from the first to the last event of an answer
at temperature 0, of which the median of the runs; a pair of runs is direct and gateway by turns too. How sure the
median of the pairs is, is told by an interval: 95 % of the medians of as many pairs drawn again from those that were
measured (bootstrap) lie in it. The processor time that the gateway takes while it is asked is noted as well:
it depends much less on what else runs.
The aim is at most 3 ms and at least 0.97 of the tokens/s.
"""

import argparse
import json
import random
import statistics
import sys
import time
from dataclasses import dataclass

import httpx2
import psutil

from planner.config import load_config
from planner.serve.deployments import list_deployments
from planner.serve.state import DeploymentRecord, Home

_TEXT = "The ferry to the island leaves at seven."
_WARM_UP = 5
_DRAWS = 4000


@dataclass(frozen=True)
class Door:
    """One of the two ways to the same engine."""

    url: str
    key: str

    def client(self) -> httpx2.Client:
        """A client that keeps its connection."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=self.url, headers=headers, trust_env=False, timeout=300)


def embedding_ms(client: httpx2.Client) -> float:
    """Milliseconds of one request."""
    started = time.perf_counter()
    response = client.post("/v1/embeddings", json={"input": _TEXT, "encoding_format": "float"})
    elapsed = time.perf_counter() - started
    response.raise_for_status()
    return elapsed * 1000


def stream_tokens_per_s(door: Door, number: int, tokens: int) -> float:
    """Tokens/s between the first and the last event with text of one streamed answer.

    On a connection of its own: engines close a kept one after a few seconds.
    """
    question = f"Note {number}: tell a long story about a ferry, an island and a storm."
    body = {
        "messages": [{"role": "user", "content": question}],
        "max_tokens": tokens,
        "temperature": 0,
        "seed": 1,
        "stream": True,
    }
    times: list[float] = []
    with door.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:]).get("choices") or [{}]
                if choices[0].get("delta", {}).get("content"):
                    times.append(time.perf_counter())
    if len(times) < 16:
        raise SystemExit("The answers are too short to time; is another model running?")
    return (len(times) - 1) / (times[-1] - times[0])


def measure_embeddings(direct: Door, gateway: Door, process: psutil.Process, *, pairs: int) -> dict[str, object]:
    """Delays of single texts; `process` is the gateway's."""
    with direct.client() as plain, gateway.client() as through:
        for _ in range(_WARM_UP):
            embedding_ms(plain)
            embedding_ms(through)
        before = cpu_ms(process)
        found = [(embedding_ms(plain), embedding_ms(through)) for _ in range(pairs)]
        cpu = (cpu_ms(process) - before) / pairs
    differences = [b - a for a, b in found]
    direct_ms, gateway_ms = ([pair[side] for pair in found] for side in (0, 1))
    return {
        "embedding_direct_ms": _spread(direct_ms),
        "embedding_gateway_ms": _spread(gateway_ms),
        "embedding_overhead_p50_ms": round(statistics.median(gateway_ms) - statistics.median(direct_ms), 3),
        "embedding_paired_overhead_p50_ms": round(statistics.median(differences), 3),
        "embedding_paired_overhead_95": interval(differences),
        "gateway_cpu_ms_per_embedding": round(cpu, 3),
    }


def measure_streams(
    direct: Door, gateway: Door, process: psutil.Process, *, pairs: int, tokens: int
) -> dict[str, object]:
    """Rates of streamed answers; `process` is the gateway's."""
    stream_tokens_per_s(gateway, -1, tokens)
    rates = []
    taken_ms = 0.0
    for number in range(pairs):
        # Whoever comes second finds the prompt in the engine's cache; what is timed begins after it.
        sides = (direct, gateway) if number % 2 == 0 else (gateway, direct)
        pair = {}
        for side in sides:
            before = cpu_ms(process)
            pair[side] = stream_tokens_per_s(side, number, tokens)
            taken_ms += cpu_ms(process) - before if side is gateway else 0.0
        rates.append((pair[direct], pair[gateway]))
    shares = [through / plain for plain, through in rates]
    direct_rate, gateway_rate = (statistics.median(pair[side] for pair in rates) for side in (0, 1))
    return {
        "stream_direct_tokens_per_s": round(direct_rate, 2),
        "stream_gateway_tokens_per_s": round(gateway_rate, 2),
        "stream_share": round(gateway_rate / direct_rate, 4),
        "stream_paired_share": round(statistics.median(shares), 4),
        "stream_paired_share_95": interval(shares),
        "gateway_cpu_ms_per_token": round(taken_ms / (pairs * tokens), 3),
    }


def interval(values: list[float]) -> list[float]:
    """Where 95 % of the medians lie when as many values are drawn from these again and again."""
    draw = random.Random(1)  # noqa: S311  # the same values give the same interval
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(_DRAWS))
    return [round(medians[int(_DRAWS * share)], 4) for share in (0.025, 0.975)]


def cpu_ms(process: psutil.Process) -> float:
    """Milliseconds of processor time that a process has taken so far."""
    times = process.cpu_times()
    return float(times.user + times.system) * 1000


def _spread(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p10": round(cuts[9], 3), "p50": round(cuts[49], 3), "p90": round(cuts[89], 3), "p99": round(cuts[98], 3)}


def running(name: str) -> tuple[Home, DeploymentRecord]:
    """The deployment that is measured."""
    directory = load_config().deployments_dir
    for record in list_deployments(directory):
        if record.name == name and record.gateway_url is not None:
            return Home(directory, name), record
    raise SystemExit(f"No deployment “{name}” is running: planner up --starter --detach")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="default", help="the deployment")
    parser.add_argument("--embeddings", type=int, default=400, help="pairs of requests; 0 = none")
    parser.add_argument("--streams", type=int, default=12, help="pairs of streamed answers; 0 = none")
    parser.add_argument("--tokens", type=int, default=192, help="tokens of an answer, at least 24")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    home, record = running(arguments.name)
    engine_key = home.read_key(home.engine_key)
    direct = {process.role: Door(process.url or "", engine_key) for process in record.processes}
    gateway = Door(record.gateway_url or "", home.read_key(home.gateway_key))
    process = psutil.Process(record.gateway_pid)
    found: dict[str, object] = {}
    if arguments.embeddings:
        found |= measure_embeddings(direct["embedding"], gateway, process, pairs=arguments.embeddings)
    if arguments.streams:
        pairs, tokens = arguments.streams, max(24, arguments.tokens)
        found |= measure_streams(direct["generation"], gateway, process, pairs=pairs, tokens=tokens)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return 0
    for label, value in found.items():
        print(f"{label:36} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
