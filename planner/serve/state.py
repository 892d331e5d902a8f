"""Deployments on disk: one folder each (0700), files 0600, written atomically. Only its supervisor writes a state.

    <deployments>/<name>/plan.json            what to start (DeploymentSpec)
                        /state.json           what runs (DeploymentRecord)
                        /supervisor.lock      held by its supervisor as long as that lives
                        /gateway.key          the clients' API key
                        /engine.key           the engines' own key, known to the gateway alone
                        /logs/<role>.log      and logs/supervisor.log

A state file alone proves nothing: a record counts as alive only while its supervisor's process exists, told by pid,
a token in its arguments and its create time.
"""

import re
import secrets
from pathlib import Path

import msgspec
import psutil

from planner.core.launch.launch_plan import ProcessPlan
from planner.core.launch.supervise import DeploymentState, Phase
from planner.core.values import decode_value, encode_value
from planner.errors import BadDataError, UsageError
from planner.files import replace_file
from planner.serve.engine.engines import Engine

SCHEMA = 1
DEFAULT_NAME = "default"
DEFAULT_PORT = 8484
"""The gateway's, when it is free and none was asked for."""
LEAST_KEY_LENGTH = 8
"""Characters of the clients' key; planner's own have 43."""
ENDED = (DeploymentState.STOPPED, DeploymentState.FAILED)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CLOCK_SLACK_S = 2.0


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A process to start and the verified file it serves; `smaller`: the plan for when it runs out of memory.

    `port` is where clients look for it where there is no gateway; 0: any.
    """

    plan: ProcessPlan
    model_path: str
    smaller: ProcessPlan | None = None
    port: int = 0


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """How far the gateway opens: by default to this machine alone.

    `host` is the address it listens at for others, beside its loopback one; None: at none. `names` are further names
    that clients call it by. `certificate` and `private_key` are PEM files for TLS at that address. Without `gateway`
    the engines are reached directly, each at a loopback port of its own, with the clients' key.
    """

    gateway: bool = True
    host: str | None = None
    names: tuple[str, ...] = ()
    certificate: str | None = None
    private_key: str | None = None


class DeploymentSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a supervisor is told to run.

    `request` is what the user asked for and `fingerprint` what was planned for it: either being equal makes two
    starts the same. `port` 0 means any; `port_wanted` is set when the user named one. With a public address `port` is
    that one's, and `local_port` (0: any) this machine's own. `supervisor_token` marks the supervisor's process.
    `tied`: it ends with the process that started it. `known_models` are names that the gateway refuses when they are
    asked for and do not run here. `door` says who can reach it.
    """

    name: str
    supervisor_token: str
    request: str
    fingerprint: str
    engine: Engine
    processes: tuple[ProcessSpec, ...]
    port: int = 0
    port_wanted: bool = False
    local_port: int = 0
    tied: bool = False
    known_models: tuple[str, ...] = ()
    door: Door = Door()


class ErrorRecord(msgspec.Struct, frozen=True):
    """A PlannerError on its way through a file."""

    reference: str
    message: str
    hint: str = ""


class CheckRecord(msgspec.Struct, frozen=True):
    """One question asked of the running deployment, through its gateway, and what came out."""

    name: str
    ok: bool
    detail: str


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One process as the JSON contract shows it. Bytes, tok/s; None means not known (yet).

    `memory_estimated_bytes` and `memory_measured_bytes` are both llama.cpp's buffers, the latter as the engine
    itself reports them; `memory_rss_bytes` is the resident memory of the process, mapped file pages included.
    """

    role: str
    engine: str
    engine_version: str
    model: str
    variant: str
    url: str | None = None
    pid: int | None = None
    state: Phase = Phase.STARTING
    memory_estimated_bytes: int | None = None
    memory_measured_bytes: int | None = None
    memory_rss_bytes: int | None = None
    tg_estimated: float | None = None
    tg_measured: float | None = None
    pp_estimated: float | None = None
    pp_measured: float | None = None
    context: int | None = None
    restarts: int = 0
    detail: str = ""
    log: str = ""
    create_time: float | None = None


class DeploymentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment as the JSON contract shows it, with what is needed to find its processes again."""

    name: str
    state: DeploymentState
    gateway_url: str | None
    gateway_pid: int | None
    supervisor_pid: int | None
    api_key_file: str
    processes: tuple[ProcessRecord, ...]
    started_at: str = ""
    verified: bool = False
    verification: tuple[CheckRecord, ...] = ()
    notes: tuple[str, ...] = ()
    error: ErrorRecord | None = None
    request: str = ""
    fingerprint: str = ""
    supervisor_token: str = ""
    supervisor_create_time: float | None = None
    schema: int = SCHEMA
    public_url: str | None = None
    shielded: bool = False

    @property
    def address(self) -> str | None:
        """Where clients go; None for an ended deployment, whose port may be anybody's by now.

        None, too, for one without a gateway: each of its processes has an address of its own.
        """
        return None if self.gateway_url is None or self.state in ENDED else f"{self.gateway_url}/v1"

    def public(self) -> dict[str, object]:
        """D of the JSON contract: without what only this module needs, and without addresses nobody listens at."""
        body: dict[str, object] = msgspec.to_builtins(self, enc_hook=encode_value)
        for name in ("schema", "request", "fingerprint", "supervisor_token", "supervisor_create_time"):
            body.pop(name, None)
        ended = self.state in ENDED
        if ended:
            body.update(gateway_url=None, public_url=None, gateway_pid=None, supervisor_pid=None)
        body["processes"] = [_public_process(process, ended=ended) for process in self.processes]
        return body


def _public_process(process: ProcessRecord, *, ended: bool) -> dict[str, object]:
    body: dict[str, object] = msgspec.to_builtins(process)
    body.pop("create_time")
    if ended or process.state in (Phase.STOPPED, Phase.FAILED):
        body.update(pid=None, url=None)
    return body


def is_name(name: str) -> bool:
    """Whether a deployment can be called that: the name is its folder's."""
    return _NAME.fullmatch(name) is not None and not name.endswith(".")


class Home:
    """The folder of one deployment. Raises UsageError for a name that cannot be a folder's."""

    def __init__(self, deployments_dir: Path, name: str) -> None:
        if not is_name(name):
            raise UsageError(
                f"“{name}” cannot be a deployment's name.",
                hint="Use letters, digits, dots, dashes and underscores; at most 63 of them.",
                reference="name-invalid",
            )
        self.name = name
        self.path = deployments_dir.absolute() / name
        self.plan = self.path / "plan.json"
        self.state = self.path / "state.json"
        self.gateway_key = self.path / "gateway.key"
        self.engine_key = self.path / "engine.key"
        self.supervisor_lock = self.path / "supervisor.lock"
        self.lock = deployments_dir.absolute() / f".{name}.lock"

    def log(self, role: str) -> Path:
        """The log of a role, or of the `supervisor`."""
        return self.path / "logs" / f"{role}.log"

    def make(self) -> None:
        """Make the folders, readable by their owner alone, and a fresh engine key; the clients' key is kept.

        Raises BadDataError for a clients' key that is none.
        """
        for folder in (self.path, self.path / "logs", self.path / "config", self.path / "tmp"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        replace_file(self.engine_key, secrets.token_urlsafe(32).encode() + b"\n")
        key = _read_key(self.gateway_key)
        if not key:
            replace_file(self.gateway_key, secrets.token_urlsafe(32).encode() + b"\n")
        elif len(key) < LEAST_KEY_LENGTH or not key.isprintable():
            raise BadDataError(
                f"{self.gateway_key} holds a key that can be guessed, or is none: it needs {LEAST_KEY_LENGTH} "
                "printable ASCII characters.",
                hint="Remove the file: planner up makes a new key.",
                reference="key-unusable",
            )
        else:
            self.gateway_key.chmod(0o600)

    def read_key(self, path: Path) -> str:
        """A key from its file. Raises BadDataError."""
        key = _read_key(path)
        if not key:
            raise BadDataError(f"{path} holds no key.", hint=f"Start again: planner stop {self.name}; planner up.")
        return key

    def write_plan(self, spec: DeploymentSpec) -> None:
        """Save what the supervisor shall start."""
        replace_file(self.plan, msgspec.json.encode(spec, enc_hook=encode_value))

    def read_plan(self) -> DeploymentSpec:
        """What the supervisor shall start. Raises BadDataError."""
        try:
            return msgspec.json.decode(self.plan.read_bytes(), type=DeploymentSpec, dec_hook=decode_value)
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise BadDataError(f"{self.plan} cannot be read: {error}") from error

    def write_state(self, record: DeploymentRecord) -> None:
        """Save the state (the supervisor does; a starter only when there is no supervisor)."""
        replace_file(self.state, msgspec.json.encode(record, enc_hook=encode_value))

    def read_state(self) -> DeploymentRecord | None:
        """The state as written, None when there is none or it is not readable as one."""
        return self._load_state()[0]

    def state_problem(self) -> str:
        """Why there is a state file that cannot be read as one; empty when it can, and when there is none."""
        return self._load_state()[1]

    def state_token(self) -> str:
        """The token of the supervisor that wrote the state, as far as even that can be read; else empty."""
        try:
            return msgspec.json.decode(self.state.read_bytes(), type=_Token).supervisor_token
        except (OSError, msgspec.DecodeError, ValueError):
            return ""

    def _load_state(self) -> tuple[DeploymentRecord | None, str]:
        try:
            record = msgspec.json.decode(self.state.read_bytes(), type=DeploymentRecord)
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            return None, f"{self.state} cannot be read ({error.strerror})"
        except (msgspec.DecodeError, ValueError) as error:
            return None, f"{self.state} is damaged, or of another version of planner ({error})"
        if record.schema != SCHEMA:
            return None, f"{self.state} is of another version of planner (schema {record.schema})"
        return record, ""


class _Token(msgspec.Struct, frozen=True):
    supervisor_token: str = ""


def unreadable_record(home: Home, problem: str) -> DeploymentRecord:
    """What can be said of a deployment whose state cannot be read: that, and where to look."""
    return DeploymentRecord(
        name=home.name,
        state=DeploymentState.FAILED,
        gateway_url=None,
        gateway_pid=None,
        supervisor_pid=None,
        api_key_file=str(home.gateway_key),
        processes=(),
        error=ErrorRecord(
            "state-unreadable",
            f"What runs is not known: {problem}.",
            f"End what runs and forget it: planner stop {home.name}.",
        ),
    )


def process_matches(pid: int | None, *, create_time: float | None, marker: str) -> bool:
    """Whether that process still exists and is the one meant, not another that got its number.

    `marker` is a text in its arguments; where they cannot be read, its create time decides.
    """
    if pid is None or pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        arguments = _arguments(process)
    except psutil.Error:
        return False
    if arguments and marker:
        return any(marker in argument for argument in arguments)
    return _same_birth(process, create_time)


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.AccessDenied:
        return []


def _same_birth(process: psutil.Process, create_time: float | None) -> bool:
    try:
        return create_time is not None and abs(process.create_time() - create_time) < _CLOCK_SLACK_S
    except psutil.Error:
        return False


def supervisor_alive(record: DeploymentRecord) -> bool:
    """Whether the record's supervisor still runs."""
    return process_matches(
        record.supervisor_pid, create_time=record.supervisor_create_time, marker=record.supervisor_token
    )


def observed(record: DeploymentRecord) -> DeploymentRecord:
    """The record corrected by what is true now: without its supervisor, what claims to run has failed."""
    if record.state in ENDED or supervisor_alive(record):
        return record
    processes = tuple(
        msgspec.structs.replace(p, state=Phase.FAILED) if p.state is not Phase.STOPPED else p
        for p in record.processes
    )
    error = record.error or ErrorRecord(
        "supervisor-died",
        "Its supervisor ended without a word: it was killed, or the machine restarted.",
        f"Start it again with planner up, or forget it: planner stop {record.name}.",
    )
    return msgspec.structs.replace(record, state=DeploymentState.FAILED, processes=processes, error=error)


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
