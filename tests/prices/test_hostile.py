"""Whatever stands where in an answer: a provider's module gives quotes or an error for people, nothing else."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.costs.offers import is_usable
from planner.errors import PlannerError
from planner.prices.csv_catalog import CsvCatalog
from planner.prices.lium import Lium
from planner.prices.provider import Answer, Part, Provider, Wanted
from planner.prices.runpod_graphql import RunPodGraphQL
from planner.prices.runpod_rest import RunPodRest
from planner.prices.vast import Vast
from tests.prices.price_server import AWS_ROWS, CSV_HEAD, VERSION, sample, zipped

JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 10**400, 1.5, float("nan"), float("inf"), "", " ", "0.35", "$0.35", "NaN",
    "\x1b[31m", "x" * 9999,
    [], [None], {}, {"a": 1}, [[[]]],
)  # fmt: skip


class Replay:
    """A client that gives one body to every question."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies = list(bodies)

    def get(self, url: str, *, headers: Mapping[str, str] | None = None, secret: str | None = None) -> Answer:
        body = self._bodies.pop(0) if len(self._bodies) > 1 else self._bodies[0]
        return Answer(200, {}, body)

    def post(self, url: str, body: object) -> Answer:
        return self.get(url)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document, outermost first."""
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from places(value, (*path, key))


def with_value(tree: Any, path: tuple[Any, ...], value: object) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(tree)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


GRAPHQL = {"data": {"gpuTypes": [sample("runpod_graphql.json")["sdk_get_gpu"]]}, "errors": [{"message": "m"}]}
CASES: dict[str, tuple[Provider, Any]] = {
    "vast": (Vast(), sample("vast_bundles.json")),
    "runpod": (RunPodGraphQL(), GRAPHQL),
    "runpod-rest": (RunPodRest(), sample("runpod_rest.json")),
    "lium": (Lium(), sample("lium_nodes.json")),
}


def fetch(provider: Provider, *bodies: bytes) -> Part | None:
    """The part, or None for an error for people."""
    part = provider.parts(Wanted())[0]
    try:
        return provider.fetch(part, Replay(*bodies), now=1.8e9, before=None, key="k", requests=1)
    except PlannerError:
        return None


@pytest.mark.parametrize("name", CASES)
def test_any_value_at_any_place_is_survived(name: str) -> None:
    provider, tree = CASES[name]
    kept = 0
    for path in places(tree):
        for junk in JUNK:
            found = fetch(provider, json.dumps(with_value(tree, path, junk)).encode())
            if found is not None:
                kept += bool(found.quotes)
                assert all(is_usable(quote) for quote in found.quotes)
                assert all(quote.gpu_raw.isprintable() and len(quote.gpu_raw) <= 120 for quote in found.quotes)
    assert kept > 100


def as_text(tree: Any) -> Any:
    """The document with every number written as text."""
    if isinstance(tree, dict):
        return {key: as_text(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [as_text(value) for value in tree]
    return str(tree) if isinstance(tree, int | float) and not isinstance(tree, bool) else tree


@pytest.mark.parametrize("name", CASES)
def test_numbers_that_are_written_as_text_are_the_same_offers(name: str) -> None:
    provider, tree = CASES[name]
    plain, written = (fetch(provider, json.dumps(document).encode()) for document in (tree, as_text(tree)))
    assert plain is not None
    assert written is not None
    assert plain.quotes
    assert written.quotes == plain.quotes


NEEDED = {
    "vast": {"dph_base", "gpu_name", "num_gpus"},
    "runpod": {"id", "securePrice", "communityPrice", "communitySpotPrice"},
    "runpod-rest": {"id", "price", "secure", "name"},
    "lium": {"gpu_model", "price_per_gpu_hour"},
}
"""Fields without which there is no offer."""


@pytest.mark.parametrize("name", CASES)
def test_a_field_that_is_null_costs_what_it_says_and_no_price(name: str) -> None:
    provider, tree = CASES[name]
    plain = fetch(provider, json.dumps(tree).encode())
    assert plain is not None
    prices = {(quote.gpu_raw, quote.tier): quote.price_hour_usd / quote.gpu_count for quote in plain.quotes}
    looked_at = 0
    for path in places(tree):
        value = tree
        for key in path:
            value = value[key]
        optional = not NEEDED[name] & set(map(str, path)) and path[-1:] not in {("available_gpu_count",), ("tier",)}
        if isinstance(value, dict | list) or not optional:
            continue
        looked_at += 1
        found = fetch(provider, json.dumps(with_value(tree, path, None)).encode())
        assert found is not None
        kept = {(quote.gpu_raw, quote.tier): quote.price_hour_usd / quote.gpu_count for quote in found.quotes}
        assert kept == prices, path
    assert looked_at > 5


@pytest.mark.parametrize("name", CASES)
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_body_is_survived(name: str, body: bytes) -> None:
    fetch(CASES[name][0], body)


@pytest.mark.parametrize("name", CASES)
def test_an_answer_that_breaks_off_anywhere_is_survived(name: str) -> None:
    provider, tree = CASES[name]
    whole = json.dumps(tree).encode()
    for end in range(0, len(whole) - 1, 7):
        assert fetch(provider, whole[:end]) is None


@given(text=st.text(max_size=200))
def test_any_text_in_the_csv_is_survived(text: str) -> None:
    archive = zipped("aws.csv", CSV_HEAD + AWS_ROWS + text)
    found = fetch(CsvCatalog(), VERSION.encode(), archive)
    assert found is None or all(is_usable(quote) for quote in found.quotes)


@given(flips=st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_a_damaged_archive_is_survived(flips: list[int]) -> None:
    archive = bytearray(zipped("aws.csv", CSV_HEAD + AWS_ROWS))
    for place in flips:
        archive[place % len(archive)] ^= 0xFF
    fetch(CsvCatalog(), VERSION.encode(), bytes(archive))
