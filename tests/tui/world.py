"""A world that never changes, for the app: two cards, three pairs, and commands that end when told to."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.core.launch.supervise import DeploymentState, Phase
from planner.core.machines.hardware import Backend, Cpu, Device, DeviceKind, Hardware, Host, Vendor
from planner.core.memory.estimate import DeviceMemory, Estimate, Memory, Placement, Rate, Throughput, Verdict
from planner.core.memory.workload import Settings
from planner.core.models.model import Commercial, Licence, Model, Role, Variant
from planner.core.pairs.recommendation import BudgetUse, Choice, MemoryPlan, Recommendation
from planner.serve.state import CheckRecord, DeploymentRecord, ProcessRecord
from planner.tui.child import OnEvent, OnLine, Outcome
from planner.tui.data.extras import CostRow, Extras
from planner.tui.data.machine import Situation
from planner.tui.problem import Problem
from planner.tui.services import Services
from planner.units import GB, GIB, MIB

if TYPE_CHECKING:
    from planner.tui.data.question import Question
    from planner.tui.data.store import StoreView
    from planner.tui.data.what_if import Answer

HARDWARE = Hardware(
    host=Host(
        os="linux",
        cpu=Cpu("Acme Core 9", 8, 8),
        memory_total_bytes=32 * GIB,
        memory_available_bytes=20 * GIB,
        memory_bandwidth_gbps=51.2,
    ),
    devices=(
        Device(
            id="cuda:0",
            name="Acme GPU 24",
            slug="acme-gpu-24",
            vendor=Vendor.NVIDIA,
            backend=Backend.CUDA,
            kind=DeviceKind.DISCRETE,
            memory_total_bytes=24 * GIB,
            memory_free_bytes=18 * GIB,
            memory_budget_bytes=18 * GIB,
            memory_bandwidth_gbps=936.0,
        ),
        Device(
            id="cuda:1",
            name="Acme GPU 8",
            slug="acme-gpu-8",
            vendor=Vendor.NVIDIA,
            backend=Backend.CUDA,
            kind=DeviceKind.DISCRETE,
            memory_total_bytes=8 * GIB,
            memory_free_bytes=None,
            memory_budget_bytes=None,
            usable=False,
            note="it is lost; the machine must be restarted",
        ),
    ),
)


def choice(role: Role, model_id: str, quant: str, weights_gib: float, rate: tuple[float, float]) -> Choice:
    """A model on `cuda:0`, a tenth of it on the host."""
    weights = round(weights_gib * GIB)
    rows = tuple(
        DeviceMemory(
            device=device,
            weights_bytes=weights // share,
            kv_cache_bytes=weights // share // 4,
            compute_bytes=100 * MIB,
            overhead_bytes=200 * MIB,
            total_bytes=weights // share + weights // share // 4 + 300 * MIB,
            budget_bytes=18 * GIB,
        )
        for device, share in (("cuda:0", 1), ("host", 10))
    )
    memory = Memory(
        weights_bytes=sum(row.weights_bytes for row in rows),
        kv_cache_bytes=sum(row.kv_cache_bytes for row in rows),
        compute_bytes=sum(row.compute_bytes for row in rows),
        overhead_bytes=sum(row.overhead_bytes for row in rows),
        total_bytes=sum(row.total_bytes for row in rows),
        devices=rows,
    )
    speed = Rate(low=rate[0], mid=sum(rate) / 2, high=rate[1])
    return Choice(
        model=Model(
            id=model_id,
            family="acme",
            role=role,
            parameters=1_000_000_000,
            context_length=8192,
            licence=Licence("Apache-2.0", Commercial.YES),
        ),
        variant=Variant(quant=quant, artifacts=(), file_bytes=round(weights_gib * GB)),
        settings=Settings(context=512 if role is Role.EMBEDDING else 8192),
        estimate=Estimate(
            memory=memory,
            placement=Placement(Verdict.FITS, 10, 10, None, "all layers on the GPU"),
            throughput=Throughput(embed=speed) if role is Role.EMBEDDING else Throughput(tg=speed),
        ),
    )


def plan(
    rank: int,
    generator: str,
    weights_gib: float,
    *,
    label: str = "alternative",
    embedder: str = "acme/finder-large-v1",
    warnings: tuple[str, ...] = (),
) -> Recommendation:
    """A pair."""
    choices = (
        choice(Role.EMBEDDING, embedder, "F16", 0.6, (2000, 9000)),
        choice(Role.GENERATION, generator, "Q4_K_M", weights_gib, (120 / weights_gib, 240 / weights_gib)),
    )
    used = {
        device: sum(row.total_bytes for c in choices for row in c.estimate.memory.devices if row.device == device)
        for device in ("cuda:0", "host")
    }
    budgets = {"cuda:0": 17 * GIB, "host": 19 * GIB}
    total, budget = sum(used.values()), sum(budgets.values())
    return Recommendation(
        rank=rank,
        label=label,
        embedding=choices[0],
        generation=choices[1],
        memory=MemoryPlan(
            total, budget, budget - total, tuple(BudgetUse(name, used[name], budgets[name]) for name in used)
        ),
        score=90.0 - rank,
        reasons=("finder-large-v1 F16: RAG mean task rank 20.00 %", "answers faster than anyone reads"),
        warnings=warnings,
        command=("planner", "up", f"{embedder}:F16", f"{generator}:Q4_K_M", "--context", "8192"),
    )


PLANS = (
    plan(1, "acme/writer-8b-instruct-2026", 5.0, label="balanced", warnings=("writer-8b: licence sets conditions",)),
    plan(2, "acme/writer-14b-instruct-2026-with-a-very-long-name-indeed", 9.0, label="best quality"),
    plan(3, "acme/writer-1b", 1.0, label="fastest, smallest"),
)


EXTRAS = Extras(
    changes={PLANS[0].command: ("With 24 GiB on cuda:0 writer-14b at Q6_K would fit: 3 points better.",)},
    costs={
        PLANS[0].command: (
            CostRow("rent", "RTX 3060 at Lium, on-demand", "$0.05", "$0.42 (0.31-0.55)", "10 min ago"),
            CostRow("yours", "electricity", "$0.03", "$0.21 (0.16-0.32)"),
        )
    },
)


def server(
    name: str = "default", state: DeploymentState = DeploymentState.RUNNING, phase: Phase = Phase.RUNNING
) -> DeploymentRecord:
    """A deployment of two models."""

    def process(role: str, model: str, measured: int, estimated: int) -> ProcessRecord:
        generating = role == "generation"
        return ProcessRecord(
            role=role,
            engine="embedded",
            engine_version="1",
            model=model,
            variant="F16",
            state=phase,
            memory_measured_bytes=measured * MIB,
            memory_estimated_bytes=estimated * MIB,
            tg_measured=106.0 if generating else None,
            tg_estimated=147.0 if generating else None,
            pp_measured=None if generating else 2561.0,
            pp_estimated=None if generating else 3550.0,
        )

    return DeploymentRecord(
        name=name,
        state=state,
        gateway_url="http://127.0.0.1:8484",
        gateway_pid=1,
        supervisor_pid=1,
        api_key_file="/state/default/gateway.key",
        processes=(
            process("embedding", "acme/finder-large-v1", 51, 52),
            process("generation", "acme/writer-1b", 295, 300),
        ),
        verification=(CheckRecord("embedding-vector", True, "384 values, norm 1.000"),),
    )


class FakeJob:
    """A command that ends when `finish` is called, or when it is interrupted."""

    def __init__(self, arguments: Sequence[str], on_line: OnLine, on_event: OnEvent | None = None) -> None:
        self.arguments = list(arguments)
        self.say = on_line
        self.tell = on_event or (lambda _event: None)
        self.interrupted = threading.Event()
        self.settled = False
        self._ended = threading.Event()
        self._outcome = Outcome({}, Problem("The test ended first."))

    def wait(self) -> Outcome:
        """Blocks as the real one does."""
        assert self._ended.wait(60)
        return self._outcome

    def interrupt(self) -> None:
        """As Ctrl-C."""
        self.interrupted.set()
        self.finish(Outcome({}, Problem("Cancelled.", "What was downloaded is kept.", "cancelled"), cancelled=True))

    def settle(self, grace_s: float) -> None:
        """Nothing to wait for."""
        del grace_s
        self.settled = True

    def finish(self, outcome: Outcome) -> None:
        """End with that."""
        self._outcome = outcome
        self._ended.set()


def _gpu_names(_situation: Situation) -> tuple[tuple[str, str], ...]:
    from tests.tui.world_what_if import GPUS

    return GPUS


@dataclass
class World:
    """What the app can see and do; change it during a test. A callable in place of a value is called."""

    situation: Situation = field(default_factory=lambda: Situation(HARDWARE, (), ("a note about the catalog",)))
    plans: tuple[Recommendation, ...] = PLANS
    extras: Extras = field(default_factory=Extras)
    servers: tuple[DeploymentRecord, ...] = ()
    look_error: Exception | None = None
    plan_error: Exception | None = None
    extras_error: Exception | None = None
    servers_error: Exception | None = None
    start_error: OSError | None = None
    keep_error: OSError | None = None
    restricted: frozenset[str] = frozenset()
    looks: int = 0
    now_s: float = 100.0
    jobs: list[FakeJob] = field(default_factory=list)
    choices: dict[str, Any] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    questions: "list[Question]" = field(default_factory=list)
    what_if_gate: threading.Event = field(default_factory=threading.Event)
    store: "StoreView | None" = None
    store_error: Exception | None = None

    def __post_init__(self) -> None:
        """Nothing blocks unless a test says so."""
        self.gate.set()
        self.what_if_gate.set()

    def _look(self) -> Situation:
        self.looks += 1
        assert self.gate.wait(60)
        if self.look_error:
            raise self.look_error
        return self.situation

    def _plan(self, situation: Situation) -> tuple[Recommendation, ...]:
        assert situation is self.situation
        if self.plan_error:
            raise self.plan_error
        return self.plans

    def _more(self, situation: Situation, plans: Sequence[Recommendation]) -> Extras:
        assert situation is self.situation
        assert plans is self.plans
        if self.extras_error:
            raise self.extras_error
        return self.extras

    def _servers(self) -> tuple[DeploymentRecord, ...]:
        if self.servers_error:
            raise self.servers_error
        return self.servers

    def _start(self, arguments: Sequence[str], on_line: OnLine, on_event: OnEvent | None = None) -> FakeJob:
        if self.start_error:
            raise self.start_error
        job = FakeJob(arguments, on_line, on_event)
        self.jobs.append(job)
        return job

    def _what_if(self, situation: Situation, question: "Question") -> "Answer":
        from tests.tui.world_what_if import answer

        self.questions.append(question)
        assert self.what_if_gate.wait(60)
        return answer(situation, question)

    def _store(self, _models: Sequence[Model]) -> "StoreView":
        from tests.tui.world_store import STORE

        if self.store_error:
            raise self.store_error
        return self.store or STORE

    def _unaccepted(self, wanted: Sequence[tuple[Model, Variant]]) -> tuple[str, ...]:
        return tuple(
            f"{model.id} is published under {model.licence.spdx}."
            for model, _ in wanted
            if model.id in self.restricted
        )

    def _keep(self, choices: Mapping[str, Any]) -> None:
        if self.keep_error:
            raise self.keep_error
        self.choices = dict(choices)

    @property
    def services(self) -> Services:
        """The seams."""
        from tests.tui.world_prices import listing, reckoned

        return Services(
            look=self._look,
            plan=self._plan,
            more=self._more,
            servers=self._servers,
            start=self._start,
            market=lambda **_: listing(),
            reckon=reckoned,
            clock=lambda: self.now_s,
            unaccepted=self._unaccepted,
            what_if=self._what_if,
            gpu_names=_gpu_names,
            store=self._store,
            recall=lambda: dict(self.choices),
            keep=self._keep,
        )
