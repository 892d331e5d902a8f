"""The list of models with 10,000 more of the user's own: until it stands, scrolling, and filtering letter by letter.

Run: python -m benchmarks.tui_overlay        (on a quiet machine)

The models are those of the shipped catalog under other names, in files of the user's catalog folder. While keys are
timed the app still finds out, model by model, how each runs here.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.tui_terminal import PLANNER, POINTER, Terminal
from planner.catalog.location import data_dir

_WORD = "qwen3"
_IN_A_FILE = 2_000
"""A catalog file may have 16 MiB."""


def write_models(home: Path, count: int) -> None:
    """Files with `count` models."""
    folder = home / "config" / "planner" / "catalog"
    folder.mkdir(parents=True)
    shipped = [
        model
        for path in sorted((data_dir() / "models").glob("*.json"))
        for model in msgspec.json.decode(path.read_bytes())["models"]
    ]
    models = []
    for number in range(count):
        model = dict(shipped[number % len(shipped)])
        owner, _, name = model["id"].partition("/")
        models.append({**model, "id": f"own-{owner}/{name}-{number}", "aliases": []})
    for first in range(0, count, _IN_A_FILE):
        part = {"schema": 1, "family": "own", "models": models[first : first + _IN_A_FILE]}
        (folder / f"own-{first}.json").write_bytes(msgspec.json.encode(part))


def main() -> None:
    """Print what a user would wait for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_models(Path(folder), chosen.models)
        with Terminal(folder, command=[*PLANNER, "--screen", "models"]) as terminal:
            listed_s = terminal.until(POINTER) - terminal.started_s
            print(f"{chosen.models:,} more models: the list stands after {listed_s:.2f} s")
            terminal.rest(5.0)
            _line("scrolling by a page", [_pressed(terminal, b"\x1b[6~", POINTER) for _ in range(30)])
            terminal.write(b"/")
            terminal.rest(0.5)
            took: list[float] = []
            for _ in range(4):
                took += [_pressed(terminal, letter.encode(), rb" of \d") for letter in _WORD]
                took += [_pressed(terminal, b"\x7f", rb"\d models| of \d") for _ in _WORD]
            _line("filtering, from a letter to the new list", took)
            print(f"memory: {terminal.rss_bytes() / 2**20:.0f} MiB")


def _pressed(terminal: Terminal, key: bytes, wanted: bytes) -> float:
    terminal.rest(0.15)
    pressed_s = terminal.write(key)
    took_s = terminal.until_match(re.compile(wanted)) - pressed_s
    time.sleep(0.05)
    return took_s


def _line(what: str, times: Sequence[float]) -> None:
    ordered = sorted(seconds * 1e3 for seconds in times)
    most_ms = ordered[int(len(ordered) * 0.9)]
    print(f"{what}: median {statistics.median(ordered):.0f} ms, 9 of 10 within {most_ms:.0f} ms, of {len(ordered)}")


if __name__ == "__main__":
    main()
