"""Does a deployment stay well under load? Many clients for a long time: nothing lost, nothing mixed up, flat memory.

    python benchmarks/gateway_soak.py [--minutes 30] [--clients 24] [--name default] [--json]

Needs a running pair (`planner up --starter --detach`). Half of the clients embed texts whose vectors are known from
the start, so that an answer that belongs to somebody else is noticed; the others stream answers, of which one in
eight is left in the middle, and all send now and then what must be refused (over-long, empty, wrong key, foreign
page). Once a minute (sixty times in a shorter run) the resident memory of gateway and engines, their threads and
open descriptors are noted. The first fifth is for warming up; memory is flat when the mean of the last third of the
rest is within 5 % or 8 MiB of the mean of its first third.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psutil

from planner.config import load_config
from planner.serve.deployments import list_deployments
from planner.serve.state import DeploymentRecord, Home

_WARM_UP = 0.2
_FLAT_SHARE = 0.05
_FLAT_BYTES = 8 * 2**20
_TEXTS = tuple(
    f"Note {number}: {what} in {where}."
    for number, (what, where) in enumerate(
        itertools.product(
            ("a ferry", "an old mill", "a green door", "three letters", "the last train", "a broken clock"),
            ("the harbour", "a village", "winter", "the mountains"),
        )
    )
)


@dataclass
class Tally:
    """What happened."""

    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[dict[str, float]] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"embedding": [], "stream": []})
    wrong: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        """Something that must not happen."""
        self.outcomes["fault"] += 1
        if len(self.wrong) < 20:
            self.wrong.append(what)


def same(a: list[float], b: list[float]) -> bool:
    """Whether two vectors are of the same text: batches change the last digits only."""
    return sum(x * y for x, y in zip(a, b, strict=True)) > 0.999


async def embed(
    client: httpx2.AsyncClient, known: dict[str, list[float]], tally: Tally, chance: random.Random
) -> None:
    """One request of some known texts."""
    texts = chance.sample(_TEXTS, chance.choice((1, 1, 1, 4, 16)))
    started = time.monotonic()
    response = await client.post("/v1/embeddings", json={"input": texts})
    if response.status_code != 200:
        tally.fault(f"embedding: status {response.status_code} {response.text[:120]}")
        return
    tally.seconds["embedding"].append(time.monotonic() - started)
    vectors = [item["embedding"] for item in response.json()["data"]]
    if len(vectors) != len(texts) or not all(same(v, known[t]) for v, t in zip(vectors, texts, strict=True)):
        tally.fault("embedding: a vector of another text")
    tally.outcomes["embedding"] += 1


async def stream(client: httpx2.AsyncClient, tally: Tally, chance: random.Random) -> None:
    """One streamed answer, to the end or left in the middle."""
    leave = chance.random() < 0.125
    tokens = chance.choice((8, 16, 32))
    body = {
        "messages": [{"role": "user", "content": f"Tell me about number {chance.randrange(10**9)}."}],
        "max_tokens": tokens,
        "stream": True,
    }
    started = time.monotonic()
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            tally.fault(f"stream: status {response.status_code} {response.text[:120]}")
            return
        last = ""
        async for line in response.aiter_lines():
            last = line or last
            if leave and '"content"' in line:
                tally.outcomes["left"] += 1
                return
    tally.seconds["stream"].append(time.monotonic() - started)
    if last != "data: [DONE]":
        tally.fault(f"stream: ended with {last[:120]}")
    tally.outcomes["stream"] += 1


async def refused(client: httpx2.AsyncClient, tally: Tally, chance: random.Random) -> None:
    """One request that must be refused, and as what."""
    body: dict[str, Any]
    body, headers, wanted = chance.choice(
        (
            ({"input": "word " * 5000}, {}, 400),
            ({"input": ""}, {}, 400),
            ({"input": "x"}, {"Authorization": "Bearer wrong"}, 401),
            ({"input": "x"}, {"Origin": "https://evil.example"}, 403),
        )
    )
    response = await client.post("/v1/embeddings", json=body, headers=headers)
    if response.status_code != wanted:
        tally.fault(f"refusal: status {response.status_code} instead of {wanted}")
    tally.outcomes["refused"] += 1


async def client_of(
    number: int, door: dict[str, Any], known: dict[str, list[float]], tally: Tally, until: float
) -> None:
    """One client until the end. A new connection now and then, as real ones do."""
    chance = random.Random(number)  # noqa: S311  # not for secrets
    while time.monotonic() < until:
        async with httpx2.AsyncClient(**door) as client:
            for _ in range(chance.randrange(1, 30)):
                if time.monotonic() >= until:
                    return
                try:
                    if chance.random() < 0.05:
                        await refused(client, tally, chance)
                    elif number % 2:
                        await stream(client, tally, chance)
                    else:
                        await embed(client, known, tally, chance)
                except httpx2.HTTPError as error:
                    tally.fault(f"connection: {type(error).__name__} {error}")


async def watch(record: DeploymentRecord, tally: Tally, *, every_s: float, until: float) -> None:
    """Note memory, threads and descriptors."""
    processes = {"gateway": psutil.Process(record.supervisor_pid)}
    processes |= {process.role: psutil.Process(process.pid) for process in record.processes if process.pid}
    started = time.monotonic()
    while time.monotonic() < until:
        sample: dict[str, float] = {"minute": round((time.monotonic() - started) / 60, 2)}
        for name, process in processes.items():
            sample[f"{name}_rss_bytes"] = process.memory_info().rss
            sample[f"{name}_threads"] = process.num_threads()
            sample[f"{name}_descriptors"] = process.num_fds()
        tally.samples.append(sample)
        await asyncio.sleep(every_s)


def flatness(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Growth of each process's memory from the first to the last third after warming up, and whether it is flat."""
    rest = samples[int(len(samples) * _WARM_UP) :]
    third = max(1, len(rest) // 3)
    found: dict[str, Any] = {}
    for name in [key for key in rest[0] if key.endswith("_rss_bytes")]:
        first = statistics.fmean(sample[name] for sample in rest[:third])
        last = statistics.fmean(sample[name] for sample in rest[-third:])
        flat = last - first <= max(_FLAT_SHARE * first, _FLAT_BYTES)
        found[name] = {"first_mib": round(first / 2**20, 1), "last_mib": round(last / 2**20, 1), "flat": flat}
    for name in [key for key in rest[0] if key.endswith(("_threads", "_descriptors"))]:
        found[name] = {"first": rest[0][name], "last": rest[-1][name], "most": max(sample[name] for sample in rest)}
    return found


async def soak(home: Home, record: DeploymentRecord, *, minutes: float, clients: int) -> tuple[Tally, float]:
    """Run it; the tally, and how long it took in seconds."""
    key = home.read_key(home.gateway_key)
    door: dict[str, Any] = {
        "base_url": record.gateway_url,
        "headers": {"Authorization": f"Bearer {key}"},
        "trust_env": False,
        "timeout": 600,
    }
    tally = Tally()
    async with httpx2.AsyncClient(**door) as client:
        answer = await client.post("/v1/embeddings", json={"input": list(_TEXTS)})
        answer.raise_for_status()
        known = {text: item["embedding"] for text, item in zip(_TEXTS, answer.json()["data"], strict=True)}
    started = time.monotonic()
    until = started + minutes * 60
    every_s = min(60.0, max(2.0, minutes * 60 / 60))
    await asyncio.gather(
        watch(record, tally, every_s=every_s, until=until),
        *(client_of(number, door, known, tally, until) for number in range(clients)),
    )
    return tally, time.monotonic() - started


def main() -> int:
    """Soak, judge, print; exit code 1 when something was lost, mixed up or grew."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="default", help="the deployment")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--json", action="store_true", help="print JSON, with every sample")
    arguments = parser.parse_args()
    directory = load_config().deployments_dir
    record = next((r for r in list_deployments(directory) if r.name == arguments.name and r.gateway_url), None)
    if record is None:
        raise SystemExit(f"No deployment “{arguments.name}” is running: planner up --starter --detach")
    tally, seconds = asyncio.run(
        soak(Home(directory, arguments.name), record, minutes=arguments.minutes, clients=arguments.clients)
    )
    after = next((r for r in list_deployments(directory) if r.name == arguments.name), record)
    found: dict[str, Any] = {
        "seconds": round(seconds),
        "clients": arguments.clients,
        "outcomes": dict(tally.outcomes),
        "faults": tally.wrong,
        "restarts": sum(process.restarts for process in after.processes),
        "p50_seconds": {name: round(statistics.median(v), 3) for name, v in tally.seconds.items() if v},
        "memory": flatness(tally.samples),
    }
    good = not tally.outcomes["fault"] and all(entry.get("flat", True) for entry in found["memory"].values())
    if arguments.json:
        print(json.dumps({**found, "good": good, "samples": tally.samples}, indent=2))
    else:
        for label, value in found.items():
            print(f"{label:12} {value}")
        print("good: nothing lost, nothing mixed up, flat memory" if good else "BAD")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
