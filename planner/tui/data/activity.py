"""What running deployments do: the counters of their gateways, and from two readings of them the speed of now."""

import contextlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.serve.state import DeploymentRecord

TIMEOUT_S = 2.0
KEPT = 240
"""Readings of which the speed is remembered; one every two seconds."""
_MAX_BYTES = 2**20
_SAMPLE = re.compile(r"planner_gateway_(?P<name>\w+?)(?:\{(?P<labels>[^}]*)\})? (?P<value>[0-9.eE+-]+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Counters:
    """A gateway's counters since it started.

    `tokens` by (role, kind), kind `prompt` or `completion`. `requests` and `errors` of work for a model; `inside` are
    those that wait or are being answered now; `refused` those that found too many waiting. `seconds` that answers
    took, all together.
    """

    at_s: float
    tokens: Mapping[tuple[str, str], float] = field(default_factory=dict)
    requests: int = 0
    errors: int = 0
    inside: int = 0
    refused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Activity:
    """The last counters, and tokens per second between readings, the newest last, by role.

    Generated tokens count for a generation model, embedded ones for an embedding model.
    """

    counters: Counters
    rates: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def counters_in(text: str, at_s: float) -> Counters:
    """Counters from the Prometheus text of our gateway; what is not there counts as nothing."""
    tokens: dict[tuple[str, str], float] = defaultdict(float)
    sums: dict[str, float] = defaultdict(float)
    for match in _SAMPLE.finditer(text):
        with contextlib.suppress(ValueError):
            value, labels = float(match["value"]), dict(_LABEL.findall(match["labels"] or ""))
            name, role = match["name"], labels.get("role", "")
            if name == "tokens_total" and role:  # one sample for each key of a client
                tokens[role, labels.get("kind", "")] += value
            if role or name == "in_flight":
                sums[name] += value
    # An older gateway says how many are under way in all; the question for the counters is itself one of them.
    inside = sums["role_requests"] if "role_requests" in sums else max(0.0, sums["in_flight"] - 1)
    return Counters(
        at_s,
        dict(tokens),
        round(sums["requests_total"]),
        round(sums["errors_total"]),
        round(inside),
        round(sums["refused_total"]),
        sums["request_seconds_sum"],
    )


def with_reading(before: Activity | None, now: Counters) -> Activity:
    """The activity with another reading. A gateway that started again begins anew, without a negative speed."""
    if before is None:
        return Activity(now)
    last = before.counters
    passed_s = now.at_s - last.at_s
    if passed_s <= 0:
        return before
    rates: dict[str, tuple[float, ...]] = {}
    for role in {role for role, _ in (*now.tokens, *last.tokens)} | set(before.rates):
        kind = "completion" if role == "generation" else "prompt"
        done = now.tokens.get((role, kind), 0.0) - last.tokens.get((role, kind), 0.0)
        rates[role] = (*before.rates.get(role, ()), max(0.0, done) / passed_s)[-KEPT:]
    return Activity(now, rates)


def read_counters(records: "Sequence[DeploymentRecord]", at_s: float) -> dict[str, Counters | str]:
    """By name the counters of each deployment that has a gateway, or in words why they cannot be had."""
    return {record.name: _ask(record, at_s) for record in records if record.address is not None}


def _ask(record: "DeploymentRecord", at_s: float) -> Counters | str:
    from http.client import HTTPConnection, HTTPException
    from urllib.parse import urlsplit

    address = urlsplit(record.gateway_url or "")
    if address.hostname is None:
        return "it has no address"
    connection = HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)
    try:
        key = Path(record.api_key_file).read_text(encoding="ascii").strip()
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read(_MAX_BYTES)
    except TimeoutError:
        return f"its gateway did not answer within {TIMEOUT_S:g} s"
    except (OSError, HTTPException, UnicodeDecodeError, ValueError) as error:
        return f"its gateway cannot be asked ({type(error).__name__})"
    finally:
        connection.close()
    if answer.status != 200:
        return f"its gateway answers with status {answer.status}"
    return counters_in(body.decode("utf-8", "replace"), at_s)
