"""A Hub on loopback that can lie in every way the real network does, and what the tests of this room share."""

import base64
import hashlib
import importlib.util
import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from planner.config import Config
from planner.core.model import Artifact, Commercial, Licence, Model, Role, Variant
from planner.core.values import Digest, RepoId, RepoPath
from planner.fetch.progress import Phase

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = RepoId("acme/tiny-GGUF")
FILE = RepoPath("tiny-Q4_K_M.gguf")


@dataclass
class Lie:
    """How one GET of a file differs from the truth. Each is told once, in order; then the truth follows."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    cut_after: int | None = None
    stall_after: int | None = None
    claim_bytes: int | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    shift_range: int = 0
    flip_bit: bool = False
    etag: str | None = None
    no_etag: bool = False


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    method: str
    host: str
    path: str
    headers: dict[str, str]


class LyingHub:
    """Speaks the Hub's API for `files` of `REPO` (large-file storage unless named in `plain_git`)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.plain_git: set[str] = set()
        self.claimed_sha256: dict[str, str] = {}
        self.lies: list[Lie] = []
        self.always: Lie | None = None
        self.api_answers: list[tuple[int, dict[str, str], bytes]] = []
        self.redirect_host: str | None = None
        self.requests: list[Seen] = []
        self.released = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                pass

            def do_GET(self) -> None:
                hub.answer(self)

            do_HEAD = do_GET  # noqa: N815  # the name http.server looks for

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def gets(self, part: str = "/resolve/") -> list[Seen]:
        return [seen for seen in self.requests if seen.method == "GET" and part in seen.path]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append(Seen(handler.command, headers.get("host", ""), handler.path, headers))
        path = unquote(urlsplit(handler.path).path)
        if path.startswith("/api/models/"):
            self._api(handler, path)
            return
        name = path.rpartition("/resolve/")[2].partition("/")[2] if "/resolve/" in path else path[len("/cdn/") :]
        if "/resolve/" in path and self.redirect_host is not None:
            where = f"http://{self.redirect_host}:{self.port}/cdn/{name}?signature=secret"
            _send(handler, 302, {"Location": where}, b"")
            return
        lie = self.lies.pop(0) if self.lies else self.always or Lie()
        self._file(handler, name, headers, lie)

    def _api(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        if self.api_answers:
            _send(handler, *self.api_answers.pop(0))
            return
        if not path.startswith(f"/api/models/{REPO}"):
            _send(handler, 404, {"X-Error-Code": "RepoNotFound"}, b"{}")
            return
        siblings = []
        for name, data in self.files.items():
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
            item: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git}
            if name not in self.plain_git:
                sha256 = self.claimed_sha256.get(name, hashlib.sha256(data).hexdigest())
                item["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
            siblings.append(item)
        body = json.dumps({"id": REPO, "sha": COMMIT, "private": False, "siblings": siblings}).encode()
        _send(handler, 200, {"Content-Type": "application/json"}, body)

    def _file(self, handler: BaseHTTPRequestHandler, name: str, asked: dict[str, str], lie: Lie) -> None:
        if lie.status is not None:
            _send(handler, lie.status, lie.headers, lie.body or b"")
            return
        if name not in self.files:
            _send(handler, 404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        data = lie.body if lie.body is not None else self.files[name]
        etag = lie.etag or f'"{hashlib.sha256(data).hexdigest()[:16]}"'
        start, status = 0, 200
        headers = {"Accept-Ranges": "bytes", **({} if lie.no_etag else {"ETag": etag}), **lie.headers}
        fresh = lie.ignore_if_range or asked.get("if-range", etag) == etag
        if "range" in asked and fresh and not lie.ignore_range:
            start = int(asked["range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                _send(handler, 416, {"Content-Range": f"bytes */{len(data)}"}, b"")
                return
            status = 206
            first = start + lie.shift_range
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        body = bytearray(data[start:])
        if lie.flip_bit:
            body[len(body) // 2] ^= 1
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(lie.claim_bytes if lie.claim_bytes is not None else len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        limit = lie.cut_after if lie.cut_after is not None else lie.stall_after
        handler.wfile.write(body if limit is None else body[:limit])
        handler.wfile.flush()
        if lie.stall_after is not None:
            self.released.wait(10)
        if limit is not None or lie.claim_bytes is not None:
            handler.close_connection = True


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@dataclass
class Recorder:
    """Progress that remembers, and may cancel."""

    notes: list[str] = field(default_factory=list)
    updates: list[tuple[Phase, int, int | None]] = field(default_factory=list)
    on_update: Callable[[Phase, int], None] = lambda _phase, _done: None

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        self.updates.append((phase, done_bytes, total_bytes))
        self.on_update(phase, done_bytes)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No token, proxy or setting of whoever runs the tests; what the Hub's library sets is undone."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    yield
    huggingface_hub.close_session()


@pytest.fixture
def hub() -> Iterator[LyingHub]:
    server = LyingHub()
    yield server
    server.close()


@pytest.fixture
def config(tmp_path: Path, hub: LyingHub) -> Config:
    return Config(
        data_dir=tmp_path / "data",
        cache_dir=tmp_path / "cache",
        state_dir=tmp_path / "state",
        config_dir=tmp_path / "config",
        hf_endpoint=hub.url,
    )


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def payload(hub: LyingHub) -> bytes:
    """Three megabytes and a bit that begin like a GGUF, served as `FILE`."""
    block = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(4096))
    data = b"GGUF\x03\x00\x00\x00" + block * 24 + b"tail"
    hub.files[FILE] = data
    return data


MakeModel = Callable[..., Model]


@pytest.fixture
def make_model() -> MakeModel:
    """A model of one variant with the given artifacts (default: `FILE` of `REPO`, nothing pinned)."""

    def make(*artifacts: Artifact, quant: str = "Q4_K_M", name: str = "acme/tiny") -> Model:
        return Model(
            id=name,
            family="llama",
            role=Role.GENERATION,
            parameters=1000,
            context_length=128,
            licence=Licence("MIT", Commercial.YES),
            variants=(Variant(quant=quant, artifacts=artifacts or (hub_artifact(),)),),
        )

    return make


def hub_artifact(
    file: str = FILE,
    *,
    sha256: str | None = None,
    size_bytes: int | None = None,
    revision: str | None = None,
    repo: str = REPO,
) -> Artifact:
    return Artifact(
        source="hub",
        file=RepoPath(file),
        repo=RepoId(repo),
        revision=revision,
        bytes=size_bytes,
        sha256=Digest(sha256) if sha256 else None,
    )


BuildWheel = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture
def build_wheel() -> BuildWheel:
    """Makes a wheel of the package tiny-model 1.0 with the given members in a folder."""
    return _build_wheel


def _build_wheel(folder: Path, members: dict[str, bytes]) -> Path:
    stem = "tiny_model-1.0"
    info = f"{stem}.dist-info"
    everything = {
        **members,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, data in everything.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}")
    everything[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode()
    folder.mkdir(exist_ok=True)
    wheel = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in everything.items():
            archive.writestr(path, data)
    return wheel


@pytest.fixture
def pip_with_only(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Points the real pip at a folder of wheels and at nothing else."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip module")

    def point(folder: Path) -> None:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    return point
