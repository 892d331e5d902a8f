"""Plans for the tests: two tiny models nobody ever loads, and the engine that serves them."""

from pathlib import Path

from planner.core.launch.launch_plan import EngineKind, LaunchPlan, ProcessPlan
from planner.core.machines.hardware import Backend
from planner.core.memory.estimate import Estimate, Memory, Placement, Rate, Throughput, Verdict
from planner.core.memory.workload import Settings
from planner.core.models.model import Commercial, Licence, Model, Pooling, Role, Variant
from planner.serve.deployments import make_spec
from planner.serve.engine.capabilities import parse_flags
from planner.serve.engine.engines import Engine
from planner.serve.state import DeploymentSpec
from tests.serve.fake_engine import FLAGS, install

MIB = 2**20
MEASURED_BYTES = 35 * MIB
"""What the fake engine's buffer lines add up to."""


def model(role: Role) -> Model:
    return Model(
        id=f"test/{role.value}-model",
        family="test",
        role=role,
        parameters=1_000_000,
        context_length=512,
        licence=Licence("MIT", Commercial.YES),
        embedding_length=384 if role is Role.EMBEDDING else None,
        pooling=Pooling.MEAN if role is Role.EMBEDDING else None,
    )


def process(role: Role = Role.GENERATION, *, layers: int = 0, threads: int | None = None) -> ProcessPlan:
    memory = Memory(20 * MIB, 10 * MIB, 6 * MIB, 100 * MIB, 136 * MIB, devices=())
    throughput = Throughput(pp=Rate(1.0, 2.0, 3.0), tg=Rate(10.0, 20.0, 30.0), embed=Rate(100.0, 200.0, 300.0))
    return ProcessPlan(
        role=role,
        model=model(role),
        variant=Variant(quant="F16", artifacts=()),
        settings=Settings(context=512, embedding=role is Role.EMBEDDING),
        n_gpu_layers=layers,
        tensor_split=None,
        backend=Backend.CUDA if layers else Backend.CPU,
        estimate=Estimate(memory, Placement(Verdict.FITS, layers, 13, None, ""), throughput),
        threads=threads,
    )


def fake(folder: Path, mode: str) -> Engine:
    """The fake engine in one of its modes, as an engine that was probed."""
    return Engine(
        kind=EngineKind.LLAMA_SERVER,
        version="11434",
        binary=str(install(folder / mode / "llama-server", mode)),
        flags=parse_flags(FLAGS),
        reason="it is a test",
    )


def spec(
    folder: Path, mode: str = "ready", *, name: str = "test", tied: bool = False, port: int = 0
) -> DeploymentSpec:
    """A deployment of a pair served by the fake engine."""
    weights = folder / "model.gguf"
    weights.write_bytes(b"GGUF")
    plan = LaunchPlan(name=name, processes=(process(Role.EMBEDDING), process(Role.GENERATION)))
    return make_spec(
        plan,
        paths=[weights, weights],
        engine=fake(folder, mode),
        request="a test",
        port=port,
        port_wanted=bool(port),
        tied=tied,
    )
