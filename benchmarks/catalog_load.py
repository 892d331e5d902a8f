"""Time and memory of loading the whole shipped catalog, as `planner recommend` does.

Run: python benchmarks/catalog_load.py        (on a quiet machine)

A fresh process for each figure: the time is that of the first load, imports not counted, best and median of many; the
memory is the most that was allocated while loading.
"""

import statistics
import subprocess
import sys

_RUNS = 25
_TIME = """
import time
from planner.catalog.loader import load
started = time.perf_counter()
models = len(load().models)
print(models, (time.perf_counter() - started) * 1e3)
"""
_MEMORY = """
import tracemalloc
from planner.catalog.loader import load
tracemalloc.start()
load()
print(tracemalloc.get_traced_memory()[1] / 2**20)
"""


def answer(program: str) -> list[float]:
    """The numbers a program prints."""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Print both."""
    runs = [answer(_TIME) for _ in range(_RUNS)]
    times = sorted(milliseconds for _, milliseconds in runs)
    print(f"{runs[0][0]:.0f} models: best {times[0]:.1f} ms, median {statistics.median(times):.1f} ms of {_RUNS}")
    print(f"memory: {answer(_MEMORY)[0]:.1f} MiB at most")


if __name__ == "__main__":
    main()
