"""The list of models as values: search, filters, order, what is looked at first."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from planner.core.fits.model_fit import Fitted
from planner.core.memory.estimate import Verdict
from planner.core.models.model import Commercial, Model, Role, Score
from planner.tui.data.listing import Listing
from planner.tui.data.machine import Situation
from planner.tui.data.models import SORTS, Filters, Row, chosen, fits_of, installed, ordered, read_rows
from tests.core.shapes import BERT_LARGE, LLAMA_8B, gpu, machine, make_model
from tests.tui.world_models import CATALOG, HERE


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Row, ...]:
    return read_rows(Situation(HERE, CATALOG), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def fits() -> dict[str, Fitted | None]:
    return fits_of(Situation(HERE, CATALOG), CATALOG)


def names(rows: list[Row]) -> list[str]:
    return [row.name for row in rows]


def test_a_row_has_the_name_that_people_type_and_the_figure_of_its_role(rows: tuple[Row, ...]) -> None:
    by = {row.name: row for row in rows}
    assert by["finder-large"].mtr == 6.92
    assert by["finder-large"].quality is None
    assert by["writer-8b"].grade == "A"
    assert by["writer-8b"].mtr is None
    assert {"acme/twin", "rival/twin"} <= set(by), "a name that two models have needs its owner"


def test_every_word_of_a_search_must_be_somewhere(rows: tuple[Row, ...]) -> None:
    assert names(chosen(rows, Filters(search="GERMAN find"), {})) == ["finder-small"]
    assert names(chosen(rows, Filters(search="apache writer 8b"), {})) == ["writer-8b"]
    assert chosen(rows, Filters(search="writer nonsense"), {}) == []


def test_filters_add_up_and_unknown_meets_none(rows: tuple[Row, ...], fits: dict[str, Fitted | None]) -> None:
    assert names(chosen(rows, Filters(role=Role.RERANKER), fits)) == ["judge"]
    assert "closed-embedder" not in names(chosen(rows, Filters(runnable=True), fits))
    assert names(chosen(rows, Filters(language="de", role=Role.EMBEDDING), fits)) == ["finder-many", "finder-small"]
    free = chosen(rows, Filters(commercial=True), fits)
    assert all(row.model.licence.commercial is Commercial.YES for row in free)
    runs = names(chosen(rows, Filters(fits=True), fits))
    assert "writer-8b" in runs
    assert "writer-405b" not in runs
    assert chosen(rows, Filters(fits=True), {}) == [], "what was not looked at yet does not count as fitting"


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("reverse", [False, True])
def test_every_order_keeps_all_rows_and_puts_the_unknown_last(
    rows: tuple[Row, ...], fits: dict[str, Fitted | None], sort: str, reverse: bool
) -> None:
    found = ordered(rows, sort, fits, reverse=reverse)
    assert sorted(names(found)) == sorted(names(list(rows)))
    unknown = {"mtr": lambda row: row.mtr is None, "quality": lambda row: row.quality is None}.get(sort)
    if unknown is not None:
        flags = [unknown(row) for row in found]
        assert flags == sorted(flags)


def test_orders_begin_with_what_people_look_for(rows: tuple[Row, ...], fits: dict[str, Fitted | None]) -> None:
    assert ordered(rows, "mtr", fits)[0].name == "finder-large"
    assert ordered(rows, "quality", fits)[0].name == "writer-8b"
    best = fits[ordered(rows, "verdict", fits)[0].model.id]
    assert best is not None
    assert best.fit.verdict is Verdict.FITS


def test_choices_are_kept_without_the_search_and_nonsense_is_no_condition() -> None:
    filters = Filters(search="x", role=Role.EMBEDDING, fits=True, language="de")
    assert Filters.of(filters.kept) == replace(filters, search="")
    assert Filters.of({"role": "wizard", "fits": "yes", "language": ["de"], "other": 1}) == Filters()


def test_roles_go_round() -> None:
    filters = Filters()
    seen = []
    for _ in range(4):
        filters = filters.next_role()
        seen.append(filters.role)
    assert seen == [*Role, None]


def test_what_is_in_sight_is_looked_at_first_and_nothing_twice(rows: tuple[Row, ...]) -> None:
    listing = Listing(rows=rows, filters=Filters(role=Role.EMBEDDING))
    listing.show()
    first = listing.next_batch(range(1, 3), 3)
    assert [model.id for model in first[:2]] == [row.model.id for row in listing.shown[1:3]]
    listing.learn(dict.fromkeys((model.id for model in first), None))
    seen = {model.id for model in first}
    while batch := listing.next_batch(range(1, 3), 3):
        assert not seen & {model.id for model in batch}
        seen |= {model.id for model in batch}
        listing.learn(dict.fromkeys((model.id for model in batch), None))
    assert seen == {row.model.id for row in rows}


def test_at_most_four_are_marked_and_the_oldest_mark_goes(rows: tuple[Row, ...]) -> None:
    listing = Listing(rows=rows)
    for name in ("a", "b", "c", "d", "e"):
        listing.mark(name)
    assert listing.marked == ["b", "c", "d", "e"]
    listing.mark("c")
    assert listing.marked == ["b", "d", "e"]
    listing.replace_rows(rows)
    assert listing.marked == [], "a model that is gone cannot be compared"


def test_the_same_key_again_turns_the_order_round() -> None:
    listing = Listing()
    directions = [listing.descending]
    for _ in range(2):
        listing.sort_by("speed")
        directions.append(listing.descending)
    assert directions == [False, True, False]
    listing.sort_by("nonsense")
    assert listing.sort == "speed"


def test_a_quant_with_a_file_in_the_store_is_installed(tmp_path: Path) -> None:
    writer = make_model("writer", LLAMA_8B, 8_030_000_000, quants={"Q4_K_M": 4_920_000_000, "Q8_0": 8_540_000_000})
    assert installed([writer], tmp_path / "none") == {}
    from planner.core.values import Digest, encode_value
    from planner.fetch.disk import write_atomically
    from planner.fetch.store import Store, make_entry, replace_entry

    store = Store(tmp_path)
    place = store.place(writer.variants[0].artifacts[0])
    place.final.parent.mkdir(parents=True)
    place.final.write_bytes(b"GGUF")
    entry = make_entry(size_bytes=4, sha256=Digest("0" * 64), verified=True, source="hub", origin="test")
    body = msgspec.json.encode(replace_entry(entry, mtime_ns=1), enc_hook=encode_value)
    write_atomically(place.entry, body, store.disk)
    assert installed([writer], tmp_path) == {"maker/writer": ("Q4_K_M",)}


def test_how_models_run_is_said_for_all_of_the_machines_memory() -> None:
    taken = msgspec.structs.replace(gpu(0, 24.0), memory_free_bytes=2**30, memory_budget_bytes=2**30)
    finder: Model = make_model("finder", BERT_LARGE, 335_000_000, role=Role.EMBEDDING, quants={"F16": 670_000_000})
    finder = msgspec.structs.replace(finder, scores=(Score("x:y", 1.0, "2026-01-01", "test"),))
    found = fits_of(Situation(machine(taken), (finder,)), (finder,))["maker/finder"]
    assert found is not None
    assert found.fit.verdict is Verdict.FITS
