"""A disk that really is full: 16 MiB of tmpfs, where the system lets us mount one."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.config import Config
from planner.core.values import Digest, RepoPath
from planner.errors import NoSpaceError
from planner.fetch.download import Downloader
from planner.fetch.progress import Phase
from planner.fetch.remote import Pace, Remote
from planner.fetch.store import Expected, Place, Store
from planner.net.http import make_session
from tests.fetch.lying_hub import FILE, LyingHub

DATA = b"GGUF" + b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(300_000))
PACES = [Pace(connections=1), Pace(connections=4, parallel_from_bytes=1, piece_bytes=2_000_000)]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 16 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    if sys.platform != "linux" or mount is None:
        pytest.skip("no tmpfs here; test_download tries a full disk at the seam")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not allowed; test_download tries a full disk at the seam")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607  # where mount is


class Filler:
    """Progress that lets somebody else fill the disk after two megabytes."""

    def __init__(self, folder: Path) -> None:
        self.other = folder / "other"

    def update(self, phase: Phase, done_bytes: int, total_bytes: int | None) -> None:
        if phase is Phase.DOWNLOADING and done_bytes > 2_000_000 and not self.other.exists():
            self.other.write_bytes(bytes(10 * 2**20))

    def note(self, text: str) -> None:
        pass


@pytest.mark.parametrize("pace", PACES)
def test_a_disk_filled_by_others_stops_it_and_the_same_command_goes_on(
    small: Path, hub: LyingHub, config: Config, pace: Pace
) -> None:
    hub.files[FILE] = DATA
    expected = Expected(len(DATA), Digest(hashlib.sha256(DATA).hexdigest()))
    place: Place = Store(small).place_at("acme--tiny", RepoPath("tiny.gguf"))
    remote = Remote(f"{hub.url}/acme/tiny-GGUF/resolve/main/{FILE}", expected)
    filler = Filler(small)
    with make_session(config, tries=1) as session:
        with pytest.raises(NoSpaceError, match="are kept") as caught:
            Downloader(session, progress=filler, pace=pace).receive(remote, place)
        assert "again" in caught.value.hint
        filler.other.write_bytes(b"")
        received = Downloader(session, progress=filler, pace=pace).receive(remote, place)
    assert received.bytes_transferred < len(DATA) - 2_000_000
    assert place.partial.read_bytes() == DATA
