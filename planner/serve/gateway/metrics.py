"""Counters in the Prometheus text format: requests, errors, tokens and time, by route and role."""

from collections import defaultdict

from planner.core.models.model import Role
from planner.serve.gateway.record import ROUTE_ROLES, route_of
from planner.serve.gateway.turns import Turns
from planner.serve.gateway.upstream import RoleState, RoleStatus


class Metrics:
    """Counters since the gateway started. One event loop, so no locks."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, int], int] = defaultdict(int)
        self._seconds: dict[str, tuple[float, int]] = defaultdict(lambda: (0.0, 0))
        self._tokens: dict[tuple[Role, str, str], int] = defaultdict(int)
        self._broken_streams: dict[Role, int] = defaultdict(int)
        self._bad_vectors = 0
        self.in_flight = 0

    def answered(self, path: str, status: int, seconds: float) -> None:
        """A request came to its end; `status` 499 means that the client went away first."""
        route = route_of(path)
        self._requests[route, status] += 1
        total, count = self._seconds[route]
        self._seconds[route] = (total + seconds, count + 1)

    def tokens(self, role: Role, *, prompt: int = 0, completion: int = 0, key: str = "") -> None:
        """Tokens that an engine reports to have processed, for whom `key` was given its key."""
        for kind, count in (("prompt", prompt), ("completion", completion)):
            if count:
                self._tokens[role, kind, key] += count

    def broken_stream(self, role: Role) -> None:
        """An engine's stream ended before its end."""
        self._broken_streams[role] += 1

    def bad_vectors(self) -> None:
        """An embedder answered something that is not a usable vector."""
        self._bad_vectors += 1

    def render(self, roles: tuple[RoleStatus, ...], turns: Turns) -> str:
        """All counters as text; `roles` adds the state of each engine, `turns` what waits for it."""
        page = _Page()
        page.family("requests_total", "counter", "Requests by route and HTTP status.")
        for (route, status), count in sorted(self._requests.items()):
            page.sample(count, route=route, role=_role_label(route), status=str(status))
        page.family(
            "errors_total",
            "counter",
            "Requests answered with a status of 400 or more, by route (499, client gone, is not one).",
        )
        errors: dict[str, int] = defaultdict(int)
        for (route, status), count in self._requests.items():
            errors[route] += count if status >= 400 and status != 499 else 0
        for route, count in sorted(errors.items()):
            page.sample(count, route=route, role=_role_label(route))
        page.family("tokens_total", "counter", "Tokens processed by the engines, by the name of the API key.")
        for (role, kind, key), count in sorted(self._tokens.items()):
            page.sample(count, role=role.value, kind=kind, key=key)
        page.family("request_seconds", "summary", "Time from a request's arrival to the end of its answer.")
        for route, (seconds, count) in sorted(self._seconds.items()):
            page.sample(round(seconds, 6), "_sum", route=route, role=_role_label(route))
            page.sample(count, "_count", route=route, role=_role_label(route))
        page.family("broken_streams_total", "counter", "Streams that an engine cut before their end.")
        for role, count in sorted(self._broken_streams.items()):
            page.sample(count, role=role.value)
        page.family("bad_vectors_total", "counter", "Embedding answers refused: wrong length, NaN or zero.")
        page.sample(self._bad_vectors)
        page.family("in_flight", "gauge", "Requests being answered now.")
        page.sample(self.in_flight)
        page.family("role_requests", "gauge", "Requests for a role that wait or are being answered.")
        for role, count in sorted(turns.inside.items()):
            page.sample(count, role=role.value)
        page.family("refused_total", "counter", "Requests answered 503 because too many were waiting.")
        for role, count in sorted(turns.refused.items()):
            page.sample(count, role=role.value)
        page.family("held_bytes", "gauge", "Bytes of the request bodies being answered.")
        page.sample(turns.held_bytes)
        page.family("role_ready", "gauge", "1 when the role's engine is ready.")
        for entry in roles:
            page.sample(int(entry.state is RoleState.READY), role=entry.role.value)
        return page.text()


def _role_label(route: str) -> str:
    role = ROUTE_ROLES.get(route)
    return role.value if role is not None else ""


class _Page:
    """Prometheus text exposition format 0.0.4; label values here never need escaping."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._name = ""

    def family(self, name: str, kind: str, description: str) -> None:
        self._name = f"planner_gateway_{name}"
        self._lines += [f"# HELP {self._name} {description}", f"# TYPE {self._name} {kind}"]

    def sample(self, value: float, suffix: str = "", **labels: str) -> None:
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items() if text)
        self._lines.append(f"{self._name}{suffix}{{{pairs}}} {value}" if pairs else f"{self._name}{suffix} {value}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"
