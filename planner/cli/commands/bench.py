"""`planner bench`: how fast what runs really is, kept for later estimates."""

import datetime as dt
from typing import TYPE_CHECKING

import click
import msgspec

from planner.cli.output import table, write_json, write_lines
from planner.cli.running import running_deployment
from planner.cli.session import Session, common_options
from planner.core.estimates.estimator import estimate
from planner.core.estimates.measurements import Measurement
from planner.core.launch.launch_plan import ProcessPlan
from planner.core.machines.hardware import Hardware
from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Settings
from planner.core.models.model import Role
from planner.core.pages.views import rate_view
from planner.core.speed.calibration import device_key
from planner.errors import BadDataError, NoResultError, UsageError
from planner.units import format_rate

if TYPE_CHECKING:
    from planner.core.memory.estimate import Rate
    from planner.serve.proof.bench import Measured
    from planner.serve.proof.bench_sweep import Point
    from planner.serve.state import DeploymentSpec

_KEPT_SPREAD = 1.25
"""Runs that differ by more say more of what else runs than of the machine."""
_NAMES = {"tg": "generation", "pp": "prompts", "embed": "embedding"}


@click.command(short_help="Measure what runs, and calibrate the estimates for this machine.")
@click.argument("name", required=False)
@click.option("--repeats", type=click.IntRange(1, 20), default=3, show_default=True, help="Runs that have to agree.")
@click.option("--quick", is_flag=True, help="The three speeds alone, without lengths, depths and clients.")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 600),
    default=10,
    show_default=True,
    help="At most, for lengths, depths and clients.",
)
@click.option("--no-store", is_flag=True, help="Measure only; leave the estimates as they are.")
@click.option("--forget", is_flag=True, help="Measure nothing; remove what was measured on this machine before.")
@common_options
def bench(
    session: Session,
    *,
    name: str | None,
    repeats: int,
    quick: bool,
    minutes: float,
    no_store: bool,
    forget: bool,
) -> None:
    r"""Measure generation, prompt and embedding speed of a running deployment, beside the estimates.

    Then how they change: generation with the tokens that went before, embedding with the length and the number of
    texts, both with 1, 2, 4 and 8 clients at a time.

    The results are kept: later estimates for this machine use them (basis “measured” for the same model and quant,
    nearer to the truth for others). Leave the machine alone meanwhile: runs that differ by more than a quarter are
    shown, and not kept.

    \b
    Examples:
      planner bench
      planner bench --quick
      planner bench default --repeats 5 --json
      planner bench --forget
    """
    if forget:
        _forget(session)
        return
    from planner.serve.proof.bench import measure
    from planner.serve.proof.differences import busy_warning, others_busy
    from planner.serve.state import Home

    record = running_deployment(
        session,
        name,
        to="measure",
        because=", and they would disturb each other",
        naming="{}; stop the others for a quiet measurement",
        no_gateway=(
            ", and speeds are measured through one.",
            "Start it without --no-gateway to measure it; the speeds are kept for both.",
        ),
    )
    home = Home(session.config.deployments_dir, record.name)
    spec = home.read_plan()
    key = home.read_key(home.gateway_key)
    roles = [process.plan.role for process in spec.processes]
    if warning := busy_warning(others_busy()):
        session.note(warning)
    found = measure(record.gateway_url or "", key, roles, repeats=repeats, tell=session.note)
    plans = {process.plan.role: process.plan for process in spec.processes}
    rows = [
        (measured, plans[measured.role], _estimate(session, measured, plans[measured.role])) for measured in found
    ]
    speeds = [] if no_store else _stored(session, spec, found)
    if speeds:
        _store(session, speeds)
    if not session.as_json:
        write_lines(table(("", "model", "measured tok/s", "runs", "estimated", ""), [_row(*row) for row in rows]))
    points: tuple[Point, ...] = ()
    whole = quick
    if not quick:
        from planner.serve.proof.bench_sweep import Sweep

        sweep = Sweep(record.gateway_url or "", key, deadline_s=minutes * 60, tell=session.note)
        points, whole = sweep.run(roles)
    if session.as_json:
        write_json(
            {
                "schema": 1,
                "deployment": record.name,
                "results": [_view(*row) for row in rows],
                "stored": len(speeds),
                "sweep": points,
                "sweep_complete": whole,
            }
        )
    elif points:
        from planner.cli.bench_page import sweep_lines

        write_lines(sweep_lines(points, whole=whole))


def _estimate(session: Session, measured: "Measured", plan: ProcessPlan) -> "Rate | None":
    """What was to be expected under the very conditions that were measured: other lengths have other speeds."""
    hardware = session.hardware
    try:
        expected = estimate(
            plan.model,
            plan.variant,
            _conditions(measured, plan),
            hardware,
            machine_of(hardware, live=False),
            calibration=session.calibration_for(hardware),
        ).throughput
    except (NoResultError, BadDataError):  # the machine has changed since the deployment was planned
        expected = plan.estimate.throughput
    return {"tg": expected.tg, "pp": expected.pp, "embed": expected.embed}[measured.metric]


def _conditions(measured: "Measured", plan: ProcessPlan) -> Settings:
    return msgspec.structs.replace(
        plan.settings, n_gpu_layers=plan.n_gpu_layers, depth=measured.depth, n_prompt=max(1, measured.n_prompt)
    )


def _stored(session: Session, spec: "DeploymentSpec", found: "tuple[Measured, ...]") -> list[Measurement]:
    """What may be kept: a measurement belongs to one device, so nothing of a process that is spread over several."""
    plans = {process.plan.role: process.plan for process in spec.processes}
    today = dt.datetime.now(dt.UTC).date().isoformat()
    engine = f"{spec.engine.kind.value} {spec.engine.version}".strip()
    speeds: list[Measurement] = []
    for measured in found:
        plan = plans[measured.role]
        device = _device(session.hardware, plan)
        if device is None:
            session.note(f"{plan.model.name} is spread over several devices: its speed is shown, not kept.")
            continue
        if measured.spread > _KEPT_SPREAD:
            session.note(
                f"The {_NAMES[measured.metric]} runs of {plan.model.name} differ {measured.spread:.1f} times: "
                "something else uses this machine. They are shown, not kept; measure again when it is quiet."
            )
            continue
        speeds.append(
            Measurement(
                device=device,
                quantity=measured.metric,
                model=plan.model.id,
                quant=plan.variant.quant,
                settings=_conditions(measured, plan),
                tokens_per_s=measured.tokens_per_s,
                spread=measured.spread,
                engine=engine,
                measured_on=today,
            )
        )
    return speeds


def _device(hardware: Hardware, plan: ProcessPlan) -> str | None:
    """The key of the one device that holds all layers, None when there are several or it is gone."""
    if not plan.n_gpu_layers:
        return device_key(None)
    placement = plan.estimate.placement
    used = [index for index, share in enumerate(plan.tensor_split or (1.0,)) if share]
    usable = [device for device in hardware.devices if device.usable]
    if plan.n_gpu_layers < placement.n_layers or len(used) != 1 or used[0] >= len(usable):
        return None
    return device_key(usable[used[0]])


def _store(session: Session, speeds: list[Measurement]) -> None:
    from planner.probe.speed_store import add_speeds

    machine = session.machine_id
    try:
        path = add_speeds(session.config.state_dir, machine, speeds)
    except OSError as error:
        session.note(f"The measurements could not be kept: {error.strerror or error}.")
        return
    session.note(f"Kept for later estimates on this machine ({path}); planner bench --forget removes them.")


def _forget(session: Session) -> None:
    from planner.probe.speed_store import forget_speeds

    try:
        count = forget_speeds(session.config.state_dir, session.machine_id)
    except OSError as error:
        raise UsageError(
            f"The measurements could not be removed: {error.strerror or error}.",
            hint="Change the rights of planner's state folder (XDG_STATE_HOME moves it).",
            reference="state-not-writable",
        ) from error
    if session.as_json:
        write_json({"schema": 1, "forgotten": count})
        return
    write_lines([f"Removed {count} measurement{'' if count == 1 else 's'}."])


def _view(measured: "Measured", plan: ProcessPlan, rate: "Rate | None") -> dict[str, object]:
    return {
        "role": measured.role.value,
        "model": plan.model.id,
        "variant": plan.variant.quant,
        "metric": measured.metric,
        "tokens_per_s": measured.tokens_per_s,
        "runs": list(measured.runs),
        "n_prompt": measured.n_prompt,
        "depth": measured.depth,
        "estimated": rate_view(rate),
    }


def _row(measured: "Measured", plan: ProcessPlan, rate: "Rate | None") -> tuple[str, ...]:
    estimated, verdict = "unknown", ""
    if rate is not None:
        estimated = f"{format_rate(rate.low)} to {format_rate(rate.high)}"
        verdict = "as estimated" if rate.low <= measured.tokens_per_s <= rate.high else "outside"
    name = _NAMES[measured.metric] if measured.role is Role.GENERATION else measured.role.value
    return (
        name,
        f"{plan.model.name} {plan.variant.quant}",
        format_rate(measured.tokens_per_s),
        f"{format_rate(measured.runs[-1])} to {format_rate(measured.runs[0])}",
        estimated,
        verdict,
    )
