"""How long the app takes from the start of the process until plans for this machine stand on the terminal.

Run: python -m benchmarks.tui_start        (on a quiet machine)

It runs `planner` on a pseudo-terminal as a shell would, in an empty home folder, and notes when the frame (the last
line with its keys) and when the first plan have been written. One start comes first that does not count, so that the
interpreter's caches are those of a machine in use. Processor time is less moved by what else runs. Memory is the most
that the process ever held.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence

from benchmarks.tui_terminal import POINTER, Terminal

_FRAME = b"Quit"


def start(home: str, columns: int, rows: int) -> tuple[float, float, float, float, float]:
    """Seconds until frame and plans, of the app's processor time until then and of all until the end; MiB."""
    with Terminal(home, columns=columns, rows=rows) as terminal:
        frame_s = terminal.until(_FRAME) - terminal.started_s
        plans_s = terminal.until(POINTER) - terminal.started_s
        own_s = terminal.processor_s()
        terminal.rest(1.0)
        _, processor_s, peak_bytes = terminal.end()
    return frame_s, plans_s, own_s, processor_s, peak_bytes / 2**20


def main() -> None:
    """Print best and median."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--size", type=int, nargs=2, default=(120, 40), metavar=("COLUMNS", "ROWS"))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        start(home, *chosen.size)
        runs = [start(home, *chosen.size) for _ in range(chosen.runs)]
    frames, plans, own, processor, memory = zip(*runs, strict=True)
    print(f"{chosen.runs} starts at {chosen.size[0]}x{chosen.size[1]}, best and median")
    _line("frame on the terminal", frames, "s")
    _line("first plans on the terminal", plans, "s")
    _line("the app's own processor time until then", own, "s")
    _line("processor time until the end, planning included", processor, "s")
    _line("most memory", memory, "MiB")


def _line(what: str, values: Sequence[float], unit: str) -> None:
    digits = 2 if unit == "s" else 0
    print(f"{what:50}{min(values):8.{digits}f}{statistics.median(values):8.{digits}f} {unit}")


if __name__ == "__main__":
    main()
