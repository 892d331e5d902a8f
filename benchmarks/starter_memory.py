"""Memory of the starter pair: the estimate beside what the running engine reports and what the processes take.

Run: python benchmarks/starter_memory.py        (needs the extras `all`; fetches the starter models once)
"""

import json
import subprocess
import sys
from typing import Any

from planner.units import MIB

_NAME = "benchmark-memory"


def planner(*arguments: str) -> dict[str, Any]:
    """One command's JSON answer; narration goes to this terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "planner", *arguments, "--json"], stdout=subprocess.PIPE, timeout=600, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    """Start the pair, print the table, stop it."""
    deployment = planner("up", "--starter", "--detach", "--port", "0", "--name", _NAME)["deployment"]
    try:
        print(f"{'role':12}{'estimated':>12}{'engine says':>13}{'off by':>9}{'resident':>11}   MiB")
        for process in deployment["processes"]:
            estimated, measured = process["memory_estimated_bytes"], process["memory_measured_bytes"]
            resident = process.get("memory_rss_bytes")
            print(
                f"{process['role']:12}{estimated / MIB:12.1f}{measured / MIB:13.1f}{estimated / measured - 1:9.1%}"
                + (f"{resident / MIB:11.1f}" if resident else "")
            )
    finally:
        planner("stop", _NAME)


if __name__ == "__main__":
    main()
