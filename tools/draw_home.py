"""Draw the first page of the app for the README: python tools/draw_home.py. Look at docs/home.svg before a commit.

The machine is described, not probed, and nothing runs, so that everybody draws the same; the plans are those of the
shipped catalog. The picture changes with the catalog and with Textual's way of drawing: no test compares it.
"""

import asyncio
import os
from pathlib import Path

from planner.catalog.loader import load
from planner.core.machines.overrides import Overrides, virtual_hardware
from planner.tui.app import PlannerApp
from planner.tui.data.extras import Extras
from planner.tui.data.machine import Situation, plan_pairs
from planner.tui.services import Services
from planner.units import GIB

MACHINE = Overrides(gpu="RTX 4090", ram_bytes=64 * GIB)
SIZE = (120, 40)
DEADLINE_S = 60.0


def situation() -> Situation:
    """The described machine and the shipped catalog."""
    catalog = load()
    return Situation(virtual_hardware(MACHINE, catalog.devices), catalog.models, (), catalog.speed)


async def draw() -> str:
    """The page as SVG."""
    services = Services(
        look=situation,
        plan=plan_pairs,
        more=lambda _situation, _plans: Extras(),
        servers=tuple,
        recall=dict,
        keep=lambda _choices: None,
    )
    app = PlannerApp(services)
    async with app.run_test(size=SIZE) as pilot, asyncio.timeout(DEADLINE_S):
        while not app.state.plans or any(worker.is_running for worker in app.workers):
            await pilot.pause(0.05)
        await pilot.pause(0.5)
        return app.export_screenshot(title="planner")


if __name__ == "__main__":
    for name in ("NO_COLOR", "COLORTERM"):
        os.environ.pop(name, None)
    target = Path(__file__).parents[1] / "docs" / "home.svg"
    target.write_text(asyncio.run(draw()), encoding="utf-8")
    print(target)
