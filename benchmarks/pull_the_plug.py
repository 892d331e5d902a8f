"""Downloads that are killed (SIGKILL) at random moments and go on in the next process, until the file is whole.

Run: python benchmarks/pull_the_plug.py [KILLS] [SEED]

A loopback server sends slowly and counts what it sends. Each download is a process of its own, with one connection
or with four; after each kill nothing but the right file may stand under its name. Printed: how often a process was
killed, and how many bytes were sent more than once.
"""

import hashlib
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_FETCH = """
import json, sys
from pathlib import Path
from planner.config import default_config
from planner.core.values import Digest, RepoPath
from planner.fetch.download import Downloader
from planner.fetch.lock import locked
from planner.fetch.progress import Silent
from planner.fetch.remote import Pace, Patience, Remote
from planner.fetch.store import Expected, Store, make_entry
from planner.net.http import make_session

url, size, sha256, folder, connections, tries = sys.argv[1:]
store = Store(Path(folder))
place = store.place_at("web/test", RepoPath("model.gguf"))
expected = Expected(int(size), Digest(sha256))
with locked(place, Silent()), make_session(default_config(), tries=1) as session:
    print("ready", flush=True)
    found = store.find_at(place, expected)
    if found is None:
        pace = Pace(connections=int(connections), parallel_from_bytes=1, piece_bytes=int(size) // 9)
        patience = Patience(tries=int(tries), pause_base_s=0.05)
        downloader = Downloader(session, progress=Silent(), patience=patience, pace=pace)
        received = downloader.receive(Remote(url, expected), place)
        entry = make_entry(
            size_bytes=received.bytes, sha256=received.sha256, verified=True, source="file", origin=url
        )
        found = store.commit(place, place.partial, entry, bytes_transferred=received.bytes_transferred)
print(json.dumps({"path": str(found.path), "transferred": found.bytes_transferred}))
"""


@dataclass
class Sent:
    """One answer: the bytes that were handed to the socket."""

    start: int
    count: int


class SlowServer:
    """Serves `data` with ranges, `bytes_per_s` to each connection; `cut_at` ends answers at that byte of the file."""

    def __init__(self, data: bytes, *, bytes_per_s: float | None = None) -> None:
        self.data = data
        self.sent: list[Sent] = []
        self.cut_at: int | None = None
        self._bytes_per_s = bytes_per_s
        self._etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                pass

            def do_GET(self) -> None:
                server.answer(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients are killed on purpose
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the file is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/model.gguf"

    @property
    def sha256(self) -> str:
        """Of the whole file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def sent_bytes(self) -> int:
        """What was sent in all."""
        return sum(sent.count for sent in self.sent)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request: the range that was asked for, slowly, and no further than `cut_at`."""
        first, end = 0, len(self.data)
        asked = handler.headers.get("Range")
        fresh = handler.headers.get("If-Range", self._etag) == self._etag
        handler.send_response(206 if asked and fresh else 200)
        if asked and fresh:
            start, _, last = asked.removeprefix("bytes=").partition("-")
            first, end = int(start), int(last) + 1 if last else end
            handler.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(self.data)}")
        handler.send_header("Content-Length", str(end - first))
        handler.send_header("ETag", self._etag)
        handler.end_headers()
        sent = Sent(first, 0)
        self.sent.append(sent)
        stop = end if self.cut_at is None else max(first, min(end, self.cut_at))
        while first + sent.count < stop:
            chunk = self.data[first + sent.count : min(stop, first + sent.count + 2**15)]
            handler.wfile.write(chunk)
            sent.count += len(chunk)
            if self._bytes_per_s is not None:
                time.sleep(len(chunk) / self._bytes_per_s)
        handler.close_connection = stop < end


def start_fetch(server: SlowServer, folder: Path, *, connections: int, tries: int = 4) -> "subprocess.Popen[str]":
    """A process that fetches the file into a store in `folder`, and prints where it is."""
    arguments = [server.url, len(server.data), server.sha256, folder, connections, tries]
    return subprocess.Popen(
        [sys.executable, "-c", _FETCH, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> dict[str, object] | None:
    """What it printed about the file; None when it failed."""
    out, _ = process.communicate(timeout=60)
    if process.returncode:
        return None
    answer: dict[str, object] = json.loads(out.splitlines()[-1])
    return answer


@dataclass(frozen=True)
class Outcome:
    """How often a process was killed, how many files became whole meanwhile, and what was sent more than once."""

    kills: int
    files: int
    bytes_sent_again: int


def kill_again_and_again(kills: int, seed: int, folder: Path, *, size_bytes: int = 6_000_000) -> Outcome:
    """Kill `kills` processes at random moments, over as many files as become whole meanwhile.

    Raises AssertionError when anything but the right file stands under its name, or a file cannot be finished.
    """
    dice = random.Random(seed)  # noqa: S311  # not secret
    data = b"GGUF" + dice.randbytes(size_bytes - 4)
    server = SlowServer(data, bytes_per_s=8e6)
    done = files = 0
    try:
        while done < kills:
            store = folder / str(files)
            final = store / "web" / "test" / "model.gguf"
            while done < kills:
                process = start_fetch(server, store, connections=dice.choice((1, 4)))
                assert process.stdout is not None, "it is a pipe"
                assert process.stdout.readline() == "ready\n"
                time.sleep(dice.uniform(0.0, 0.35))
                was_running = process.poll() is None
                process.kill()
                process.communicate(timeout=10)
                done += was_running
                assert not final.exists() or final.read_bytes() == data, "a wrong file under its name"
                if final.exists() or not was_running:
                    break
            last = finish(start_fetch(server, store, connections=dice.choice((1, 4))))
            assert last is not None, "the last process failed"
            assert final.read_bytes() == data
            files += 1
    finally:
        server.close()
    return Outcome(done, files, server.sent_bytes - files * size_bytes)


def main(kills: int = 50, seed: int = 1) -> None:
    """Print the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_again_and_again(kills, seed, Path(folder))
    print(
        f"{outcome.kills} kills, {outcome.files} files of 6 MB, each right in the end; "
        f"{outcome.bytes_sent_again / 1e6:.1f} MB were sent more than once "
        f"({outcome.bytes_sent_again / max(1, outcome.kills) / 1e3:.0f} kB a kill, lost between socket and disk)."
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
