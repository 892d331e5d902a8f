"""Everything the app asks of the world, as functions: tests give their own, the app the real ones.

Nearly all of them may block and may raise, and are only ever called through `planner.tui.workers`. Where they live is
imported when they are first called: start-up time is a feature.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from planner.core.models.model import Model, Variant
from planner.core.pairs.recommendation import Recommendation
from planner.tui.child import Job, OnLine, Start, start_child
from planner.tui.late import Late

if TYPE_CHECKING:
    from planner.core.costs.cheapest import Rentals
    from planner.core.fits.model_fit import Fitted
    from planner.serve.state import DeploymentRecord
    from planner.tui.data.activity import Counters
    from planner.tui.data.details import Compared, Details
    from planner.tui.data.extras import Extras
    from planner.tui.data.machine import Situation
    from planner.tui.data.models import Row
    from planner.tui.data.prices import Listing, Reckoning
    from planner.tui.data.question import Question
    from planner.tui.data.server_logs import Follower
    from planner.tui.data.store import Fetchable, StoreView
    from planner.tui.data.what_if import Answer


@dataclass(frozen=True)
class Services:
    """The seams. `clock` in seconds, monotonic, `wall` since 1970. `recall` is called once, before the app runs.

    `give_up` ends a look or a search for plans that goes on; it returns at once and is called in the app's loop.
    """

    look: "Callable[[], Situation]" = Late("machine:look_around")
    plan: "Callable[[Situation], tuple[Recommendation, ...]]" = Late("machine:plan_pairs")
    more: "Callable[[Situation, Sequence[Recommendation]], Extras]" = Late("extras:find_extras")
    give_up: Callable[[], None] = lambda: None
    servers: "Callable[[], tuple[DeploymentRecord, ...]]" = Late("deployments:read_servers")
    start: Start = start_child
    unaccepted: Callable[[Sequence[tuple[Model, Variant]]], tuple[str, ...]] = Late("licences:unaccepted")
    market: "Callable[..., Listing]" = Late("prices:read_market")
    reckon: "Callable[..., Reckoning]" = Late("prices:reckon")
    model_rows: "Callable[[Situation], tuple[Row, ...]]" = Late("library:model_rows")
    fit_models: "Callable[[Situation, Sequence[Model]], dict[str, Fitted | None]]" = Late("library:fit_models")
    model_details: "Callable[[Situation, str], Details]" = Late("library:model_details")
    model_rentals: "Callable[[Situation, Model, Variant], Rentals | None]" = Late("library:model_rentals")
    compare_models: "Callable[[Situation, Sequence[str]], Compared]" = Late("library:compare_models")
    counters: "Callable[[Sequence[DeploymentRecord], float], dict[str, Counters | str]]" = Late(
        "activity:read_counters"
    )
    follow: "Callable[[str, Sequence[str]], Follower]" = Late("server_logs:follow_logs")
    restart: Callable[[str, OnLine], Job] = Late("restart:start_again")
    what_if: "Callable[[Situation, Question], Answer]" = field(
        default_factory=partial(Late, "what_if:WhatIf", made=True)
    )
    gpu_names: "Callable[[Situation], tuple[tuple[str, str], ...]]" = Late("what_if:gpu_names")
    store: "Callable[[Sequence[Model]], StoreView]" = Late("store:read_store")
    fetchable: "Callable[[Situation], tuple[Fetchable, ...]]" = Late("store:fetchable")
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    recall: Callable[[], dict[str, Any]] = Late("choices:read_choices")
    keep: Callable[[Mapping[str, Any]], None] = Late("choices:keep_choices")
