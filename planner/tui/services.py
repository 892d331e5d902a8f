"""Everything the app asks of the world, as functions: tests give their own, the app the real ones.

All of them may block and may raise; they are only ever called through `planner.tui.workers`.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from planner.core.recommendation import Recommendation
from planner.serve.state import DeploymentRecord
from planner.tui.child import Start, start_child
from planner.tui.data.choices import keep_choices, read_choices
from planner.tui.data.deployments import read_servers
from planner.tui.data.machine import Situation, look_around, plan_pairs


@dataclass(frozen=True)
class Services:
    """The seams. `clock` in seconds, monotonic. `recall` is called once, before the app runs."""

    look: Callable[[], Situation] = look_around
    plan: Callable[[Situation], tuple[Recommendation, ...]] = plan_pairs
    servers: Callable[[], tuple[DeploymentRecord, ...]] = read_servers
    start: Start = start_child
    clock: Callable[[], float] = time.monotonic
    recall: Callable[[], dict[str, Any]] = read_choices
    keep: Callable[[Mapping[str, Any]], None] = keep_choices
