"""What the gateway is given, and what its routes share while it runs."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from planner.core.models.model import Model, Role
from planner.errors import UsageError
from planner.serve.gateway.access_log import Write
from planner.serve.gateway.errors import ApiError
from planner.serve.gateway.keys import KeyRing
from planner.serve.gateway.metrics import Metrics
from planner.serve.gateway.record import current
from planner.serve.gateway.turns import Turns
from planner.serve.gateway.upstream import RoleState, Upstream, Upstreams
from planner.serve.gateway.wire import SocketWire, Wire

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_LEAST_KEY_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """Everything the gateway needs to know. Times in seconds.

    `allowed_hosts` are names a client may have used to get here, with any port unless one is named;
    `allowed_origins` are web origins besides those on this machine. `known_models` are names of models that exist
    but need not run here: asking for one of them by name is a mistake worth a 404. `on_bad_vectors(role, reason)`
    is called, without being awaited, whenever an embedder answers nonsense; the default asks the supervisor for a
    restart. `named_keys` is a file of further keys, one per client (`gateway.keys`); `access_log` is told of every
    request. `max_requests` are admitted per role at a time, waiting ones included, and `max_held_bytes` of bodies
    for all together: beyond either, a request is answered 503. Nobody waits for an engine longer than `patience_s`.
    A stream ends after `stall_timeout_s` without a word from the engine, or `unread_timeout_s` without a client that
    reads.
    `wire` replaces the way to the engines in tests.
    """

    api_key: str = field(repr=False)
    upstreams: Upstreams = field(repr=False)
    allowed_hosts: tuple[str, ...] = LOOPBACK_HOSTS
    allowed_origins: tuple[str, ...] = ()
    known_models: Collection[str] = field(default=frozenset(), repr=False)
    on_bad_vectors: Callable[[Role, str], None] | None = None
    named_keys: Path | None = None
    access_log: Write | None = field(default=None, repr=False)
    max_body_bytes: int = 16 * 2**20
    max_held_bytes: int = 256 * 2**20
    max_requests: int = 512
    patience_s: float = 600.0
    max_inputs: int = 2048
    batch_texts: int = 32
    connect_timeout_s: float = 5.0
    body_timeout_s: float = 60.0
    answer_timeout_s: float = 1800.0
    stall_timeout_s: float = 300.0
    unread_timeout_s: float = 60.0
    wire: Wire | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse a key that can be guessed: everything else rests on it."""
        if len(self.api_key) < _LEAST_KEY_LENGTH or not self.api_key.isascii() or not self.api_key.isprintable():
            raise UsageError(
                f"The gateway's key must be at least {_LEAST_KEY_LENGTH} printable ASCII characters.",
                hint="Let planner make one: it is kept in a file only you can read.",
            )


class Gateway:
    """Shared state of the routes: settings, keys, the way to the engines, who waits, the counters."""

    def __init__(self, config: GatewayConfig) -> None:
        self.config = config
        self.metrics = Metrics()
        self.keys = KeyRing(config.api_key, config.named_keys)
        self.turns = Turns(
            max_requests=config.max_requests, max_held_bytes=config.max_held_bytes, patience_s=config.patience_s
        )
        self.wire: Wire = config.wire or SocketWire(connect_timeout_s=config.connect_timeout_s)
        self.created = int(time.time())
        self.spoilt_at: dict[Role, float] = {}
        """When a role's engine was last reported for what it answered, by the monotonic clock."""

    async def aclose(self) -> None:
        """Close all connections to the engines."""
        await self.wire.aclose()

    def count_tokens(self, role: Role, *, prompt: int = 0, completion: int = 0) -> None:
        """Tokens that an engine reports for the request being answered, for counters and log."""
        record = current.get()
        if record is not None:
            record.count(prompt=prompt, completion=completion)
        self.metrics.tokens(role, prompt=prompt, completion=completion, key=record.key if record is not None else "")

    def upstream(self, role: Role, model_name: str | None) -> Upstream:
        """The engine for a role, if it is ready and `model_name` (as the client wrote it) may mean its model.

        Raises ApiError 404 for a name that is another model's, 501 for a role nobody planned, 503 while it loads.
        """
        status = self.config.upstreams.status(role)
        if status is None:
            raise ApiError(501, _NOT_PLANNED[role], code="role_not_running")
        if status.model is not None and model_name:
            self._check_name(role, status.model, model_name)
        if status.state is RoleState.READY and status.upstream is not None:
            return status.upstream
        if status.state is RoleState.LOADING:
            raise ApiError(
                503, f"The {role} model is still loading. Try again in a moment.", code="loading", retry_after_s=2
            )
        raise ApiError(
            503,
            f"The {role} model is not running ({status.state}). `planner status` and `planner logs` say why.",
            code=f"role_{status.state}",
            retry_after_s=30,
        )

    def _check_name(self, role: Role, model: Model, name: str) -> None:
        """Refuse a name that clearly is another model's; any other word means “the one you have”.

        Many clients insist on some name (`gpt-4`, `LLaMA_CPP`, `default`), so strictness would break them. But
        the name of a model that exists and is not this one must not be answered by this one: vectors of two models
        cannot be compared.
        """
        if _same(name, names_of(role, model)):
            return
        for other in self.config.upstreams.all():
            if other.role is not role and other.model is not None and _same(name, names_of(other.role, other.model)):
                raise ApiError(
                    404,
                    f"'{name[:120]}' is the {other.role} model of this deployment; this route is answered by "
                    f"the {role} model '{model.id}'.",
                    code="model_not_found",
                    param="model",
                )
        if "/" in name or _same(name, self.config.known_models):
            raise ApiError(
                404,
                f"The model '{name[:120]}' does not run here. This route is answered by '{model.id}' "
                f"(or call it '{role}').",
                code="model_not_found",
                param="model",
            )


_NOT_PLANNED = {
    Role.EMBEDDING: "No embedding model runs here. Start one with `planner up` or `planner launch MODEL`.",
    Role.GENERATION: "No generation model runs here. Start one with `planner up` or `planner launch MODEL`.",
    Role.RERANKER: "No reranker runs here. Start one with `planner launch MODEL`, or rank by the embeddings.",
}


def names_of(role: Role, model: Model) -> tuple[str, ...]:
    """All names a client may use for a model in its role, the id first."""
    return tuple(dict.fromkeys((model.id, role.value, model.name, *model.aliases)))


def _same(name: str, names: Collection[str]) -> bool:
    """Whether a client's name (without case, without a `:quant` behind it) is one of them."""
    wanted = {name.lower(), name.lower().partition(":")[0]}
    return any(candidate.lower() in wanted for candidate in names)


def gateway_of(request: Request) -> Gateway:
    """The gateway a request came to."""
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway
