"""The session every room uses: what it refuses, what it repeats, what it never sends along."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from planner.errors import OfflineError, PlannerError, RemoteError
from planner.net.http import (
    backoff_s,
    check_url,
    is_loopback,
    is_private,
    make_session,
    network_error,
    open_url,
    require_online,
    retry_after_s,
)


@dataclass
class Settings:
    offline: bool = False


@dataclass
class Server:
    """Answers each path from `answers`: (status, headers) in turn, the last one for ever."""

    port: int = 0
    answers: dict[str, list[tuple[int, dict[str, str]]]] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [path for _, path, _ in self.seen]


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

        def do_GET(self) -> None:
            state.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            answers = state.answers.get(self.path, [(200, {})])
            status, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        do_POST = do_GET  # noqa: N815  # the name http.server looks for

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    state.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join(timeout=5)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with make_session(Settings()) as made:
        yield made


@pytest.mark.parametrize(
    "url",
    ["https://huggingface.co/x", "http://127.0.0.1:1/x", "http://localhost/x", "http://[::1]:8/x", "HTTPS://Host/"],
)
def test_https_and_this_machine_are_fine(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://huggingface.co/x",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "http://0.0.0.0/",
        "http://10.1.2.3/",
        "ftp://host/x",
        "file:///etc/passwd",
        "https://user:pw@host/",
        "https://",
        "//host/x",
        "",
    ],
)
def test_everything_else_is_not(url: str) -> None:
    with pytest.raises(RemoteError) as caught:
        check_url(url)
    assert "pw" not in caught.value.message


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("huggingface.co", False),
        ("8.8.8.8", False),
        ("2001:4860:4860::8888", False),
        ("localhost", True),
        ("router", True),
        ("printer.local", True),
        ("metadata.google.internal", True),
        ("127.0.0.1", True),
        ("127.1", True),
        ("0x7f.0.0.1", True),
        ("0177.0.0.1", True),
        ("10.1", True),
        ("8.8.2056", False),
        ("10.0.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("fd00::1", True),
    ],
)
def test_what_is_not_on_the_public_internet(host: str, private: bool) -> None:
    assert is_private(host) is private
    assert not is_loopback(host) or private


def test_offline_opens_no_socket(session: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    with make_session(Settings(offline=True)) as offline, pytest.raises(OfflineError):
        open_url(offline, "https://huggingface.co/x")
    with pytest.raises(OfflineError, match="Downloading x"):
        require_online(Settings(offline=True), "Downloading x")


def test_passing_trouble_is_repeated(session: requests.Session, server: Server) -> None:
    server.answers["/x"] = [(503, {"Retry-After": "0"}), (429, {"Retry-After": "garbage"}), (200, {})]
    with open_url(session, f"{server.url}/x") as response:
        assert response.status_code == 200
    assert len(server.seen) == 3


def test_what_changes_things_is_not_repeated(session: requests.Session, server: Server) -> None:
    server.answers["/x"] = [(503, {})]
    with open_url(session, f"{server.url}/x", method="POST") as response:
        assert response.status_code == 503
    assert len(server.seen) == 1


def test_a_long_retry_after_is_handed_to_the_caller(session: requests.Session, server: Server) -> None:
    server.answers["/x"] = [(429, {"Retry-After": "3600"})]
    with open_url(session, f"{server.url}/x") as response:
        assert response.status_code == 429
        assert retry_after_s(response.headers) == 3600
    assert len(server.seen) == 1


def test_a_secret_never_leaves_its_origin(session: requests.Session, server: Server) -> None:
    away = f"http://localhost:{server.port}"
    server.answers["/start"] = [(302, {"Location": "/inside"})]
    server.answers["/inside"] = [(307, {"Location": f"{away}/outside"})]
    server.answers["/outside"] = [(301, {"Location": f"{server.url}/back"})]
    secret = {"Authorization": "Bearer hf_secret"}
    with open_url(session, f"{server.url}/start", secret_headers=secret, headers={"X-Plain": "1"}) as response:
        assert response.status_code == 200
    assert server.paths == ["/start", "/inside", "/outside", "/back"]
    carried = ["authorization" in headers for _, _, headers in server.seen]
    # Once it has left home it does not come back: the address it comes back to was chosen by somebody else.
    assert carried == [True, True, False, False]
    assert all(headers["x-plain"] == "1" for _, _, headers in server.seen)


@pytest.mark.parametrize("target", ["http://evil.example/", "ftp://127.0.0.1/", "https://user:pw@host.example/"])
def test_a_redirect_is_judged_like_any_address(session: requests.Session, server: Server, target: str) -> None:
    server.answers["/x"] = [(302, {"Location": target})]
    with pytest.raises(RemoteError) as caught:
        open_url(session, f"{server.url}/x")
    assert caught.value.reference == "insecure-url"


def test_redirects_end(session: requests.Session, server: Server) -> None:
    server.answers["/x"] = [(302, {"Location": "/x"})]
    with pytest.raises(RemoteError) as caught:
        open_url(session, f"{server.url}/x")
    assert caught.value.reference == "redirect-refused"


def test_credentials_of_netrc_and_cookies_stay_at_home(
    session: requests.Session, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.answers["/x"] = [(200, {"Set-Cookie": "session=1"})]
    secret = {"Authorization": "Bearer hf_secret"}
    open_url(session, f"{server.url}/x", secret_headers=secret).close()
    open_url(session, f"{server.url}/x").close()
    assert server.seen[0][2]["authorization"] == "Bearer hf_secret"
    assert "authorization" not in server.seen[1][2]
    assert "cookie" not in server.seen[1][2]


def test_we_say_who_we_are(session: requests.Session, server: Server) -> None:
    open_url(session, f"{server.url}/x").close()
    assert server.seen[0][2]["user-agent"].startswith("planner/")


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_a_refused_connection_is_explained() -> None:
    with make_session(Settings(), tries=1) as session, pytest.raises(RemoteError, match=r"127\.0\.0\.1 refused"):
        open_url(session, f"http://127.0.0.1:{_closed_port()}/x?token=secret")


def test_a_silent_server_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, make_session(Settings(), tries=1) as session:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        with pytest.raises(RemoteError) as caught:
            open_url(session, url, timeout=(1.0, 0.1))
        assert caught.value.reference == "timeout"


def test_the_proxy_in_the_way_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    port = _closed_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:hunter2@127.0.0.1:{port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with make_session(Settings(), tries=1) as session, pytest.raises(RemoteError) as caught:
        open_url(session, "https://huggingface.co/x")
    assert caught.value.reference == "proxy"
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint


def _tls() -> Exception:
    return requests.exceptions.SSLError("certificate verify failed")


def _unknown_host() -> Exception:
    return requests.exceptions.ConnectionError(socket.gaierror(-2, "Name or service not known"))


@pytest.mark.parametrize(
    ("make", "reference"),
    [(_tls, "tls"), (_unknown_host, "dns"), (requests.exceptions.ReadTimeout, "timeout"), (OSError, "network")],
)
def test_failures_get_words(make: Callable[[], Exception], reference: str) -> None:
    error = network_error(make(), "https://hub.example/x?signature=secret")
    assert isinstance(error, RemoteError)
    assert error.reference == reference
    assert "hub.example" in error.message
    assert "secret" not in error.message


def test_our_own_errors_pass_unchanged() -> None:
    own = PlannerError("mine")
    assert network_error(own, "https://x") is own


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5),
        (" 7 ", 7),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("9" * 400, 999_999_999),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": text}, now=lambda: 100.0) == seconds


def test_pauses_grow_and_end() -> None:
    assert all(0.25 <= backoff_s(1) <= 0.5 for _ in range(20))
    assert all(7.5 <= backoff_s(10_000) <= 15 for _ in range(20))
