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
    """Speaks the Hub's API for `files` of `REPO` (large-file storage unless named in `plain_git`).

    `others` are more repositories with their files, `tags` what the pages of all say, `gated` ones that want a login.
    `commits` are their heads where that is not `COMMIT`; files of an older commit are `history[commit]`, commits
    that are no longer there `gone`.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.others: dict[str, dict[str, bytes]] = {}
        self.tags: list[str] = []
        self.gated: set[str] = set()
        self.commits: dict[str, str] = {}
        self.history: dict[str, dict[str, bytes]] = {}
        self.gone: set[str] = set()
        self.names_only = False
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
        repo, _, rest = path.strip("/").partition("/resolve/")
        commit, _, name = rest.partition("/")
        if not rest:
            repo, name = REPO, path[len("/cdn/") :]
        if "/resolve/" in path and self.redirect_host is not None:
            where = f"http://{self.redirect_host}:{self.port}/cdn/{name}?signature=secret"
            _send(handler, 302, {"Location": where}, b"")
            return
        lie = self.lies.pop(0) if self.lies else self.always or Lie()
        self._file(handler, self._files(repo, unquote(commit)), name, headers, lie)

    def _files(self, repo: str, commit: str = "") -> dict[str, bytes]:
        """What a repository holds at a commit, its head unless an older one is named."""
        if commit in self.history:
            return self.history[commit]
        return self.others.get(repo, self.files)

    def _api(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        if self.api_answers:
            _send(handler, *self.api_answers.pop(0))
            return
        repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        if repo != REPO and repo not in self.others:
            _send(handler, 404, {"X-Error-Code": "RepoNotFound"}, b"{}")
            return
        if repo in self.gated:
            _send(handler, 403, {"X-Error-Code": "GatedRepo"}, b"{}")
            return
        head = self.commits.get(repo, COMMIT)
        if revision in self.gone:
            _send(handler, 404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
            return
        commit = revision if revision in self.history else head
        siblings: list[dict[str, object]] = []
        for name, data in self._files(repo, revision).items():
            if self.names_only:
                siblings.append({"rfilename": name})
                continue
            git = hashlib.sha1(f"blob {len(data)}\0".encode() + data, usedforsecurity=False).hexdigest()
            item: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git}
            if name not in self.plain_git:
                sha256 = self.claimed_sha256.get(name, hashlib.sha256(data).hexdigest())
                item["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
            siblings.append(item)
        answer = {"id": repo, "sha": commit, "private": False, "tags": self.tags, "siblings": siblings}
        body = json.dumps(answer).encode()
        _send(handler, 200, {"Content-Type": "application/json"}, body)

    def _file(
        self,
        handler: BaseHTTPRequestHandler,
        files: dict[str, bytes],
        name: str,
        asked: dict[str, str],
        lie: Lie,
    ) -> None:
        if lie.status is not None:
            _send(handler, lie.status, lie.headers, lie.body or b"")
            return
        if name not in files:
            _send(handler, 404, {"X-Error-Code": "EntryNotFound"}, b"")
            return
        data = lie.body if lie.body is not None else files[name]
        status, headers, body = _asked_part(data, asked, lie)
        if lie.flip_bit and body:
            body[len(body) // 2] ^= 1
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(lie.claim_bytes if lie.claim_bytes is not None else len(body)))
        if handler.command == "HEAD":
            handler.send_header("X-Repo-Commit", COMMIT)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        limit = lie.cut_after if lie.cut_after is not None else lie.stall_after
        handler.wfile.write(body if limit is None else body[:limit])
        handler.wfile.flush()
        if lie.stall_after is not None:
            self.released.wait(60)
        if limit is not None or lie.claim_bytes is not None:
            handler.close_connection = True


def _asked_part(data: bytes, asked: dict[str, str], lie: Lie) -> tuple[int, dict[str, str], bytearray]:
    """Status, headers and body for what was asked of a file, as far as the lie lets it be true."""
    etag = lie.etag or f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"Accept-Ranges": "bytes", **({} if lie.no_etag else {"ETag": etag}), **lie.headers}
    fresh = lie.ignore_if_range or asked.get("if-range", etag) == etag
    if "range" not in asked or not fresh or lie.ignore_range:
        return 200, headers, bytearray(data)
    first_text, _, last_text = asked["range"].removeprefix("bytes=").partition("-")
    start = int(first_text)
    if start >= len(data):
        return 416, {"Content-Range": f"bytes */{len(data)}"}, bytearray()
    end = min(len(data), int(last_text) + 1) if last_text else len(data)
    headers["Content-Range"] = f"bytes {start + lie.shift_range}-{end - 1}/{len(data)}"
    return 206, headers, bytearray(data[start:end])


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)
