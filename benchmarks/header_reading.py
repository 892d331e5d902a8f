"""Time and memory of reading the header of a GGUF with a large vocabulary: 262,144 tokens, like Gemma 3's.

Run: python benchmarks/header_reading.py [TOKENS]

The header is written here: tokens with lengths as real ones have, scores, types and merges (real files have the one
or the other), 400 tensors, behind it a hole for the weights. Each figure is from a fresh process; the memory is the
most the process ever had, imports included (Linux), and what Python allocates for reading.
"""

import random
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

_RUNS = 7
_TIME = """
import sys, time
from pathlib import Path
from planner.gguf.reader import read_header
from planner.gguf.source import LocalSource
started = time.perf_counter()
with LocalSource(Path(sys.argv[1])) as source:
    header = read_header(source)
elapsed_s = time.perf_counter() - started
peak = next((line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")), "nan")
print(elapsed_s, float(peak) / 1024, header.data_offset)
"""
_ALLOCATED = """
import sys, tracemalloc
from pathlib import Path
from planner.gguf.reader import read_header
from planner.gguf.source import LocalSource
tracemalloc.start()
with LocalSource(Path(sys.argv[1])) as source:
    read_header(source)
print(tracemalloc.get_traced_memory()[1] / 2**20)
"""


def text(value: bytes) -> bytes:
    """A GGUF string."""
    return struct.pack("<Q", len(value)) + value


def key(name: str, kind: int, value: bytes) -> bytes:
    """One metadata entry."""
    return text(name.encode()) + struct.pack("<I", kind) + value


def array(kind: int, count: int, items: bytes) -> bytes:
    """The value of an array entry."""
    return struct.pack("<IQ", kind, count) + items


def header(tokens: int) -> tuple[bytes, int]:
    """A header and the bytes of tensor data that must follow it."""
    dice = random.Random(1)  # noqa: S311  # not secret
    words = [dice.randbytes(dice.choice((1, 3, 4, 5, 6, 7, 8, 9, 11, 14))) for _ in range(tokens)]
    merges = [words[i % tokens][:4] + b" " + words[(7 * i) % tokens][:5] for i in range(tokens)]
    u32, string, items = 4, 8, 9
    entries = [
        key("general.architecture", string, text(b"llama")),
        key("llama.block_count", u32, struct.pack("<I", 40)),
        key("tokenizer.ggml.tokens", items, array(string, tokens, b"".join(map(text, words)))),
        key("tokenizer.ggml.scores", items, array(6, tokens, bytes(4 * tokens))),
        key("tokenizer.ggml.token_type", items, array(5, tokens, bytes(4 * tokens))),
        key("tokenizer.ggml.merges", items, array(string, tokens, b"".join(map(text, merges)))),
    ]
    rows, size = [], 64 * 1024 * 4
    for index in range(400):
        name = text(f"blk.{index // 10}.part_{index % 10}.weight".encode())
        rows.append(name + struct.pack("<IQQIQ", 2, 64, 1024, 0, index * size))
    body = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(entries)) + b"".join(entries) + b"".join(rows)
    return body + bytes(-len(body) % 32), len(rows) * size


def answer(program: str, path: Path) -> list[float]:
    """The numbers a program prints."""
    done = subprocess.run([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main(tokens: int = 262_144) -> None:
    """Print time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        body, data_bytes = header(tokens)
        with path.open("wb") as file:
            file.write(body)
            file.truncate(len(body) + data_bytes)
        runs = [answer(_TIME, path) for _ in range(_RUNS)]
        seconds = sorted(run[0] for run in runs)
        print(f"{tokens:,} tokens and as many merges, a header of {runs[0][2] / 2**20:.1f} MiB:")
        print(f"  best {seconds[0]:.3f} s, median {statistics.median(seconds):.3f} s of {_RUNS}")
        print(f"  the whole process has {max(run[1] for run in runs):.0f} MiB at most, Python allocates ", end="")
        print(f"{answer(_ALLOCATED, path)[0]:.1f} MiB for it")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
