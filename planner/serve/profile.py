"""A saved deployment: everything that decides what is served and how, to be started again exactly so.

It is data and may come from somebody else, so nothing in it says which program runs, how far the gateway opens, or
where files lie: the engine is a kind, the models are files with their sums.
"""

from pathlib import Path

import msgspec

from planner.core.launch.launch_plan import EngineKind, LaunchPlan
from planner.core.memory.cautions import check_settings
from planner.core.values import decode_value, encode_value
from planner.errors import BadDataError, UsageError
from planner.files import replace_file
from planner.serve.state import DeploymentSpec, is_name

SCHEMA = 1
_MAX_BYTES = 4 * 2**20


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A plan with the kind and version of the engine it ran on, and the port (None: none was asked for)."""

    plan: LaunchPlan
    engine: EngineKind
    engine_version: str = ""
    port: int | None = None
    schema: int = SCHEMA


def profile_of(spec: DeploymentSpec) -> Profile:
    """The profile of a deployment, as it was planned."""
    return Profile(
        plan=LaunchPlan(name=spec.name, processes=tuple(process.plan for process in spec.processes)),
        engine=spec.engine.kind,
        engine_version=spec.engine.version,
        port=spec.port if spec.port_wanted else None,
    )


def write_profile(path: Path, profile: Profile) -> None:
    """Save it. Raises UsageError when that is not possible."""
    body = msgspec.json.format(msgspec.json.encode(profile, enc_hook=encode_value), indent=1) + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, body, mode=0o644)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}.",
            hint="Choose another place.",
            reference="profile-not-writable",
        ) from error


def read_profile(path: Path) -> Profile:
    """A saved profile. Raises UsageError when there is none, BadDataError when it is not one that can be run."""
    hint = "Save one with: planner status NAME --save-profile FILE"
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror or error}.", hint=hint, reference="profile-unreadable"
        ) from error
    try:
        profile = _decoded(raw)
    except (msgspec.DecodeError, ValueError, RecursionError, BadDataError) as error:
        raise BadDataError(f"{path} is not a profile: {error}.", hint=hint, reference="profile-invalid") from error
    return profile


def _decoded(raw: bytes) -> Profile:
    if len(raw) > _MAX_BYTES:
        raise BadDataError(f"it is larger than {_MAX_BYTES // 2**20} MiB")
    profile = msgspec.json.decode(raw, type=Profile, dec_hook=decode_value)
    _check(profile)
    return profile


def _check(profile: Profile) -> None:
    plan = profile.plan
    if profile.schema != SCHEMA:
        raise BadDataError(f"it has schema {profile.schema}, and this version of planner knows {SCHEMA}")
    if not is_name(plan.name):
        raise BadDataError("its name cannot be a deployment's")
    roles = [process.role for process in plan.processes]
    if not roles or len(set(roles)) != len(roles) or any(p.role is not p.model.role for p in plan.processes):
        raise BadDataError("it must have one model of each role at most, and at least one")
    if profile.port is not None and not 0 <= profile.port < 2**16:
        raise BadDataError(f"port {profile.port} does not exist")
    for process in plan.processes:
        check_settings(process.model.architecture, process.settings)
        if not process.variant.artifacts:
            raise BadDataError(f"{process.model.id} has no file")
        if process.n_gpu_layers < 0 or process.n_cpu_moe < 0 or (process.threads or 0) < 0:
            raise BadDataError(f"{process.model.id} has a negative number of layers or threads")
