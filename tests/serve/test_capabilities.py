"""What a binary says it can do, and which engine is taken for it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from planner.core.launch.launch_plan import EngineKind
from planner.errors import EngineError, UsageError
from planner.serve.engine.capabilities import (
    FLOOR_BUILD,
    Capabilities,
    parse_flags,
    parse_version,
    probe_binary,
    remember_wrong_cpu,
)
from planner.serve.engine.choice import Sources, choose_engine
from planner.serve.engine.failure import LaunchError
from tests.serve.fake_engine import install


@pytest.mark.parametrize(
    ("text", "version", "build"),
    [
        ("version: 11434 (8f3c1ab)\nbuilt with GCC 13", "11434", 11434),
        ("version: 0.6.0-dev (build 0, commit unknown)", "0.6.0-dev", None),
        ("version: 0.1.0-dev (build 1)", "0.1.0-dev", None),
        ("version: 0.6.1 (build 11500, commit abc)", "0.6.1", 11500),
        ("llamafile v0.10.6", "0.10.6", None),
        ("", "", None),
        ("something else entirely", "", None),
    ],
)
def test_versions_as_builds_print_them(text: str, version: str, build: int | None) -> None:
    assert parse_version(text) == (version, build)


def test_flags_are_whole_words() -> None:
    flags = parse_flags("-fa,   --flash-attn [on|off]\n--no-webui, --no-ui\n  see x--not-a-flag and ---neither")
    assert flags >= {"--flash-attn", "--no-webui", "--no-ui"}
    assert "--flash" not in flags
    assert "--not-a-flag" not in flags


@pytest.mark.parametrize(
    ("version", "build", "below"),
    [
        ("11434", 11434, False),
        ("9000", 9000, True),
        (str(FLOOR_BUILD), FLOOR_BUILD, False),
        ("0.6.0-dev", None, False),
        ("0.5.0", None, None),
        ("", None, None),
    ],
)
def test_the_floor_is_judged_by_build_and_not_guessed(version: str, build: int | None, below: bool | None) -> None:
    assert Capabilities(version=version, build=build, flags=frozenset()).below_floor is below


def test_a_binary_is_asked_once_per_content(tmp_path: Path) -> None:
    binary = install(tmp_path / "bin/llama-server", "ready")
    asked: list[Sequence[str]] = []

    def run(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        assert "HF_TOKEN" not in environ
        asked.append(argv)
        text = {
            "--version": "version: 11434 (x)",
            "--help": "--host --port --api-key-file --ctx-size --alias",
        }
        return 0, text.get(argv[-1], "")

    environ = {"PATH": "/bin", "HF_TOKEN": "secret"}
    first = probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path, environ=environ, run=run)
    calls = len(asked)
    again = probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path, environ=environ, run=run)
    assert again == first
    assert len(asked) == calls
    binary.write_text(binary.read_text() + "\n# updated\n")
    probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path, environ=environ, run=run)
    assert len(asked) == 2 * calls


def test_a_real_program_is_asked(tmp_path: Path) -> None:
    binary = install(tmp_path / "bin/llama-server", "ready")
    found = probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path)
    assert (found.build, found.devices) == (11434, ())
    assert "--api-key-file" in found.flags


def test_a_binary_that_died_of_its_instructions_is_not_tried_again(tmp_path: Path) -> None:
    binary = install(tmp_path / "bin/llama-server", "illegal")
    probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path)
    remember_wrong_cpu(binary, cache_dir=tmp_path)
    with pytest.raises(LaunchError) as caught:
        probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path)
    assert caught.value.reference == "engine-wrong-cpu"


def _no_permission(path: Path) -> Path:
    binary = install(path / "llama-server", "ready")
    binary.chmod(0o644)
    return binary


def _garbage(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    binary = path / "llama-server"
    binary.write_bytes(b"\x7fELF\x02garbage")
    binary.chmod(0o755)
    return binary


@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (lambda path: path / "missing", "engine-missing"),
        (lambda path: path, "engine-not-executable"),
        (_no_permission, "engine-not-executable"),
        (_garbage, "engine-wrong-platform"),
        (lambda path: install(path / "llama-server", "old-flags"), "engine-too-old"),
    ],
)
def test_what_is_no_usable_engine_is_told_apart(tmp_path: Path, make: Callable[[Path], Path], reference: str) -> None:
    (tmp_path / "bin").mkdir()
    with pytest.raises(LaunchError) as caught:
        probe_binary(EngineKind.LLAMA_SERVER, make(tmp_path / "bin"), cache_dir=tmp_path)
    assert caught.value.reference == reference
    assert caught.value.hint


def test_a_folder_and_a_missing_file_given_as_the_engine_get_their_own_advice(tmp_path: Path) -> None:
    sources = Sources(cache_dir=tmp_path)
    with pytest.raises(LaunchError, match="is a folder") as caught:
        choose_engine("auto", sources, path=tmp_path)
    assert "chmod" not in caught.value.hint
    with pytest.raises(LaunchError, match="There is no program") as caught:
        choose_engine("auto", sources, path=tmp_path / "missing")
    assert "Check the path" in caught.value.hint


def test_a_program_that_fails_when_asked_is_to_be_asked_by_hand(tmp_path: Path) -> None:
    binary = install(tmp_path / "bin/llama-server", "ready")
    with pytest.raises(LaunchError, match="exit code 7") as caught:
        probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path, run=lambda _argv, _environ: (7, "boo"))
    assert f"{binary} --version" in caught.value.hint
    assert "planner logs" not in caught.value.hint


def test_a_broken_cache_is_asked_again(tmp_path: Path) -> None:
    binary = install(tmp_path / "bin/llama-server", "ready")
    first = probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path)
    for path in (tmp_path / "engines").iterdir():
        path.write_text("{not json")
    assert probe_binary(EngineKind.LLAMA_SERVER, binary, cache_dir=tmp_path) == first


class Machine:
    """A machine with some engines on it."""

    def __init__(self, folder: Path, *there: str, gpu: bool = False) -> None:
        self.folder = folder
        self.there = there
        self.devices = ("CUDA0: card",) if gpu else ()

    @property
    def sources(self) -> Sources:
        def fetched() -> Path:
            if "fetchable" not in self.there:
                raise EngineError("No network.", reference="network")
            return self.folder / "fetched-llamafile"

        return Sources(
            cache_dir=self.folder,
            cached_llamafile=lambda: self.folder / "cached-llamafile" if "cached" in self.there else None,
            fetch_llamafile=fetched,
            which=lambda name: f"/usr/bin/{name}" if "path" in self.there else None,
            embedded=lambda: "2026.10.11549" if "embedded" in self.there else None,
            embedded_devices=lambda: (),
            probe=self.probe,
        )

    def probe(self, kind: EngineKind, _binary: Path, *, cache_dir: Path) -> Capabilities:
        assert cache_dir == self.folder
        if "broken" in self.there and kind is EngineKind.LLAMA_SERVER:
            raise LaunchError("It needs libfoo.so.", hint="Install it.")
        return Capabilities(version="11434", build=11434, flags=frozenset(), devices=self.devices)


@pytest.mark.parametrize(
    ("there", "starter", "kind"),
    [
        (("cached", "path", "embedded"), False, EngineKind.LLAMAFILE),
        (("fetchable", "path", "embedded"), False, EngineKind.LLAMAFILE),
        (("path", "embedded"), False, EngineKind.LLAMA_SERVER),
        (("embedded",), False, EngineKind.EMBEDDED),
        (("path", "broken", "embedded"), False, EngineKind.EMBEDDED),
        (("cached", "path", "embedded"), True, EngineKind.EMBEDDED),
        (("fetchable", "path"), True, EngineKind.LLAMA_SERVER),
        (("fetchable",), True, EngineKind.LLAMAFILE),
    ],
)
def test_the_automatic_choice(tmp_path: Path, there: tuple[str, ...], starter: bool, kind: EngineKind) -> None:
    engine = choose_engine("auto", Machine(tmp_path, *there).sources, starter=starter)
    assert engine.kind is kind
    assert engine.reason
    if "broken" in there:
        assert any("libfoo" in note for note in engine.notes)


def test_an_engine_without_the_planned_gpu_is_passed_over(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="sees no GPU") as caught:
        choose_engine("auto", Machine(tmp_path, "path", "embedded").sources, needs_gpu=True)
    assert "--ram SIZE" in caught.value.hint
    engine = choose_engine("auto", Machine(tmp_path, "path", "embedded", gpu=True).sources, needs_gpu=True)
    assert engine.kind is EngineKind.LLAMA_SERVER


@pytest.mark.parametrize("wanted", ["auto", "llamafile", "llama-server", "embedded"])
def test_no_engine_at_all_says_how_to_get_one(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(EngineError) as caught:
        choose_engine(wanted, Machine(tmp_path).sources)
    assert caught.value.hint or "network" in caught.value.reference


def test_a_given_path_decides_and_its_kind_is_seen_in_the_file(tmp_path: Path) -> None:
    llamafile = tmp_path / "anything"
    llamafile.write_bytes(b"MZqFpD='\n\n")
    sources = Machine(tmp_path, "embedded").sources
    assert choose_engine("auto", sources, path=llamafile).kind is EngineKind.LLAMAFILE
    llamafile.write_bytes(b"\x7fELF")
    assert choose_engine("auto", sources, path=llamafile).kind is EngineKind.LLAMA_SERVER
    with pytest.raises(UsageError):
        choose_engine("embedded", sources, path=llamafile)
    with pytest.raises(UsageError):
        choose_engine("ollama", sources)


def test_an_engine_below_the_floor_is_told_so(tmp_path: Path) -> None:
    old = install(tmp_path / "bin/llama-server", "old-build")
    engine = choose_engine("auto", Sources(cache_dir=tmp_path, embedded=lambda: None), path=old)
    assert any(f"b{FLOOR_BUILD}" in note for note in engine.notes)
    new = install(tmp_path / "new/llama-server", "ready")
    assert choose_engine("auto", Sources(cache_dir=tmp_path), path=new).notes == ()


def test_an_engine_that_cannot_keep_to_the_plan_is_passed_over(tmp_path: Path) -> None:
    sources = Machine(tmp_path, "path", "embedded").sources
    engine = choose_engine("auto", sources, needs_flags=frozenset({"--flag-of-tomorrow"}))
    assert engine.kind is EngineKind.EMBEDDED
    assert any("--flag-of-tomorrow" in note for note in engine.notes)
