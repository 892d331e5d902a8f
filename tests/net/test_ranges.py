"""Reading a remote header over real HTTP, from servers that behave, misbehave and lie."""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import requests
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from planner.errors import AccessError, OfflineError, RemoteError
from planner.net.http import make_session
from planner.net.ranges import LEAST_REQUEST_BYTES, PREFIX_LIMIT_BYTES, HttpRangeSource
from planner.units import KIB, MIB

DATA = bytes(index * 7 % 251 for index in range(300_000))
TOKEN = "Bearer hf_secret"


@dataclass(frozen=True)
class Settings:
    offline: bool = False


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session(Settings(), tries=1) as made:
        yield made


@pytest.fixture
def cdn() -> Iterator[HTTPServer]:
    """A second server; tests reach it under another host name."""
    with HTTPServer(host="127.0.0.1") as server:
        yield server


def ranged(request: Request, data: bytes = DATA, **headers: str) -> Response:
    """What an honest server answers."""
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
    if match is None:
        return Response(data, 200, headers)
    start, end = int(match[1]), min(int(match[2]), len(data) - 1)
    if start >= len(data):
        return Response(b"", 416, {"Content-Range": f"bytes */{len(data)}"})
    return Response(data[start : end + 1], 206, {"Content-Range": f"bytes {start}-{end}/{len(data)}", **headers})


def serve(server: HTTPServer, answer: Callable[[Request], Response]) -> list[Request]:
    """Answer every request with `answer`; returns the requests as they come."""
    seen: list[Request] = []

    def handle(request: Request) -> Response:
        seen.append(request)
        return answer(request)

    server.expect_request(re.compile(".*")).respond_with_handler(handle)
    return seen


def test_reads_pieces_and_knows_the_size(httpserver: HTTPServer, session: requests.Session) -> None:
    seen = serve(httpserver, ranged)
    with HttpRangeSource(session, httpserver.url_for("/a%20b.gguf")) as source:
        assert source.size == len(DATA)
        assert source.read_at(0, 10) == DATA[:10]
        assert source.read_at(200_000, 1000) == DATA[200_000:201_000]
        assert source.read_at(len(DATA) - 5, 100) == DATA[-5:]
        assert source.read_at(len(DATA), 5) == b""
        assert source.name.endswith("/a b.gguf")
    assert all(request.headers["Accept-Encoding"] == "identity" for request in seen)


def test_what_was_read_is_not_asked_for_again(httpserver: HTTPServer, session: requests.Session) -> None:
    seen = serve(httpserver, ranged)
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source:
        for offset in (0, 4, 8, 60_000, 100, LEAST_REQUEST_BYTES - 1):
            assert source.read_at(offset, 1) == DATA[offset : offset + 1]
        assert len(seen) == 1
        assert source.transferred_bytes == 64 * KIB


def test_a_small_and_an_empty_file(httpserver: HTTPServer, session: requests.Session) -> None:
    serve(httpserver, lambda request: ranged(request, b"" if request.path == "/empty" else b"GGUF"))
    with HttpRangeSource(session, httpserver.url_for("/small")) as source:
        assert source.read_at(0, 100) == b"GGUF"
    with HttpRangeSource(session, httpserver.url_for("/empty")) as source:
        assert source.size == 0
        assert source.read_at(0, 100) == b""


def test_a_redirect_keeps_the_range_and_drops_the_token(
    httpserver: HTTPServer, cdn: HTTPServer, session: requests.Session
) -> None:
    target = f"http://127.0.0.1:{cdn.port}/blob?signature=1"
    home = serve(httpserver, lambda _: Response(b"", 302, {"Location": target}))
    away = serve(cdn, ranged)
    url = f"http://localhost:{httpserver.port}/m.gguf"
    with HttpRangeSource(session, url, headers={"X-Plain": "1"}, secret_headers={"Authorization": TOKEN}) as source:
        assert source.read_at(250_000, 10) == DATA[250_000:250_010]
        assert source.read_at(0, 10) == DATA[:10]
    assert all(request.headers["Authorization"] == TOKEN for request in home)
    assert all("Authorization" not in request.headers for request in away)
    assert all(request.headers["X-Plain"] == "1" for request in away)
    assert [request.headers["Range"] for request in away][1].startswith("bytes=250000-")
    assert len(home) == 1, "the target of the redirect is remembered"


def test_a_redirect_on_the_same_server_keeps_the_token(httpserver: HTTPServer, session: requests.Session) -> None:
    def answer(request: Request) -> Response:
        return Response(b"", 307, {"Location": "/moved"}) if request.path == "/m.gguf" else ranged(request)

    seen = serve(httpserver, answer)
    with HttpRangeSource(session, httpserver.url_for("/m.gguf"), secret_headers={"Authorization": TOKEN}) as source:
        assert source.read_at(0, 4) == DATA[:4]
    assert [request.headers["Authorization"] for request in seen] == [TOKEN, TOKEN]


def test_a_signed_link_that_runs_out_is_renewed(
    httpserver: HTTPServer, cdn: HTTPServer, session: requests.Session
) -> None:
    links = iter(range(100))
    home = serve(httpserver, lambda _: Response(b"", 302, {"Location": f"http://127.0.0.1:{cdn.port}/{next(links)}"}))
    spent: set[str] = set()

    def answer(request: Request) -> Response:
        if request.path in spent:
            return Response(b"expired", 403)
        spent.add(request.path)
        return ranged(request)

    serve(cdn, answer)
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source:
        assert source.read_at(0, 4) == DATA[:4]
        assert source.read_at(200_000, 4) == DATA[200_000:200_004]
    assert len(home) == 2


def test_a_server_without_ranges_is_read_from_the_beginning(
    httpserver: HTTPServer, session: requests.Session
) -> None:
    seen = serve(httpserver, lambda _: Response(DATA, 200))
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source:
        assert source.size == len(DATA)
        assert source.read_at(100_000, 10) == DATA[100_000:100_010]
        assert source.read_at(5, 10) == DATA[5:15]
        assert source.transferred_bytes < 200_000
    assert len(seen) == 1


def test_a_server_without_ranges_is_not_read_beyond_the_cap(
    httpserver: HTTPServer, session: requests.Session
) -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(64 * KIB)

    serve(httpserver, lambda _: Response(endless(), 200, {"Content-Length": str(40 * 2**30)}))
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source:
        with pytest.raises(RemoteError, match="only whole files") as caught:
            source.read_at(PREFIX_LIMIT_BYTES, 1)
        assert caught.value.reference == "no-ranges"
        assert source.read_at(0, 4) == bytes(4)
        assert source.transferred_bytes < MIB


def content_range(text: str, *, status: int = 206, body: bytes | None = None) -> Callable[[Request], Response]:
    return lambda _: Response(bytes(LEAST_REQUEST_BYTES) if body is None else body, status, {"Content-Range": text})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(content_range("bytes 100-65635/300000"), id="another place"),
        pytest.param(content_range("bytes 0-65535/*"), id="no total"),
        pytest.param(content_range("bytes 0-65535/100"), id="total below the end"),
        pytest.param(content_range("bytes 0-99/300000", body=bytes(100)), id="less than asked for"),
        pytest.param(content_range("bytes 0-131071/300000", body=bytes(131_072)), id="more than asked for"),
        pytest.param(content_range("bytes 65535-0/300000"), id="backwards"),
        pytest.param(content_range("items 0-65535/300000"), id="another unit"),
        pytest.param(content_range("bytes 0-65535/99999999999999999999999999"), id="absurd total"),
        pytest.param(content_range("\x1b[2J"), id="nonsense"),
        pytest.param(content_range("bytes 0-65535/300000", body=bytes(100)), id="body shorter than promised"),
        pytest.param(lambda _: Response(DATA, 206), id="no Content-Range"),
        pytest.param(content_range("bytes */300000", status=416), id="not satisfiable"),
        pytest.param(lambda _: Response(b"", 204), id="nothing"),
        pytest.param(
            lambda _: Response(
                DATA[:65_536], 206, {"Content-Range": "bytes 0-65535/300000", "Content-Encoding": "gzip"}
            ),
            id="compressed",
        ),
    ],
)
def test_lies_about_the_range_are_refused(
    httpserver: HTTPServer, session: requests.Session, answer: Callable[[Request], Response]
) -> None:
    serve(httpserver, answer)
    with (
        HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source,
        pytest.raises(RemoteError) as caught,
    ):
        source.read_at(0, 100)
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize("status", [200, 206])
def test_a_web_page_is_named_as_such(httpserver: HTTPServer, session: requests.Session, status: int) -> None:
    page = b"<!doctype html><title>Log in to the network</title>"
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Range": f"bytes 0-{len(page) - 1}/{len(page)}"}
    serve(httpserver, lambda _: Response(page, status, headers))
    with (
        HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source,
        pytest.raises(RemoteError, match="web page") as caught,
    ):
        _ = source.size
    assert caught.value.reference == "web-page"


@pytest.mark.parametrize("change", ["size", "etag"])
def test_a_file_that_changes_meanwhile_is_noticed(
    httpserver: HTTPServer, session: requests.Session, change: str
) -> None:
    count = iter(range(100))

    def answer(request: Request) -> Response:
        number = next(count)
        data = DATA + bytes(number) if change == "size" else DATA
        return ranged(request, data, ETag=f'"{number}"' if change == "etag" else '"same"')

    serve(httpserver, answer)
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source:
        source.read_at(0, 4)
        with pytest.raises(RemoteError, match="chang") as caught:
            source.read_at(200_000, 4)
    assert caught.value.reference == "remote-changed"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "", (AccessError, "login-required")),
        (403, "", (AccessError, "login-required")),
        (403, "GatedRepo", (AccessError, "licence-not-accepted")),
        (404, "EntryNotFound", (AccessError, "not-found")),
        (410, "", (AccessError, "not-found")),
        (418, "", (RemoteError, "http-418")),
        (500, "", (RemoteError, "http-500")),
    ],
)
def test_refusals_say_what_to_do(
    httpserver: HTTPServer, session: requests.Session, status: int, code: str, expected: tuple[type[RemoteError], str]
) -> None:
    kind, reference = expected
    serve(httpserver, lambda _: Response(b"no", status, {"X-Error-Code": code} if code else {}))
    with (
        HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source,
        pytest.raises(kind) as caught,
    ):
        _ = source.size
    assert caught.value.reference == reference
    assert caught.value.hint


def test_too_many_requests_names_the_waiting_time(httpserver: HTTPServer, session: requests.Session) -> None:
    serve(httpserver, lambda _: Response(b"", 429, {"Retry-After": "600"}))
    with (
        HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source,
        pytest.raises(RemoteError, match="10 min"),
    ):
        _ = source.size


def test_a_slow_drip_ends_at_the_deadline(httpserver: HTTPServer, session: requests.Session) -> None:
    """Every byte arrives within the read timeout, all of them never would."""
    stop = threading.Event()

    def drip() -> Iterator[bytes]:
        for _ in range(LEAST_REQUEST_BYTES):
            if stop.wait(0.01):
                return
            yield b"x"

    headers = {"Content-Range": "bytes 0-65535/300000", "Content-Length": "65536"}
    serve(httpserver, lambda _: Response(drip(), 206, headers))
    clock = iter(range(0, 10_000, 10))
    try:
        with (
            HttpRangeSource(session, httpserver.url_for("/m.gguf"), clock=lambda: float(next(clock))) as source,
            pytest.raises(RemoteError, match="too slowly"),
        ):
            _ = source.size
    finally:
        stop.set()


def test_a_connection_that_breaks_is_a_remote_error(httpserver: HTTPServer, session: requests.Session) -> None:
    headers = {"Content-Range": "bytes 0-65535/300000", "Content-Length": "65536"}
    serve(httpserver, lambda _: Response(iter([bytes(1000)]), 206, headers))
    with HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source, pytest.raises(RemoteError):
        _ = source.size


def test_nobody_listens(session: requests.Session) -> None:
    with HttpRangeSource(session, "http://127.0.0.1:9/m.gguf") as source, pytest.raises(RemoteError):
        _ = source.size


@pytest.mark.parametrize(
    "url", ["http://example.org/m.gguf", "ftp://localhost/m.gguf", "https://u:p@localhost/m.gguf"]
)
def test_only_https_away_from_this_machine(session: requests.Session, url: str) -> None:
    with HttpRangeSource(session, url) as source, pytest.raises(RemoteError) as caught:
        _ = source.size
    assert caught.value.reference == "insecure-url"


def test_offline_opens_no_connection(httpserver: HTTPServer) -> None:
    seen = serve(httpserver, ranged)
    with (
        make_session(Settings(offline=True)) as session,
        HttpRangeSource(session, httpserver.url_for("/m.gguf")) as source,
        pytest.raises(OfflineError),
    ):
        _ = source.size
    assert not seen
