"""What the tests of this room share: the lying Hub, its one file, a store, progress that remembers."""

import base64
import hashlib
import importlib.util
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from planner.config import Config
from planner.core.models.model import Artifact, Commercial, Licence, Model, Role, Variant
from planner.core.values import Digest, RepoId, RepoPath
from planner.fetch.progress import Phase
from tests.fetch.lying_hub import FILE, REPO, LyingHub


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
