"""Models of one network, looked at as one: the same answers as one by one, whatever differs between them."""

import random

import msgspec
import pytest

from planner.core.memory.placement import machine_of
from planner.core.memory.workload import Prefer, Workload
from planner.core.models.model import Model, Role
from planner.core.pairs.bundles import Bundle, bundled
from planner.core.pairs.candidates import options_for
from planner.core.pairs.pair import COMFORT_MARGIN, recommend
from tests.core.pairs.test_pair import BIG, EMBED_HUGE, EMBED_LARGE, EMBED_SMALL, TINY, brute_force
from tests.core.shapes import apple, gpu, machine

_GROUP = 8
"""So many of a network are bundled."""


def likenesses(model: Model, count: int, dice: random.Random, *, scores: bool = False) -> list[Model]:
    """Models of the same network whose parameters, files and scores are a little different."""
    found = []
    for index in range(count):
        factor = dice.uniform(0.96, 1.04)
        variants = tuple(
            msgspec.structs.replace(
                variant, file_bytes=round((variant.file_bytes or 0) * factor * dice.uniform(0.99, 1))
            )
            for variant in model.variants
            if dice.random() < 0.8 or variant is model.variants[0]
        )
        changed = [
            msgspec.structs.replace(score, value=score.value + dice.uniform(-2, 2)) if scores else score
            for score in model.scores
        ]
        found.append(
            msgspec.structs.replace(
                model,
                id=f"{model.id}-{index}",
                parameters=round((model.parameters or 0) * factor),
                variants=variants,
                scores=tuple(changed),
            )
        )
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_best_pair_of_many_alike_is_the_best_of_all(seed: int) -> None:
    dice = random.Random(seed)
    models = [
        copy
        for model in (EMBED_SMALL, EMBED_LARGE, EMBED_HUGE, TINY, BIG)
        for copy in likenesses(model, dice.choice([1, _GROUP, 12]), dice, scores=dice.random() < 0.5)
    ]
    prefer: Prefer = dice.choice(["quality", "speed", "balanced"])
    hardware = dice.choice(
        [
            machine(gpu(0, dice.uniform(2, 12)), ram_gib=dice.uniform(4, 24)),
            machine(gpu(0, dice.uniform(2, 6)), gpu(1, dice.uniform(2, 6)), ram_gib=12),
            machine(apple(16), ram_gib=16),
            machine(ram_gib=dice.uniform(4, 24)),
        ]
    )
    workload = Workload(prefer=prefer)
    assert recommend(models, hardware, workload)[0].score == pytest.approx(brute_force(models, hardware, workload))


@pytest.mark.parametrize("role", [Role.EMBEDDING, Role.GENERATION])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_many_alike_is_the_best_of_each_alone(role: Role, seed: int) -> None:
    dice = random.Random(seed)
    models = [copy for model in (EMBED_SMALL, EMBED_HUGE, TINY, BIG) for copy in likenesses(model, 11, dice)]
    hardware = machine(gpu(0, dice.uniform(2, 12)), ram_gib=dice.uniform(4, 24))
    workload = Workload(role=role, limit=1)
    alone = [recommend([model], hardware, workload)[0].score for model in models if model.role is role]
    assert recommend(models, hardware, workload)[0].score == max(alone)


def test_no_member_of_a_bundle_is_better_or_smaller_than_it() -> None:
    dice = random.Random(3)
    models = likenesses(BIG, 20, dice)
    hardware, workload = machine(gpu(0, 8)), Workload()
    where = machine_of(hardware, live=False, margin=COMFORT_MARGIN)
    (bundle,) = bundled(options_for(Role.GENERATION, models, workload, where, (), known={}), workload)
    assert isinstance(bundle, Bundle)
    files = {file.variant.quant: file for file in bundle.files}
    for member in bundle.members:
        for file in member.files:
            ideal = files[file.variant.quant]
            assert file.score <= ideal.score
            assert file.weights is not None
            assert ideal.weights is not None
            pairs = zip(file.weights.layer_bytes, ideal.weights.layer_bytes, strict=True)
            assert all(own >= least for own, least in pairs)
            assert file.weights.output_bytes >= ideal.weights.output_bytes


def test_few_of_a_network_are_looked_at_one_by_one() -> None:
    models = likenesses(BIG, _GROUP - 1, random.Random(1))
    workload = Workload()
    where = machine_of(machine(gpu(0, 8)), live=False, margin=COMFORT_MARGIN)
    options = options_for(Role.GENERATION, models, workload, where, (), known={})
    assert bundled(options, workload) == sorted(options, key=lambda option: -option.score)


def test_halves_of_a_bundle_hold_all_its_members() -> None:
    models = likenesses(BIG, 13, random.Random(2))
    workload = Workload()
    where = machine_of(machine(gpu(0, 8)), live=False, margin=COMFORT_MARGIN)
    open_ends = bundled(options_for(Role.GENERATION, models, workload, where, (), known={}), workload)
    leaves = []
    while open_ends:
        option = open_ends.pop()
        if isinstance(option, Bundle):
            open_ends += option.halves
        else:
            leaves.append(option.model.id)
    assert sorted(leaves) == sorted(model.id for model in models)
