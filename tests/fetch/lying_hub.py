"""A Hub on loopback that can lie in every way the real network does."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from planner.core.values import RepoId, RepoPath

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
