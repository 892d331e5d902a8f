"""Every provider on one loopback server: it replays recorded shapes, and fails in the ways the real ones do."""

import io
import json
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from planner.prices.csv_catalog import CsvCatalog
from planner.prices.lium import Lium
from planner.prices.provider import Provider
from planner.prices.runpod_graphql import RunPodGraphQL
from planner.prices.runpod_rest import RunPodRest
from planner.prices.vast import Vast

SAMPLES = Path(__file__).parent / "samples"
VERSION = "20261122-42"


def sample(name: str) -> Any:
    return json.loads((SAMPLES / name).read_text())


@dataclass
class Fault:
    """How one answer differs from the truth. Each of a path is used once, in order; `always` stays."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut: bool = False
    hang: bool = False
    always: bool = False


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def zipped(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


# As gpuhunt 0.1.34 writes its files (`gpuhunt._internal.storage.dump`): its own reader reads what is served here.
CSV_HEAD = (
    "instance_name,location,price,cpu,memory,gpu_count,gpu_name,gpu_memory,spot,disk_size,gpu_vendor,flags,cpu_arch,"
    "provider_data\n"
)
AWS_ROWS = (
    "g6.xlarge,us-east-1,0.8048,4,16.0,1,L4,24.0,False,,nvidia,,x86_64,{}\n"
    'g6.xlarge,us-east-1,0.3542,4,16.0,1,L4,24.0,True,,nvidia,,x86,"{""zone"": ""a, b""}"\n'
    "m7i.large,us-east-1,0.1008,2,8.0,0,,,False,,,,x86_64,{}\n"
    "p5.48xlarge,us-east-1,55.04,192,2048.0,8,H100,80.0,False,,nvidia,,x86_64,{}\n"
)


class PriceServer:
    """Answers as Vast.ai (`/vast`), RunPod (`/graphql`, `/v2`), Lium (`/lium`) and the CSV catalog (`/csv`)."""

    def __init__(self) -> None:
        self.vast: list[dict[str, Any]] = sample("vast_bundles.json")["offers"]
        self.gpu_types: list[dict[str, Any]] = [sample("runpod_graphql.json")["sdk_get_gpu"]]
        self.rest: Any = sample("runpod_rest.json")
        self.lium: Any = sample("lium_nodes.json")
        self.csv: dict[str, str] = {"aws": CSV_HEAD + AWS_ROWS}
        self.version = VERSION
        self.csv_headers: dict[str, str] = {}
        self.tags: bool = True
        self.last_modified: str | None = None
        self.key = "rp-a-key"
        self.faults: dict[str, list[Fault]] = {}
        self.seen: list[Seen] = []
        self.release = threading.Event()
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                pass

            def do_GET(self) -> None:
                server.handle(self)

            do_POST = do_GET  # noqa: N815  # the name http.server looks for

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()

    def providers(self, *names: str) -> tuple[Provider, ...]:
        every: tuple[Provider, ...] = (
            Vast(f"{self.url}/vast"),
            RunPodGraphQL(f"{self.url}/graphql"),
            RunPodRest(f"{self.url}/v2/catalog/gpus"),
            Lium(f"{self.url}/lium"),
            CsvCatalog(f"{self.url}/csv"),
        )
        return tuple(provider for provider in every if not names or provider.name in names)

    def fail(self, path: str, *faults: Fault) -> None:
        self.faults.setdefault(path, []).extend(faults)

    def asked(self, path: str) -> list[Seen]:
        return [seen for seen in self.seen if urlsplit(seen.path).path.startswith(path)]

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = Seen(request.command, request.path, headers, request.rfile.read(length))
        path = urlsplit(request.path).path
        with self._lock:
            self.seen.append(seen)
            fault = self._fault(path)
        if fault is not None and fault.hang:
            self.release.wait(30)
            return
        if fault is None or (fault.status == 200 and fault.body is None):
            status, extra, body = self._truth(path, seen)
        else:
            status, extra, body = fault.status, fault.headers, fault.body or b""
        cut = fault is not None and fault.cut
        request.send_response(status)
        for name, value in extra.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if cut else body)
        request.close_connection = True

    def _fault(self, path: str) -> Fault | None:
        waiting = next((faults for prefix, faults in self.faults.items() if path.startswith(prefix) and faults), None)
        if waiting is None:
            return None
        return waiting[0] if waiting[0].always else waiting.pop(0)

    def _truth(self, path: str, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        routes: dict[str, Callable[[Seen], tuple[int, dict[str, str], Any]]] = {
            "/vast": self._vast,
            "/graphql": lambda _: (200, {}, {"data": {"gpuTypes": self.gpu_types}}),
            "/v2/catalog/gpus": self._rest,
            "/lium": self._lium,
        }
        if path in routes:
            status, headers, tree = routes[path](seen)
            return status, {"Content-Type": "application/json", **headers}, json.dumps(tree).encode()
        cloud, _, file = path.removeprefix("/csv/").partition("/")
        if cloud in self.csv and file == "version":
            return 200, {}, f"{self.version}\n".encode()
        if cloud in self.csv and file == f"{self.version}/catalog.zip":
            return 200, self.csv_headers, zipped(f"{cloud}.csv", self.csv[cloud])
        return 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"

    def _vast(self, seen: Seen) -> tuple[int, dict[str, str], Any]:
        """Filters, sorts and caps as the real one does."""
        body = seen.json
        low, high = body["gpu_ram"]["gte"], body["gpu_ram"]["lt"]
        floor = body.get("dph_base", {}).get("gte", 0)

        def amount(row: dict[str, Any], name: str) -> float:
            return float(row.get(name) or 0)

        found = [row for row in self.vast if low <= amount(row, "gpu_ram") < high]
        found = [row for row in found if not floor or amount(row, "dph_base") >= floor]
        found.sort(key=lambda row: amount(row, "dph_base"))
        return 200, {}, {"offers": found[: min(64, body["limit"])]}

    def _rest(self, seen: Seen) -> tuple[int, dict[str, str], Any]:
        query = parse_qs(urlsplit(seen.path).query)
        if seen.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {}, {"title": "Unauthorized", "status": 401, "detail": "missing bearer token"}
        if "include" in query and "product" not in query:
            return 400, {}, {"title": "Bad Request", "status": 400, "detail": "product is required"}
        return self._unless_known(seen, {"RateLimit-Policy": "60;w=60"}, self.rest)

    def _lium(self, seen: Seen) -> tuple[int, dict[str, str], Any]:
        return self._unless_known(seen, {}, self.lium)

    def _unless_known(self, seen: Seen, headers: dict[str, str], tree: Any) -> tuple[int, dict[str, str], Any]:
        """The document, or 304 where the request says that it is known; by tag or by time."""
        if self.tags:
            headers["ETag"] = f'"{hash(json.dumps(tree))}"'
        if self.last_modified is not None:
            headers["Last-Modified"] = self.last_modified
        by_tag = seen.headers.get("if-none-match", "") == headers.get("ETag")
        by_time = seen.headers.get("if-modified-since", "") == headers.get("Last-Modified")
        return (304, headers, {}) if by_tag or by_time else (200, headers, tree)
