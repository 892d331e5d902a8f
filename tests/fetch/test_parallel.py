"""Large files in pieces over several connections, against a server that misbehaves."""

import hashlib
import threading
from pathlib import Path

import pytest

from planner.config import Config
from planner.core.values import Digest, RepoPath
from planner.errors import IntegrityError, NoSpaceError, RemoteError
from planner.fetch.disk import Disk, used_bytes
from planner.fetch.download import Downloader
from planner.fetch.piece_map import PieceMap
from planner.fetch.remote import Pace, Patience, Received, Remote
from planner.fetch.store import Expected, Place, Store
from planner.net.http import make_session
from tests.fetch.conftest import Recorder
from tests.fetch.lying_hub import Lie, LyingHub
from tests.fetch.small_disk import SmallDisk

QUICK = Patience(stall_s=0.5, tries=3, pause_base_s=0.01)
PIECE = 400_000
FOUR = Pace(connections=4, parallel_from_bytes=1_000_000, piece_bytes=PIECE)


class Kit:
    """A server, a place in a store, and a download in pieces from one to the other."""

    def __init__(self, hub: LyingHub, config: Config, progress: Recorder) -> None:
        self.hub = hub
        self.config = config
        self.progress = progress
        self.place: Place = Store(config.models_dir).place_at("acme--tiny-GGUF", RepoPath("tiny-Q4_K_M.gguf"))

    @property
    def url(self) -> str:
        return f"{self.hub.url}/acme/tiny-GGUF/resolve/main/tiny-Q4_K_M.gguf"

    def receive(
        self, expected: Expected, *, token: str | None = None, disk: Disk | None = None, pace: Pace = FOUR
    ) -> Received:
        with make_session(self.config, tries=1) as session:
            downloader = Downloader(session, progress=self.progress, disk=disk, patience=QUICK, pace=pace)
            return downloader.receive(Remote(self.url, expected, token=token), self.place)

    @property
    def ranges(self) -> list[str | None]:
        return [seen.headers.get("range") for seen in self.hub.gets()]


@pytest.fixture
def kit(hub: LyingHub, config: Config, progress: Recorder) -> Kit:
    return Kit(hub, config, progress)


def promised(data: bytes) -> Expected:
    return Expected(len(data), Digest(hashlib.sha256(data).hexdigest()))


def test_a_large_file_comes_in_pieces_and_every_byte_once(kit: Kit, payload: bytes) -> None:
    received = kit.receive(promised(payload))
    assert kit.place.partial.read_bytes() == payload
    assert received == Received(len(payload), promised(payload).sha256, True, len(payload))  # type: ignore[arg-type]
    assert sorted(kit.ranges, key=str) == sorted(
        (f"bytes={at}-{min(at + PIECE, len(payload)) - 1}" for at in range(0, len(payload), PIECE)), key=str
    )


@pytest.mark.parametrize(
    "pace", [Pace(connections=1, parallel_from_bytes=1), Pace(parallel_from_bytes=10**8), Pace(piece_bytes=10**8)]
)
def test_a_small_file_or_one_connection_needs_one_request(kit: Kit, payload: bytes, pace: Pace) -> None:
    assert kit.receive(promised(payload), pace=pace).verified
    assert kit.ranges == [None]


def test_without_a_hash_nothing_is_put_together_from_pieces(kit: Kit, payload: bytes) -> None:
    assert kit.receive(Expected(bytes=len(payload))).bytes == len(payload)
    assert kit.ranges == [None]


def test_a_server_without_ranges_is_read_over_one_connection(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(ignore_range=True)
    received = kit.receive(promised(payload))
    assert kit.place.partial.read_bytes() == payload
    assert received.bytes_transferred == len(payload)
    assert len(kit.ranges) == 2
    assert not kit.place.partial_map.exists()


def test_cut_pieces_go_on_where_they_broke(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=100_000) for _ in range(12)]
    received = kit.receive(promised(payload))
    assert kit.place.partial.read_bytes() == payload
    assert received.bytes_transferred == len(payload)


def test_another_run_fetches_only_what_is_missing(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(), Lie(cut_after=100_000), Lie(cut_after=50_000), *[Lie(status=503)] * 30]
    with pytest.raises(RemoteError, match="are kept"):
        kit.receive(promised(payload))
    kept = PieceMap.read(kit.place.partial_map, total_bytes=len(payload), file_bytes=kit.place.partial.stat().st_size)
    assert kept is not None

    assert kept.done_bytes >= PIECE
    kit.hub.lies = []
    assert kit.receive(promised(payload)).bytes_transferred == len(payload) - kept.done_bytes
    assert kit.place.partial.read_bytes() == payload


@pytest.mark.parametrize("pace", [Pace(connections=1), Pace(connections=2)])
def test_pieces_are_finished_by_a_run_with_fewer_connections(kit: Kit, payload: bytes, pace: Pace) -> None:
    kit.hub.lies = [Lie(), *[Lie(status=503)] * 30]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    kit.hub.lies = []
    assert kit.receive(promised(payload), pace=pace).bytes_transferred == len(payload) - PIECE
    assert kit.place.partial.read_bytes() == payload


def test_what_one_connection_began_several_finish(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(cut_after=1_000_000), *[Lie(status=503)] * 3]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload), pace=Pace(connections=1))
    before = len(kit.ranges)
    assert kit.receive(promised(payload)).bytes_transferred == len(payload) - 1_000_000
    assert kit.place.partial.read_bytes() == payload
    assert "bytes=1000000-1199999" in kit.ranges[before:]


def test_a_stalled_piece_is_asked_for_anew_while_the_others_flow(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(), Lie(stall_after=100_000), Lie(stall_after=0)]
    assert kit.receive(promised(payload)).bytes_transferred == len(payload)
    assert kit.place.partial.read_bytes() == payload


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_wants_less_gets_fewer_connections(kit: Kit, payload: bytes, status: int) -> None:
    kit.hub.lies = [Lie(), *[Lie(status=status, headers={"Retry-After": "0"})] * 3]
    assert kit.receive(promised(payload)).verified


def test_a_long_retry_after_is_told(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(), Lie(status=429, headers={"Retry-After": "1800"})]
    with pytest.raises(RemoteError, match="30 min"):
        kit.receive(promised(payload))


def test_a_file_replaced_meanwhile_is_not_mixed(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(), Lie(etag='"other"')]  # If-Range makes it a 200
    assert kit.receive(promised(payload)).verified
    assert kit.place.partial.read_bytes() == payload
    assert any("if-range" in seen.headers for seen in kit.hub.gets())


@pytest.mark.parametrize("again", [False, True])
def test_a_flipped_bit_in_a_piece_is_found(kit: Kit, payload: bytes, again: bool) -> None:
    kit.hub.lies = [Lie(), Lie(flip_bit=True)]
    if again:
        kit.hub.always = Lie(flip_bit=True)
        with pytest.raises(IntegrityError, match="twice"):
            kit.receive(promised(payload))
        assert not kit.place.partial.exists()
        assert not kit.place.partial_map.exists()
    else:
        assert kit.receive(promised(payload)).verified


def test_a_server_that_announces_another_size_is_not_believed(kit: Kit, payload: bytes) -> None:
    with pytest.raises(IntegrityError, match="size"):
        kit.receive(Expected(len(payload) + 5, promised(payload).sha256))


@pytest.mark.parametrize("shift", [-5, 7])
def test_a_wrong_content_range_is_left_to_one_connection(kit: Kit, payload: bytes, shift: int) -> None:
    kit.hub.lies = [Lie(), Lie(shift_range=shift)]
    assert kit.receive(promised(payload)).verified
    assert kit.place.partial.read_bytes() == payload


def test_a_redirect_is_asked_for_once_and_the_token_stays_home(kit: Kit, payload: bytes) -> None:
    kit.hub.redirect_host = "localhost"
    assert kit.receive(promised(payload), token="hf_secret").verified
    home = [seen for seen in kit.hub.requests if seen.host.startswith("127.0.0.1")]
    assert len(home) == 1
    assert home[0].headers["authorization"] == "Bearer hf_secret"
    assert not any("authorization" in seen.headers for seen in kit.hub.gets("/cdn/"))


def test_a_link_that_ran_out_is_renewed(kit: Kit, payload: bytes) -> None:
    kit.hub.redirect_host = "localhost"
    kit.hub.lies = [Lie(), Lie(), Lie(status=403)]
    assert kit.receive(promised(payload)).bytes_transferred == len(payload)
    assert len([seen for seen in kit.hub.requests if seen.host.startswith("127.0.0.1")]) >= 2


@pytest.mark.parametrize("damage", [b"", b"PLNPART1", b"\xff" * 80, None])
def test_a_map_that_cannot_be_right_means_starting_again(kit: Kit, payload: bytes, damage: bytes | None) -> None:
    kit.hub.lies = [Lie(), *[Lie(status=503)] * 30]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    raw = kit.place.partial_map.read_bytes()
    kit.place.partial_map.write_bytes(raw[:-8] + b"\x00\x00\x01\x00\x00\x00\x00\x00" if damage is None else damage)
    kit.hub.lies = []
    assert kit.receive(promised(payload)).bytes_transferred == len(payload)
    assert any("starting again" in note for note in kit.progress.notes)


def test_a_disk_that_fills_up_keeps_what_it_has(kit: Kit, payload: bytes) -> None:
    with pytest.raises(NoSpaceError, match="are kept") as caught:
        kit.receive(promised(payload), disk=SmallDisk(full_after=2_000_000))
    assert "again" in caught.value.hint
    assert kit.receive(promised(payload)).bytes_transferred <= len(payload) - 1_500_000


def test_room_is_asked_for_what_is_missing_not_for_the_holes(kit: Kit, payload: bytes) -> None:
    kit.hub.lies = [Lie(), *[Lie(status=503)] * 30]
    with pytest.raises(RemoteError):
        kit.receive(promised(payload))
    kit.hub.lies = []
    with pytest.raises(NoSpaceError):
        kit.receive(promised(payload), disk=SmallDisk(free=len(payload) // 2))
    assert kit.receive(promised(payload), disk=SmallDisk(free=len(payload))).verified


def test_cancelling_ends_every_connection(kit: Kit, payload: bytes) -> None:
    kit.hub.always = Lie(stall_after=100_000)

    class StopItError(Exception):
        pass

    def stop(_phase: object, done: int) -> None:
        if done >= 200_000:
            raise StopItError

    kit.progress.on_update = stop
    with pytest.raises(StopItError):
        kit.receive(promised(payload))
    kit.hub.released.set()
    for thread in threading.enumerate():
        if thread.name in {"download", "hash"}:
            thread.join(5)
            assert not thread.is_alive()


def test_a_file_with_holes_counts_by_what_it_takes(tmp_path: Path) -> None:
    path = tmp_path / "holes"
    with path.open("wb") as file:
        file.seek(10_000_000)
        file.write(b"x")
    assert used_bytes(path) <= 10_000_001
    assert used_bytes(tmp_path / "none") == 0


@pytest.mark.parametrize("have", [0, 1, PIECE, PIECE + 7])
def test_a_map_counts_what_was_there_before(tmp_path: Path, have: int) -> None:
    path = tmp_path / "map"
    pieces = PieceMap.begin(path, total_bytes=3 * PIECE + 1, piece_bytes=PIECE, have_bytes=have, disk=Disk())
    assert pieces.frontier_bytes == pieces.done_bytes == have
    pieces.add(pieces.missing[-1], 1)
    pieces.close()
    again = PieceMap.read(path, total_bytes=3 * PIECE + 1, file_bytes=3 * PIECE + 1)
    assert again is not None

    assert (again.done_bytes, again.frontier_bytes) == (have + 1, have)
