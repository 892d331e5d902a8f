"""Everything the app asks of the world, as functions: tests give their own, the app the real ones.

All of them may block and may raise; they are only ever called through `planner.tui.workers`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from planner.core.model import Model, Variant
from planner.core.recommendation import Recommendation
from planner.tui.child import Job, OnLine, Start, start_child
from planner.tui.data.activity import Counters, read_counters
from planner.tui.data.choices import keep_choices, read_choices
from planner.tui.data.deployments import read_servers
from planner.tui.data.extras import Extras, find_extras
from planner.tui.data.library import compare_models, fit_models, model_details, model_rentals, model_rows
from planner.tui.data.licences import unaccepted
from planner.tui.data.machine import Situation, look_around, plan_pairs
from planner.tui.data.prices import Listing, Reckoning, read_market, reckon
from planner.tui.data.restart import start_again
from planner.tui.data.server_logs import Follower, follow_logs
from planner.tui.data.store import Fetchable, StoreView, fetchable, read_store
from planner.tui.data.what_if import Answer, WhatIf, gpu_names

if TYPE_CHECKING:
    from planner.core.cheapest import Rentals
    from planner.core.model_fit import Fitted
    from planner.serve.state import DeploymentRecord
    from planner.tui.data.details import Compared, Details
    from planner.tui.data.models import Row
    from planner.tui.data.question import Question


@dataclass(frozen=True)
class Services:
    """The seams. `clock` in seconds, monotonic, `wall` since 1970. `recall` is called once, before the app runs."""

    look: Callable[[], Situation] = look_around
    plan: Callable[[Situation], tuple[Recommendation, ...]] = plan_pairs
    more: Callable[[Situation, Sequence[Recommendation]], Extras] = find_extras
    servers: "Callable[[], tuple[DeploymentRecord, ...]]" = read_servers
    start: Start = start_child
    unaccepted: Callable[[Sequence[tuple[Model, Variant]]], tuple[str, ...]] = unaccepted
    model_rows: "Callable[[Situation], tuple[Row, ...]]" = model_rows
    fit_models: "Callable[[Situation, Sequence[Model]], dict[str, Fitted | None]]" = fit_models
    model_details: "Callable[[Situation, str], Details]" = model_details
    model_rentals: "Callable[[Situation, Model, Variant], Rentals | None]" = model_rentals
    compare_models: "Callable[[Situation, Sequence[str]], Compared]" = compare_models
    market: Callable[..., Listing] = read_market
    reckon: Callable[..., Reckoning] = reckon
    counters: "Callable[[Sequence[DeploymentRecord], float], dict[str, Counters | str]]" = read_counters
    follow: Callable[[str, Sequence[str]], Follower] = follow_logs
    restart: Callable[[str, OnLine], Job] = start_again
    what_if: "Callable[[Situation, Question], Answer]" = field(default_factory=WhatIf)
    gpu_names: Callable[[Situation], tuple[tuple[str, str], ...]] = gpu_names
    store: Callable[[Sequence[Model]], StoreView] = read_store
    fetchable: Callable[[Situation], tuple[Fetchable, ...]] = fetchable
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    recall: Callable[[], dict[str, Any]] = read_choices
    keep: Callable[[Mapping[str, Any]], None] = keep_choices
