"""Deployments that never change, with counters and logs that a test moves on."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from planner.core.launch.supervise import DeploymentState, Phase
from planner.serve.state import CheckRecord, DeploymentRecord, ErrorRecord
from planner.tui.child import OnLine
from planner.tui.data.activity import Counters
from planner.tui.services import Services
from tests.tui.world import FakeJob, server

NOW_S = 1_795_600_000.0
STARTED = "2026-11-25T08:31:00Z"
WORDS = (
    ("embedding", "load_model: loaded finder-large-v1-F16.gguf"),
    ("embedding", "srv  update_slots: all slots are idle"),
    ("generation", "load_model: loaded writer-1b-F16.gguf"),
    ("generation", "slot print_timing: eval time = 320.11 ms / 32 tokens (100.0 tokens per second)"),
    ("supervisor", "gateway at http://127.0.0.1:8484"),
)


def busy(name: str = "default", **changes: Any) -> DeploymentRecord:
    """One that runs, much slower than it should, and says so."""
    record = server(name)
    embedding, generation = record.processes
    slow = msgspec.structs.replace(
        generation, tg_measured=23.0, memory_measured_bytes=400 * 2**20, context=8192, restarts=1
    )
    fields = {
        "started_at": STARTED,
        "notes": ("writer-1b runs at 23 tok/s, far below the estimated 81 to 250: the machine may be busy.",),
        "verification": tuple(CheckRecord(f"check-{number}", True, "fine") for number in range(7)),
        "processes": (msgspec.structs.replace(embedding, context=512), slow),
        **changes,
    }
    return msgspec.structs.replace(record, **fields)


def crashed(name: str = "other") -> DeploymentRecord:
    """One whose engine gave up."""
    record = server(name, DeploymentState.FAILED, Phase.FAILED)
    words = "The generation engine crashed three times. It said: CUDA error: out of memory"
    return msgspec.structs.replace(
        record,
        error=ErrorRecord("engine-crashed", words, "See planner logs."),
        verification=(),
        processes=tuple(msgspec.structs.replace(process, detail=words) for process in record.processes),
    )


def counters(at_s: float, written: float, embedded: float, **changes: Any) -> Counters:
    """A reading."""
    tokens: Mapping[tuple[str, str], float] = {
        ("generation", "completion"): written,
        ("generation", "prompt"): 12_000.0,
        ("embedding", "prompt"): embedded,
    }
    fields: dict[str, Any] = {"requests": 1240, "errors": 3, "inside": 2, "seconds": 2108.0, **changes}
    return Counters(at_s, tokens, **fields)


class FakeFollower:
    """Says its words once, then what was added."""

    def __init__(self, words: list[tuple[str, str]], roles: Sequence[str]) -> None:
        self._words = words
        self._roles = roles
        self._said = 0

    def read(self) -> list[tuple[str, str]]:
        """What is new."""
        new = self._words[self._said :]
        self._said = len(self._words)
        return [(role, line) for role, line in new if not self._roles or role in self._roles]


@dataclass
class Servers:
    """What the page sees; change it during a test."""

    readings: dict[str, Counters | str] = field(default_factory=lambda: {"default": counters(0.0, 3_100, 45_000)})
    words: list[tuple[str, str]] = field(default_factory=lambda: list(WORDS))
    follow_error: Exception | None = None
    followed: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    restarts: list[FakeJob] = field(default_factory=list)
    asked: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Nothing blocks unless a test says so."""
        self.gate.set()

    def counters(self, records: Sequence[DeploymentRecord], at_s: float) -> dict[str, Counters | str]:
        """The services' function."""
        del at_s
        self.asked += 1
        assert self.gate.wait(60)
        return {record.name: self.readings[record.name] for record in records if record.name in self.readings}

    def follow(self, name: str, roles: Sequence[str] = ()) -> FakeFollower:
        """The services' function."""
        if self.follow_error is not None:
            raise self.follow_error
        self.followed.append((name, tuple(roles)))
        return FakeFollower(self.words, roles)

    def restart(self, name: str, on_line: OnLine) -> FakeJob:
        """The services' function."""
        job = FakeJob([name], on_line)
        self.restarts.append(job)
        return job

    def with_(self, services: Services) -> Services:
        """The services of a world, with these servers."""
        return replace(services, counters=self.counters, follow=self.follow, restart=self.restart, wall=lambda: NOW_S)
