"""Other models somebody might want, with what they gain and cost."""

import msgspec

from planner.core.fits.fitting import fit_on
from planner.core.models.model import (
    Architecture,
    Artifact,
    Commercial,
    Licence,
    Model,
    Pooling,
    Role,
    Score,
    Variant,
)
from planner.core.pages.alternatives import Alternative, Kind, alternatives
from planner.core.pages.difference import (
    Difference,
    Side,
    difference,
    difference_sentence,
    difference_words,
    speed_words,
)
from planner.core.scores.quality import MTR_PREFIX, POOLS
from planner.core.values import RepoId, RepoPath
from tests.core.shapes import LLAMA_8B, QWEN3_EMBED_06B, gpu, machine

HARDWARE = machine(gpu(0, 1000), ram_gib=1000)


def embedder(
    name: str,
    mtr: float | None = None,
    *,
    arch: Architecture = QWEN3_EMBED_06B,
    pool: str = POOLS[0],
    commercial: Commercial = Commercial.YES,
    languages: tuple[str, ...] = ("multilingual",),
    builds_on: tuple[str, ...] = (),
    deployable: bool = True,
) -> Model:
    file = Artifact(source="hub", repo=RepoId(f"me/{name}"), file=RepoPath("a.gguf"))
    return Model(
        id=f"me/{name}",
        family="mine",
        role=Role.EMBEDDING,
        parameters=600_000_000,
        context_length=8192,
        licence=Licence("MIT", commercial),
        architecture=arch,
        pooling=Pooling.LAST,
        languages=languages,
        builds_on=builds_on,
        deployable=deployable,
        scores=() if mtr is None else (Score(MTR_PREFIX + pool, mtr, "2026-08-20", "test"),),
        variants=(Variant(quant="Q8_0", artifacts=(file,)),),
    )


def side(model: Model) -> Side:
    return Side(model, fit_on(model, model.variants[0], HARDWARE, 2048))


def found(subject: Model, *others: Model) -> dict[str, Alternative]:
    return {item.side.model.name: item for item in alternatives(side(subject), (subject, *others), HARDWARE, 2048)}


class TestDifference:
    def test_is_counted_from_the_second(self) -> None:
        item = difference(side(embedder("a", 10.0)), side(embedder("b", 14.0, arch=LLAMA_8B)))
        assert item.memory_bytes is not None
        assert item.memory_bytes < -(2**32)
        assert item.speed_ratio is not None
        assert item.speed_ratio > 5
        assert (item.pool, item.mtr_points) == (POOLS[0], -4.0)

    def test_ranks_of_different_pools_are_not_compared(self) -> None:
        item = difference(side(embedder("a", 10.0)), side(embedder("b", 14.0, pool=POOLS[1])))
        assert (item.pool, item.mtr_points) == (None, None)
        assert not any("MTR" in word for word in difference_words(item))

    def test_roles_have_no_speed_or_quality_in_common(self) -> None:
        other = msgspec.structs.replace(embedder("b"), role=Role.GENERATION)
        item = difference(side(embedder("a", 10.0)), side(other))
        assert (item.speed_ratio, item.mtr_points, item.quality_points) == (None, None, None)
        assert item.memory_bytes is not None

    def test_says_which_way_is_worse(self) -> None:
        item = Difference(
            memory_bytes=-3 * 2**30, speed_ratio=1.42, pool="p", mtr_percent=(18.0, 14.0), quality_points=None
        )
        assert difference_words(item) == (
            "3.0 GiB less memory",
            "1.4 times as fast",
            "MTR 18.00 % against 14.00 % (4.00 points worse)",
        )
        sentence = difference_sentence(item, side(embedder("a", 18.0)), side(embedder("b", 14.0, arch=LLAMA_8B)))
        assert sentence == (
            "Compared with b Q8_0, a Q8_0 needs 3.0 GiB less memory, is 1.4 times as fast and stands 4.00 points "
            "worse in pool p (MTR 18.00 against 14.00 %)."
        )

    def test_what_estimates_cannot_tell_apart_is_called_alike(self) -> None:
        assert speed_words(1.04) == "as fast"
        assert speed_words(0.5) == "50 % of the speed"
        item = difference(side(embedder("a")), side(embedder("b")))
        assert "needs as much memory and is as fast" in difference_sentence(
            item, side(embedder("a")), side(embedder("b"))
        )


class TestAlternatives:
    def test_a_better_one_of_about_the_size_is_named(self) -> None:
        best = found(embedder("a", 20.0), embedder("b", 12.0), embedder("c", 15.0), embedder("d", 19.9))
        assert best["b"].kinds == (Kind.BETTER,)
        assert set(best) == {"b"}

    def test_a_better_one_that_needs_far_more_is_for_another_machine(self) -> None:
        assert found(embedder("a", 20.0), embedder("b", 12.0, arch=LLAMA_8B)) == {}

    def test_a_smaller_one_is_the_best_of_the_smaller(self) -> None:
        best = found(embedder("a", 10.0, arch=LLAMA_8B), embedder("b", 22.0), embedder("c", 30.0), embedder("d"))
        assert best["b"].kinds == (Kind.SMALLER,)
        assert best["b"].difference.mtr_points == 12.0
        assert set(best) == {"b"}

    def test_a_forbidding_licence_has_a_commercial_alternative_and_never_the_other_way_round(self) -> None:
        closed = embedder("a", 10.0, commercial=Commercial.NO)
        best = found(closed, embedder("b", 14.0), embedder("c", 11.0, commercial=Commercial.CONDITIONAL))
        assert best["b"].kinds == (Kind.COMMERCIAL,)
        assert found(embedder("b", 14.0), closed) == {}

    def test_one_that_cannot_run_has_one_that_does(self) -> None:
        subject = embedder("a", 10.0, deployable=False)
        assert found(subject, embedder("b", 14.0))["b"].kinds == (Kind.RUNNABLE,)
        assert found(embedder("b", 14.0), subject) == {}

    def test_an_english_one_has_one_for_more_languages(self) -> None:
        best = found(embedder("a", 10.0, languages=("en",)), embedder("b", 14.0))
        assert best["b"].kinds == (Kind.LANGUAGES,)

    def test_the_lineage_comes_first_with_what_else_speaks_for_it(self) -> None:
        subject = embedder("a", 20.0, builds_on=("me/base",))
        best = found(subject, embedder("next", 12.0, builds_on=("me/a", "me/base")), embedder("base", 30.0))
        assert list(best) == ["next", "base"]
        assert best["next"].kinds == (Kind.SUCCESSOR, Kind.BETTER)
        assert best["base"].kinds == (Kind.PREDECESSOR,)

    def test_other_roles_are_no_alternatives(self) -> None:
        other = msgspec.structs.replace(embedder("b", 1.0), role=Role.RERANKER)
        assert found(embedder("a", 10.0), other) == {}
