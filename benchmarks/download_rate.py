"""How fast a file comes over loopback, hashed and written, beside curl writing the same file without a hash.

Run: python benchmarks/download_rate.py [SIZE_IN_MB]        (on a quiet machine; curl must be on PATH)

A server in a process of its own sends a file of random bytes from the page cache. curl and the downloader (with one
and with four connections) take turns, so that what else the machine does hits all of them; medians are compared.
"""

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from planner.config import default_config
from planner.core.values import Digest, RepoPath
from planner.fetch.download import Downloader
from planner.fetch.progress import Silent
from planner.fetch.remote import Pace, Remote
from planner.fetch.store import Expected, Store
from planner.net.http import make_session

_ROUNDS = 5
_SERVER = """
import http.server, os, sys
path = sys.argv[1]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *args): pass
    def do_GET(self):
        size, asked = os.path.getsize(path), self.headers.get("Range")
        first, end = 0, size
        if asked:
            start, _, last = asked[6:].partition("-")
            first, end = int(start), int(last) + 1 if last else size
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{size}")
        self.send_header("Content-Length", str(end - first))
        self.end_headers()
        self.wfile.flush()
        with open(path, "rb") as file:
            self.connection.sendfile(file, first, end - first)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def by_curl(curl: str, url: str, folder: Path) -> float:
    """Seconds for one download by curl."""
    target = folder / "by-curl"
    started = time.perf_counter()
    subprocess.run([curl, "--silent", "--fail", "--output", target, url], check=True)
    elapsed_s = time.perf_counter() - started
    target.unlink()
    return elapsed_s


def by_planner(url: str, expected: Expected, folder: Path, connections: int) -> float:
    """Seconds for one download by the downloader, hashed and compared."""
    place = Store(folder / "store").place_at("web/bench", RepoPath("model.gguf"))
    with make_session(default_config(), tries=1) as session:
        downloader = Downloader(session, progress=Silent(), pace=Pace(connections=connections))
        started = time.perf_counter()
        downloader.receive(Remote(url, expected), place)
        elapsed_s = time.perf_counter() - started
    shutil.rmtree(folder / "store")
    return elapsed_s


def main(megabytes: int = 1000) -> None:
    """Print the medians and their ratio."""
    curl = shutil.which("curl")
    if curl is None:
        sys.exit("There is no curl on PATH to compare with.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "model.gguf"
        with source.open("wb") as file:
            for _ in range(megabytes):
                file.write(os.urandom(10**6))
        with source.open("rb") as file:
            expected = Expected(source.stat().st_size, Digest(hashlib.file_digest(file, "sha256").hexdigest()))
        arguments = [sys.executable, "-c", _SERVER, str(source)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None, "it is a pipe"
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/model.gguf"
            times: dict[str, list[float]] = {"curl": [], "planner, 1 connection": [], "planner, 4 connections": []}
            for _ in range(_ROUNDS):
                times["curl"].append(by_curl(curl, url, folder))
                times["planner, 1 connection"].append(by_planner(url, expected, folder, 1))
                times["planner, 4 connections"].append(by_planner(url, expected, folder, 4))
            server.terminate()
    base = statistics.median(times["curl"])
    for who, seconds in times.items():
        median = statistics.median(seconds)
        print(f"{who:<24}{megabytes / median:7.0f} MB/s  {base / median:5.2f} x curl")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
