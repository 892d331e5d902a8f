"""How fast the list of models searches and scrolls with ten thousand models more than the catalog has.

Run: python -m benchmarks.tui_models             (on a quiet machine)
     python -m benchmarks.tui_models --reckon    (filtering and ordering alone)

It copies the catalog's models under new names into the user's catalog folder of an empty home, runs `planner --screen
models` on a pseudo-terminal and measures, from the key to the last byte that is written because of it: each letter of
some searches, a filter, orders, the highlight one row and one page further and to the end. Before that, while the app
is still finding out how the models run, it opens and closes the help. Memory is what the process holds after all.
"""

import argparse
import itertools
import os
import select
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.tui_terminal import PLANNER, POINTER, Terminal
from planner.catalog.location import data_dir
from planner.tui.data.listing import Listing
from planner.tui.data.machine import look_around
from planner.tui.data.models import SORTS, Filters, fits_of, read_rows

_FILES = 20
_WHOLE = b"with all memory"
"""In the title once it is known how all models run."""
_QUIET_S = 0.12
"""So long nothing is written: the repaint is over."""
_DOWN, _PAGE, _PAGE_BACK, _END, _HOME = b"\x1b[B", b"\x1b[6~", b"\x1b[5~", b"\x1b[F", b"\x1b[H"
_WORDS = ("qwen", "instruct", "embed", "copy 77", "apache", "german", "mini", "7b")


def overlay(folder: Path, wanted: int) -> int:
    """Write `wanted` models into files of `folder`; returns how many."""
    originals = [
        model
        for path in sorted((data_dir() / "models").glob("*.json"))
        for model in msgspec.json.decode(path.read_bytes())["models"]
    ]
    copies = list(itertools.islice(_copies(originals), wanted))
    folder.mkdir(parents=True)
    each = -(-len(copies) // _FILES)
    for number, start in enumerate(range(0, len(copies), each)):
        document = {"schema": 1, "family": f"copy {number}", "models": copies[start : start + each]}
        (folder / f"copy{number:02}.json").write_bytes(msgspec.json.encode(document))
    return len(copies)


def _copies(originals: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The models again and again, each time of another owner and family."""
    for number in itertools.count(1):
        for model in originals:
            name = f"{model['id'].rsplit('/', 1)[-1]}-{number}"
            yield {**model, "id": f"copy{number}/{name}", "aliases": [], "family": f"copy {number}", "starter": False}


def repaint(terminal: Terminal, key: bytes) -> float:
    """Seconds from a key to the last thing that is written because of it."""
    pressed_s = last_s = terminal.write(key)
    while select.select([terminal.master], [], [], _QUIET_S if last_s > pressed_s else 5.0)[0]:
        os.read(terminal.master, 65536)
        last_s = time.perf_counter()
    return last_s - pressed_s


def searches(terminal: Terminal) -> Iterator[float]:
    """Each letter of some searches."""
    for word in _WORDS:
        repaint(terminal, b"/")
        for letter in word:
            yield repaint(terminal, letter.encode())
        repaint(terminal, b"\x1b")
        repaint(terminal, b"x")


def helps(terminal: Terminal, times: int) -> Iterator[float]:
    """The help opened so often, while other things are written too."""
    for _ in range(times):
        pressed_s = terminal.write(b"?")
        yield terminal.until(b"escape") - pressed_s
        terminal.write(b"\x1b")
        terminal.rest(0.3)  # the app waits to see whether an escape is a key or the begin of one


def line(terminal: Terminal, what: str, times: Iterable[float]) -> str:
    """Milliseconds, and the processor time of a key: that does not depend on what else the machine does."""
    before_s = terminal.processor_s()
    found = list(times)
    used_s = (terminal.processor_s() - before_s) / len(found)
    figures = (statistics.median(found), statistics.quantiles(found, n=10)[-1], max(found), used_s)
    return f"  {what:24}" + "".join(f"{1e3 * value:8.1f}" for value in figures)


def reckon(wanted: int) -> list[str]:
    """Milliseconds of processor time to filter and order so many rows, without drawing them: median and worst."""
    situation = look_around()
    models = list(itertools.islice(itertools.cycle(situation.models), wanted))
    rows = read_rows(replace(situation, models=tuple(models)), Path("/nonexistent"))
    listing = Listing(rows=rows, fits=fits_of(situation, situation.models))

    def cost(what: str, filters: Filters, sort: str) -> str:
        listing.filters, listing.sort = filters, sort
        times = []
        for _ in range(15):
            before_s = time.thread_time()
            listing.show()
            times.append(time.thread_time() - before_s)
        return f"  {what:24}{1e3 * statistics.median(times):8.1f}{1e3 * max(times):8.1f}"

    searched = [cost(f"search {words!r}", Filters(search=words), "name") for words in ("q", "qwen", "german 8b")]
    return [*searched, *(cost(f"order by {sort}", Filters(), sort) for sort in SORTS)]


def main() -> None:
    """Print median, ninth decile and worst, and the processor time of each key."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--size", type=int, nargs=2, default=(120, 40), metavar=("COLUMNS", "ROWS"))
    parser.add_argument("--reckon", action="store_true", help="Only filter and order, in this process.")
    chosen = parser.parse_args()
    if chosen.reckon:
        print(f"{chosen.models} rows, milliseconds of processor time: median, worst")
        print("\n".join(reckon(chosen.models)))
        return
    with tempfile.TemporaryDirectory() as home:
        count = overlay(Path(home) / "config" / "planner" / "catalog", chosen.models) if chosen.models else 0
        columns, rows = chosen.size
        command = (*PLANNER, "--screen", "models")
        with Terminal(home, command=command, columns=columns, rows=rows) as terminal:
            there_s = terminal.until(POINTER, 300.0) - terminal.started_s
            lines = [line(terminal, "help, while looking", helps(terminal, 10))]
            looked_s = terminal.until(_WHOLE, 900.0) - terminal.started_s
            terminal.rest(1.0)
            downs = (_DOWN for _ in range(60))
            pages = (key for key in (_PAGE, _PAGE_BACK) for _ in range(7))
            ends = (key for _ in range(8) for key in (_END, _HOME))
            lines += [
                line(terminal, "a letter of a search", searches(terminal)),
                line(terminal, "a filter on or off", (repaint(terminal, b"f") for _ in range(10))),
                line(terminal, "another order", (repaint(terminal, b"s") for _ in range(12))),
                line(terminal, "a row further", (repaint(terminal, key) for key in downs)),
                line(terminal, "to the ends", (repaint(terminal, key) for key in ends)),
                line(terminal, "a page further", (repaint(terminal, key) for key in pages)),
            ]
            held = terminal.rss_bytes() / 2**20
            terminal.end()
    print(f"{count} models beside the catalog's, {columns}x{rows}: the list after {there_s:.1f} s,")
    print(f"all of them looked at after {looked_s:.0f} s, {held:.0f} MiB held.")
    print("Milliseconds from key to repaint: median, ninth decile, worst; processor time of a key")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
