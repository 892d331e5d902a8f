"""Downloads over several processes: cut, killed, or two at once."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.pull_the_plug import SlowServer, finish, kill_again_and_again, start_fetch

DATA = b"GGUF" + b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(150_000))
CHUNK_BYTES = 2**20


@pytest.fixture
def server() -> Iterator[SlowServer]:
    server = SlowServer(DATA)
    yield server
    server.close()


def test_cut_at_every_tenth_a_new_process_goes_on_there(server: SlowServer, tmp_path: Path) -> None:
    for tenth in range(1, 10):
        server.cut_at = len(DATA) * tenth // 10
        assert finish(start_fetch(server, tmp_path, connections=1, tries=1)) is None
    server.cut_at = None
    last = finish(start_fetch(server, tmp_path, connections=1))
    assert last is not None
    assert Path(str(last["path"])).read_bytes() == DATA
    assert server.sent_bytes - len(DATA) <= CHUNK_BYTES
    starts = [sent.start for sent in server.sent]
    assert starts == [len(DATA) * tenth // 10 for tenth in range(10)]


def test_killed_at_random_moments_it_ends_in_the_right_file(tmp_path: Path) -> None:
    outcome = kill_again_and_again(8, seed=7, folder=tmp_path)
    assert outcome.kills == 8


def test_two_processes_at_once_fetch_it_once(tmp_path: Path) -> None:
    server = SlowServer(DATA, bytes_per_s=10e6)
    try:
        processes = [start_fetch(server, tmp_path, connections=4) for _ in range(2)]
        answers = [finish(process) for process in processes]
    finally:
        server.close()
    transferred = sorted(int(str(answer["transferred"])) for answer in answers if answer is not None)
    assert transferred == [0, len(DATA)]
    assert server.sent_bytes == len(DATA)
