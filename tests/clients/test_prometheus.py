"""The counters, read by the parser of Prometheus' own client."""

from __future__ import annotations

import urllib.request

import pytest

from tests.clients.conftest import KEY, Served

parser = pytest.importorskip("prometheus_client.parser", reason="needs the extra `clients`")
pytestmark = pytest.mark.filterwarnings("ignore")


def asked(url: str, body: bytes | None = None) -> str:
    request = urllib.request.Request(url, data=body, headers={"X-Api-Key": KEY})  # noqa: S310  # our own address
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        text: str = answer.read().decode()
    return text


def test_the_page_of_counters_is_valid_and_complete(served: Served) -> None:
    asked(f"{served.v1}/embeddings", b'{"input": "two words"}')
    page = asked(f"{served.url}/metrics")
    families = {family.name: family for family in parser.text_string_to_metric_families(page)}
    assert all(family.documentation for family in families.values())
    assert {family.type for family in families.values()} == {"counter", "gauge", "summary"}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["planner_gateway_requests_total", "/v1/embeddings", "200", "embedding"] == 1
    assert samples["planner_gateway_tokens_total", "embedding", "owner", "prompt"] == 4
    assert samples["planner_gateway_role_ready", "generation"] == 1
    assert samples["planner_gateway_in_flight",] == 1
