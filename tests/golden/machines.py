"""What `planner recommend` answers for common machines, written down to be looked at.

`python -m tests.golden.machines` writes the files anew: after a change of catalog, estimates or score, look at what
it changed (git diff tests/golden) and ask of every pick whether an expert would nod.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent

MACHINES: dict[str, str] = {
    **{f"vram-{gib:02}": f"--vram {gib}" for gib in (4, 6, 8, 12, 16, 24, 48, 80)},
    "rtx-3060-12": '--gpu "RTX 3060 12 GB"',
    "rtx-4090": '--gpu "RTX 4090"',
    "rtx-3090-x2": '--gpu "2x RTX 3090"',
    "apple-m1-8": '--gpu "Apple M1 (8c GPU)" --ram 8',
    "apple-m4-max-64": '--gpu "Apple M4 Max (40c GPU)" --ram 64',
    "h100-pcie-80": '--gpu "H100 PCIe 80 GB"',
    "h100-sxm-80": '--gpu "H100 SXM5 80 GB"',
    "cpu-16": "--ram 16",
}
"""File → the options that describe the machine."""


def commands(machine: str) -> tuple[str, str]:
    """The choice, and where the score of the first plan comes from."""
    return f"planner recommend {MACHINES[machine]}", f"planner recommend {MACHINES[machine]} -n 1 --explain"


def path_of(machine: str) -> Path:
    """The golden file of a machine."""
    return FOLDER / f"{machine}.txt"


def main() -> None:
    """Write all golden files."""
    environment = {**os.environ, "COLUMNS": "80"}
    for machine in MACHINES:
        parts = []
        for command in commands(machine):
            arguments = [sys.executable, "-m", "planner", *shlex.split(command)[1:]]
            answer = subprocess.run(arguments, capture_output=True, text=True, check=True, env=environment)
            parts.append(f"$ {command}\n{answer.stdout}")
        path_of(machine).write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
