"""What is remembered of one request: its id, who sent it, what it took. Never what it says."""

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass, field

from planner.core.models.model import Role

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
HEADER = "X-Request-Id"


@dataclass
class RequestRecord:
    """One request on its way through. `key` is the name of the API key it came with, "" while none was right.

    `held_bytes` are its body's, `decoded_bytes` what that takes in memory beyond them.
    """

    id: str
    key: str = ""
    held_bytes: int = 0
    decoded_bytes: int = 0
    sent_bytes: int = 0
    waited_s: float = 0.0
    tokens: dict[str, int] = field(default_factory=dict)
    error: str = ""

    def count(self, *, prompt: int, completion: int) -> None:
        """Add tokens that an engine reports."""
        for kind, number in (("prompt", prompt), ("completion", completion)):
            if number:
                self.tokens[kind] = self.tokens.get(kind, 0) + number


current: ContextVar[RequestRecord | None] = ContextVar("planner_gateway_request", default=None)
"""The request that the running task works for."""


def note_error(code: str) -> None:
    """Write down which error the running request is answered with."""
    if (record := current.get()) is not None:
        record.error = code


def request_id(sent: str | None) -> str:
    """The client's own id when it is a plain word, so that its logs and ours match; else a new one."""
    return sent if sent is not None and _ID.fullmatch(sent) else f"req-{secrets.token_hex(8)}"


def role_of(path: str) -> Role | None:
    """The role that answers a route; None for the rest."""
    return ROUTE_ROLES.get(path)


def route_of(path: str) -> str:
    """The route as logs and counters name it: what a stranger may invent counts as `other`."""
    return path if path in ROUTE_ROLES else "/v1/models" if path.startswith("/v1/models/") else "other"


ROUTE_ROLES: dict[str, Role | None] = {
    "/v1/embeddings": Role.EMBEDDING,
    "/embedding": Role.EMBEDDING,
    "/v1/chat/completions": Role.GENERATION,
    "/v1/completions": Role.GENERATION,
    "/completion": Role.GENERATION,
    "/v1/rerank": Role.RERANKER,
    "/v1/models": None,
    "/health": None,
    "/metrics": None,
}
"""Every path that has a name of its own."""
