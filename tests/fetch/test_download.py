"""The transfer of one file against a server that misbehaves."""

import hashlib
import re
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.pull_the_plug import SlowServer
from planner.config import Config
from planner.core.values import Digest, RepoPath
from planner.errors import AccessError, IntegrityError, NoSpaceError, RemoteError, UsageError
from planner.fetch.disk import Disk
from planner.fetch.download import Downloader
from planner.fetch.progress import Phase
from planner.fetch.remote import Pace, Patience, Received, Remote
from planner.fetch.store import Expected, Place, Store
from planner.net.http import make_session
from tests.fetch.lying_hub import Lie, LyingHub
from tests.fetch.small_disk import SmallDisk

if TYPE_CHECKING:
    from tests.fetch.conftest import Recorder

QUICK = Patience(stall_s=0.4, tries=3, pause_base_s=0.01)


class Kit:
    """A downloader for the one file of the hub."""

    def __init__(self, hub: LyingHub, config: Config, progress: "Recorder") -> None:
        self.hub = hub
        self.config = config
        self.progress = progress
        self.store = Store(config.models_dir)
        self.place: Place = self.store.place_at("acme--tiny", RepoPath("tiny.gguf"))
        self.url = f"{hub.url}/acme/tiny-GGUF/resolve/main/tiny-Q4_K_M.gguf"

    def receive(
        self,
        expected: Expected,
        *,
        disk: Disk | None = None,
        token: str | None = None,
        url: str | None = None,
        pace: Pace | None = None,
    ) -> Received:
        with make_session(self.config, tries=1) as session:
            downloader = Downloader(session, progress=self.progress, disk=disk, patience=QUICK, pace=pace)
            return downloader.receive(Remote(url or self.url, expected, token=token), self.place)

    @property
    def partial(self) -> bytes:
        return self.place.partial.read_bytes()


@pytest.fixture
def kit(hub: LyingHub, config: Config, progress: "Recorder") -> Kit:
    return Kit(hub, config, progress)


def promised(data: bytes) -> Expected:
    return Expected(len(data), Digest(hashlib.sha256(data).hexdigest()))


def test_an_honest_server_needs_one_request(kit: Kit, payload: bytes) -> None:
    received = kit.receive(promised(payload))
    assert kit.partial == payload
    assert received == Received(len(payload), promised(payload).sha256, True, len(payload))  # type: ignore[arg-type]
    assert len(kit.hub.gets()) == 1
    assert kit.progress.updates[-1] == (Phase.DOWNLOADING, len(payload), len(payload))


def test_a_cut_connection_goes_on_where_it_broke(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), Lie(cut_after=500_000)]
    received = kit.receive(promised(payload))
    assert kit.partial == payload
    assert received.bytes_transferred == len(payload)
    ranges = [seen.headers.get("range") for seen in kit.hub.gets()]
    assert ranges == [None, "bytes=1000000-", "bytes=1500000-"]
    assert all("if-range" in seen.headers for seen in kit.hub.gets()[1:])


def test_many_cuts_are_no_failure_while_bytes_flow(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=200_000) for _ in range(10)]
    assert kit.receive(promised(payload)).bytes_transferred == len(payload)


def test_another_run_resumes_what_the_first_left(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=2_000_000), *[Lie(status=503)] * 3]
    with pytest.raises(RemoteError, match="are kept"):
        kit.receive(promised(payload))
    assert len(kit.partial) == 2_000_000
    received = kit.receive(promised(payload))
    assert received.bytes_transferred == len(payload) - 2_000_000
    assert kit.partial == payload


def test_a_complete_partial_needs_no_request(kit: Kit, payload: bytes) -> None:
    kit.receive(promised(payload))
    before = len(kit.hub.requests)
    assert kit.receive(promised(payload)).bytes_transferred == 0
    assert len(kit.hub.requests) == before


@pytest.mark.parametrize("length_known", [True, False])
def test_a_stall_is_answered_with_a_new_connection(kit: Kit, payload: bytes, length_known: bool) -> None:
    kit.hub.lies = [Lie(stall_after=1_000_000)]
    expected = promised(payload) if length_known else Expected(sha256=promised(payload).sha256)
    assert kit.receive(expected).bytes_transferred == len(payload)
    assert kit.hub.gets()[1].headers["range"] == "bytes=1000000-"


def test_a_server_that_ignores_range_is_read_from_the_start(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), Lie(ignore_range=True)]
    received = kit.receive(promised(payload))
    assert kit.partial == payload
    assert received.bytes_transferred == len(payload) + 1_000_000


@pytest.mark.parametrize("shift", [-5, 7])
def test_a_wrong_content_range_starts_over(kit: Kit, payload: bytes, shift: int) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), Lie(shift_range=shift)]
    assert kit.receive(promised(payload)).sha256 == promised(payload).sha256
    assert "range" not in kit.hub.gets()[-1].headers


def test_a_part_of_another_file_is_not_glued_on(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), Lie(etag='"other"', ignore_if_range=True)]
    assert kit.receive(Expected(bytes=len(payload))).sha256 == promised(payload).sha256
    assert "range" in kit.hub.gets()[1].headers
    assert "range" not in kit.hub.gets()[2].headers


def test_a_file_replaced_upstream_between_runs_starts_over(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), *[Lie(status=500)] * 3]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    new = payload[:-4] + b"TAIL"
    kit.hub.files["tiny-Q4_K_M.gguf"] = new
    assert kit.receive(promised(new)).bytes_transferred == len(new)
    assert kit.partial == new
    assert any("starting again" in note for note in kit.progress.notes)


def test_without_a_hash_the_etag_decides_about_resuming(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000, no_etag=True)]
    assert kit.receive(Expected(bytes=len(payload))).bytes == len(payload)
    assert "range" not in kit.hub.gets()[1].headers
    assert kit.partial == payload


@pytest.mark.parametrize("again", [False, True])
def test_a_flipped_bit_is_found(kit: Kit, payload: bytes, again: bool) -> None:
    kit.hub.lies = [Lie(flip_bit=True)] * (2 if again else 1)
    if not again:
        assert kit.receive(promised(payload)).verified
        assert any("once more" in note for note in kit.progress.notes)
        return
    with pytest.raises(IntegrityError) as caught:
        kit.receive(promised(payload))
    right = hashlib.sha256(payload).hexdigest()
    assert right in caught.value.message
    assert len(set(re.findall(r"[0-9a-f]{64}", caught.value.message))) == 2
    assert not kit.place.partial.exists()
    assert not kit.place.final.exists()


@pytest.mark.parametrize("claim", [100, 10**9])
def test_a_wrong_content_length_never_ends_in_a_file(kit: Kit, payload: bytes, claim: int) -> None:
    kit.hub.always = Lie(claim_bytes=claim)
    with pytest.raises(IntegrityError, match="size"):
        kit.receive(promised(payload))
    assert not kit.place.partial.exists()


def test_one_wrong_answer_does_not_cost_what_is_there(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=2_000_000), Lie(ignore_range=True, body=b"Please sign in.")]
    received = kit.receive(promised(payload))
    assert received.bytes_transferred == len(payload)
    assert kit.hub.gets()[-1].headers["range"] == "bytes=2000000-"


def test_a_body_longer_than_promised_is_refused(kit: Kit, payload: bytes) -> None:
    expected = Expected(len(payload) - 10, promised(payload).sha256)
    with pytest.raises(IntegrityError, match="size"):
        kit.receive(expected)


def test_a_git_hash_checks_a_file_without_sha256(kit: Kit, payload: bytes) -> None:
    git = hashlib.sha1(f"blob {len(payload)}\0".encode() + payload, usedforsecurity=False).hexdigest()
    assert kit.receive(Expected(len(payload), git_sha1=git)).verified
    kit.place.partial.unlink()
    kit.hub.always = Lie(flip_bit=True)
    with pytest.raises(IntegrityError, match="git-hash"):
        kit.receive(Expected(len(payload), git_sha1=git))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_passing_trouble_is_waited_out(kit: Kit, payload: bytes, status: int) -> None:
    kit.hub.lies = [Lie(status=status, headers={"Retry-After": "0"})] * 2
    assert kit.receive(promised(payload)).verified


def test_a_long_retry_after_is_told_instead_of_waited_for(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(status=429, headers={"Retry-After": "1800"})]
    with pytest.raises(RemoteError, match="30 min") as caught:
        kit.receive(promised(payload))
    assert caught.value.reference == "rate-limited"
    assert len(kit.hub.gets()) == 1


def test_trouble_without_end_is_given_up(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(status=503)
    with pytest.raises(RemoteError, match="503"):
        kit.receive(promised(payload))
    assert len(kit.hub.gets()) == QUICK.tries


@pytest.mark.parametrize(
    ("status", "reference"), [(401, "login-required"), (403, "login-required"), (404, "not-found")]
)
def test_a_refusal_is_not_retried(kit: Kit, payload: bytes, status: int, reference: str) -> None:
    kit.hub.always = Lie(status=status)
    with pytest.raises(AccessError) as caught:
        kit.receive(promised(payload))
    assert caught.value.reference == reference
    assert len(kit.hub.gets()) == 1


@pytest.mark.parametrize(
    "page",
    [
        {"headers": {"Content-Type": "text/html; charset=utf-8"}, "body": b"<html>Welcome to the hotel</html>"},
        {"body": b"\n <!DOCTYPE html><title>Sign in</title>" + b" " * 2000},
    ],
)
def test_a_login_page_is_recognised(kit: Kit, payload: bytes, page: dict[str, object]) -> None:
    kit.hub.always = Lie(**page)  # type: ignore[arg-type]  # named fields, checked by the dataclass
    expected = Expected(sha256=promised(payload).sha256)
    with pytest.raises(RemoteError, match="web page") as caught:
        kit.receive(expected)
    assert caught.value.reference == "web-page"
    assert not kit.place.final.exists()


def test_without_a_hash_the_magic_decides(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(body=b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(IntegrityError) as caught:
        kit.receive(Expected())
    assert caught.value.reference == "not-a-model"
    assert not kit.place.partial.exists()


def test_a_recompressed_body_is_refused(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(headers={"Content-Encoding": "gzip"})
    with pytest.raises(RemoteError, match="gzip"):
        kit.receive(promised(payload))


def test_the_token_stays_with_its_origin(kit: Kit, payload: bytes) -> None:
    kit.hub.redirect_host = "localhost"
    assert kit.receive(promised(payload), token="hf_secret").verified
    first, second = kit.hub.gets("/")
    assert first.headers["authorization"] == "Bearer hf_secret"
    assert second.host.startswith("localhost")
    assert "authorization" not in second.headers
    assert "hf_secret" not in kit.place.partial_entry.read_text()
    assert "signature" not in kit.place.partial_entry.read_text()


def test_range_headers_follow_the_redirect(kit: Kit, payload: bytes) -> None:
    kit.hub.redirect_host = "localhost"
    kit.hub.lies = [Lie(cut_after=1_000_000)]
    assert kit.receive(promised(payload)).bytes_transferred == len(payload)
    assert kit.hub.gets("/cdn/")[1].headers["range"] == "bytes=1000000-"


def test_a_mirror_resumes_by_the_hash(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), *[Lie(status=503)] * 3]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    mirror = f"http://localhost:{kit.hub.port}/acme/tiny-GGUF/resolve/main/tiny-Q4_K_M.gguf"
    assert kit.receive(promised(payload), url=mirror).bytes_transferred == len(payload) - 1_000_000


def test_no_space_is_an_error_before_the_first_byte(kit: Kit, payload: bytes) -> None:
    with pytest.raises(NoSpaceError) as caught:
        kit.receive(promised(payload), disk=SmallDisk(free=len(payload)))
    for part in ("3 MB needed", "3 MB free", str(kit.place.partial.parent)):
        assert part in caught.value.message
    assert kit.hub.requests == []


def test_space_for_what_is_there_already_is_not_asked_for_again(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=3_000_000), *[Lie(status=503)] * 3]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    assert kit.receive(promised(payload), disk=SmallDisk(free=len(payload) // 5)).verified


def test_a_disk_that_fills_up_keeps_what_it_has(kit: Kit, payload: bytes) -> None:
    with pytest.raises(NoSpaceError, match="are kept") as caught:
        kit.receive(promised(payload), disk=SmallDisk(full_after=2_000_000))
    assert "again" in caught.value.hint
    kept = len(kit.partial)
    assert 1_000_000 < kept <= 2_000_000
    assert kit.receive(promised(payload)).bytes_transferred == len(payload) - kept


def test_a_corrupted_partial_does_not_survive(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=2_000_000), *[Lie(status=503)] * 3]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    damaged = bytearray(kit.partial)
    damaged[1000] ^= 255
    kit.place.partial.write_bytes(damaged)
    assert kit.receive(promised(payload)).verified
    assert kit.partial == payload


@pytest.mark.parametrize("note", [b"", b"{", b"[1]", b'{"url": 3}', b"\xff\xfe"])
def test_a_partial_whose_note_cannot_be_read_is_not_trusted(kit: Kit, payload: bytes, note: bytes) -> None:
    kit.place.partial.parent.mkdir(parents=True)
    kit.place.partial.write_bytes(b"GGUF" + b"\0" * 1000)
    kit.place.partial_entry.write_bytes(note)
    assert kit.receive(promised(payload)).verified
    assert "range" not in kit.hub.gets()[0].headers


class StopItError(Exception):
    pass


@pytest.mark.parametrize("when", ["flowing", "stalled", "waiting"])
def test_cancelling_is_quick_and_keeps_the_bytes(kit: Kit, payload: bytes, when: str) -> None:
    kit.hub.lies = {
        "flowing": [Lie()],
        "stalled": [Lie(stall_after=1_000_000)],
        "waiting": [Lie(cut_after=1_000_000), Lie(status=503, headers={"Retry-After": "30"})],
    }[when]
    stopping = threading.Event()

    def stop(phase: Phase, done: int) -> None:
        if done >= 1_000_000 and stopping.is_set():
            raise StopItError
        if done >= 1_000_000:
            stopping.set()

    kit.progress.on_update = stop
    began = time.monotonic()
    with pytest.raises(StopItError):
        kit.receive(promised(payload))
    assert time.monotonic() - began < 20
    kit.progress.on_update = lambda _phase, _done: None
    kit.hub.lies = []
    assert kit.receive(promised(payload)).bytes_transferred <= len(payload) - 1_000_000


def test_a_store_that_cannot_be_written_is_said_so(kit: Kit, payload: bytes) -> None:
    kit.config.data_dir.mkdir(parents=True)
    (kit.config.data_dir / "models").write_text("in the way")
    with pytest.raises(UsageError) as caught:
        kit.receive(promised(payload))
    assert caught.value.reference == "store-not-writable"


def test_a_redirect_to_plain_http_elsewhere_is_refused(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(status=302, headers={"Location": "http://models.example/tiny.gguf"})
    with pytest.raises(RemoteError) as caught:
        kit.receive(promised(payload))
    assert caught.value.reference == "insecure-url"
    assert len(kit.hub.gets()) == 1


@pytest.mark.parametrize("connections", [1, 4])
def test_redirects_that_lead_round_in_a_circle_end(kit: Kit, payload: bytes, connections: int) -> None:
    kit.hub.always = Lie(status=302, headers={"Location": kit.url})
    with pytest.raises(RemoteError) as caught:
        kit.receive(promised(payload), pace=Pace(connections=connections, parallel_from_bytes=1, piece_bytes=10**6))
    assert caught.value.reference == "redirect-refused"
    assert len(kit.hub.gets()) <= 6


def test_a_slow_drip_is_waited_for_while_bytes_flow(kit: Kit, payload: bytes) -> None:
    server = SlowServer(payload, bytes_per_s=2e6)
    try:
        assert kit.receive(promised(payload), url=server.url).verified
    finally:
        server.close()
    assert len(server.sent) == 1


def test_a_rate_limit_does_not_look_like_a_stall(kit: Kit, payload: bytes) -> None:
    small = payload[:400_000]
    kit.hub.files["tiny-Q4_K_M.gguf"] = small
    assert kit.receive(promised(small), pace=Pace(limit_bytes_per_s=400_000)).verified
    assert len(kit.hub.gets()) == 1


def test_free_space_is_that_of_the_nearest_existing_folder(tmp_path: Path) -> None:
    missing = tmp_path / "a" / "b" / "c"
    assert abs(Disk().free_bytes(missing) - shutil.disk_usage(tmp_path).free) < 2**30
