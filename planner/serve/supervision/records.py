"""From plans, readiness and verification to the records that `status` shows."""

from collections.abc import Iterable

import msgspec

from planner.core.launch.launch_plan import ProcessPlan
from planner.core.launch.supervise import DeploymentState
from planner.core.memory.estimate import Rate
from planner.core.models.model import Role
from planner.serve.engine.engines import required_context
from planner.serve.engine.memory_report import MemoryReport
from planner.serve.gateway.upstream import Upstream
from planner.serve.proof.verify import Check, VerifyReport
from planner.serve.state import CheckRecord, DeploymentRecord, DeploymentSpec, Home, ProcessRecord
from planner.serve.supervision.process import Ready

ESSENTIAL_CHECKS = frozenset({"gateway", "key-required", "embedding-vector", "generation-answer"})
"""A deployment that fails one of these is of no use, or not safe; one that fails another is shown as degraded."""


def first_record(
    spec: DeploymentSpec, home: Home, *, supervisor_pid: int, create_time: float | None, started_at: str
) -> DeploymentRecord:
    """The record of a deployment of which nothing runs yet."""
    return DeploymentRecord(
        name=spec.name,
        state=DeploymentState.STARTING,
        gateway_url=None,
        gateway_pid=supervisor_pid,
        supervisor_pid=supervisor_pid,
        api_key_file=str(home.gateway_key),
        processes=tuple(_first_process(process.plan, spec, home) for process in spec.processes),
        started_at=started_at,
        notes=spec.engine.notes,
        shielded=spec.engine.shielded,
        request=spec.request,
        fingerprint=spec.fingerprint,
        supervisor_token=spec.supervisor_token,
        supervisor_create_time=create_time,
    )


def ready_record(
    process: ProcessRecord, ready: Ready, report: MemoryReport | None, *, rss_bytes: int | None
) -> ProcessRecord:
    """The record of an engine that answers, with the memory it reports."""
    return msgspec.structs.replace(
        process,
        url=ready.url,
        memory_measured_bytes=report.total_bytes if report is not None else None,
        memory_rss_bytes=rss_bytes,
    )


def verified_record(record: DeploymentRecord, report: VerifyReport) -> DeploymentRecord:
    """The record with what the verification found; the embedder's speed is its `pp`."""

    def measured(process: ProcessRecord) -> ProcessRecord:
        match process.role:
            case Role.GENERATION:
                return msgspec.structs.replace(
                    process, tg_measured=report.tg_tokens_per_s, pp_measured=report.pp_tokens_per_s
                )
            case Role.EMBEDDING:
                return msgspec.structs.replace(process, pp_measured=report.embed_tokens_per_s)
            case _:
                return process

    return msgspec.structs.replace(
        record,
        verified=True,
        verification=tuple(CheckRecord(check.name, check.ok, check.detail) for check in report.checks),
        processes=tuple(measured(process) for process in record.processes),
    )


WITHOUT_GATEWAY = (
    "Without the gateway each engine is reached at an address of its own: prompts are not added, vectors, Host and "
    "Origin are not checked, and long inputs end in the engine's own errors."
)


def direct_report(upstreams: Iterable[Upstream]) -> VerifyReport:
    """What is known of engines without a gateway: each answered a real request before it counted as ready."""
    return VerifyReport(
        checks=tuple(
            Check(f"{each.role.value}-direct", ok=True, detail=f"answered a request at {each.url}")
            for each in upstreams
        )
    )


def _first_process(plan: ProcessPlan, spec: DeploymentSpec, home: Home) -> ProcessRecord:
    first = ProcessRecord(
        role=plan.role.value,
        engine=spec.engine.kind.value,
        engine_version=spec.engine.version,
        model=plan.model.id,
        variant=plan.variant.quant,
        log=str(home.log(plan.role.value)),
    )
    return planned_record(first, plan)


def planned_record(process: ProcessRecord, plan: ProcessPlan) -> ProcessRecord:
    """The record with what is estimated for this plan."""
    throughput = plan.estimate.throughput
    prompt = throughput.embed or throughput.pp if plan.role is Role.EMBEDDING else throughput.pp
    return msgspec.structs.replace(
        process,
        memory_estimated_bytes=plan.estimate.memory.engine_bytes,
        tg_estimated=_mid(throughput.tg) if plan.role is Role.GENERATION else None,
        pp_estimated=_mid(prompt),
        context=required_context(plan),
    )


def _mid(rate: Rate | None) -> float | None:
    return rate.mid if rate is not None else None
