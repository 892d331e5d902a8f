"""llamafile 0.10 as documented: planner's arguments against its flag list, and what may be built into one."""

import itertools
import os
import re
from pathlib import Path

import msgspec
import pytest

from planner.core.launch.launch_plan import EngineKind, ProcessPlan, engine_argv
from planner.core.machines.hardware import Backend
from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.engine.built_in import built_in_arguments
from planner.serve.engine.capabilities import parse_flags, probe_binary
from planner.serve.engine.choice import Sources, choose_engine, find_program
from planner.serve.engine.engines import Files, make_command
from planner.serve.engine.environment import engine_environment
from tests.serve import standin_llamafile
from tests.serve.fake_engine import install as install_fake
from tests.serve.plans import process
from tests.serve.standin_llamafile import RefusedError, install, parse

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
HELP = "\n".join(", ".join(names.split()) for names in standin_llamafile.SERVER)
DOCS = (Path(__file__).parents[2] / "docs/engines.md").read_text(encoding="utf-8")


def argv(plan: ProcessPlan) -> list[str]:
    made = engine_argv(
        EngineKind.LLAMAFILE, plan, binary="/e/llamafile", model_path="/m/x.gguf", key_file="/d/engine.key",
        flags=parse_flags(HELP),
    )  # fmt: skip
    assert made[:2] == ("/bin/sh", "/e/llamafile")
    return list(made[2:])


def plans() -> list[ProcessPlan]:
    found = []
    for role, backend, threads in itertools.product(Role, Backend, (None, 3)):
        layers = 0 if backend is Backend.CPU else 13
        plan = msgspec.structs.replace(process(role, layers=layers, threads=threads), backend=backend)
        found.append(plan)
        if layers:
            found.append(msgspec.structs.replace(plan, tensor_split=(0.5, 0.5), n_cpu_moe=2))
            settings = msgspec.structs.replace(plan.settings, kv_offload=False, parallel=4)
            found.append(msgspec.structs.replace(plan, settings=settings))
    return found


@pytest.mark.parametrize("plan", plans(), ids=lambda plan: f"{plan.role.value}-{plan.backend.value}")
def test_every_argument_is_one_that_llamafile_0_10_documents(plan: ProcessPlan) -> None:
    given = parse(argv(plan))
    assert given["--server"] == "on"
    assert given["--host"] == "127.0.0.1"
    assert given["--port"] == "0"
    assert given["--api-key-file"] == "/d/engine.key"
    assert given["--fit"] == "off"
    assert (given["--gpu"] == "disable") == (plan.backend is Backend.CPU)
    assert given["--n-gpu-layers"] == str(plan.n_gpu_layers)
    assert ("--embeddings" in given) == (plan.role is Role.EMBEDDING)
    assert "--api-key" not in given


def test_what_0_10_does_not_know_is_refused_by_the_stand_in() -> None:
    for flag in ("--nobrowser", "--v2", "--log-jsonl", "--load-mode", "--tools"):
        with pytest.raises(RefusedError, match=f"invalid argument: {flag}"):
            parse(["--server", flag])
    with pytest.raises(RefusedError, match="--gpu cuda is not one of"):
        parse(["--gpu", "cuda"])


def test_the_flags_of_the_stand_in_are_the_documented_ones() -> None:
    _, _, section = DOCS.partition("## The flags of llamafile 0.10")
    section, _, _ = section.partition("\n## ")
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)`", section))
    assert documented == set(standin_llamafile.FLAGS)


def test_a_llamafile_is_asked_in_server_mode_and_runs_shielded(tmp_path: Path) -> None:
    binary = install(tmp_path / "engine.llamafile")
    found = probe_binary(EngineKind.LLAMAFILE, binary, cache_dir=tmp_path)
    assert (found.version, found.build) == ("0.10.6", None)
    assert {"--embeddings", "--gpu", "--api-key-file"} <= found.flags
    engine = choose_engine("auto", Sources(cache_dir=tmp_path), path=binary)
    assert engine.kind is EngineKind.LLAMAFILE
    assert engine.shielded
    assert "never with --no-gateway" in " ".join(engine.notes)
    for wish in ("--no-gateway", "--host"):
        with pytest.raises(EngineError) as caught:
            choose_engine("auto", Sources(cache_dir=tmp_path), path=binary, unshielded=wish)
        assert caught.value.reference == "engine-shielded"
        assert wish in caught.value.message


def test_auto_passes_over_an_engine_that_has_to_be_shielded(tmp_path: Path) -> None:
    binary = install(tmp_path / "engine.llamafile")
    sources = Sources(
        cache_dir=tmp_path, cached_llamafile=lambda: binary, which=lambda _: None, embedded=lambda: "2026.10.11549"
    )
    assert choose_engine("auto", sources).kind is EngineKind.LLAMAFILE
    engine = choose_engine("auto", sources, unshielded="--no-gateway")
    assert engine.kind is EngineKind.EMBEDDED
    assert not engine.shielded
    assert any("Passed over" in note and "--no-gateway" in note for note in engine.notes)


@pytest.mark.parametrize(("mode", "shielded"), [("old-build", True), ("unnumbered", True), ("ready", False)])
def test_a_llama_server_is_shielded_unless_it_is_known_to_be_safe(tmp_path: Path, mode: str, shielded: bool) -> None:
    binary = install_fake(tmp_path / "llama-server", mode)
    engine = choose_engine("auto", Sources(cache_dir=tmp_path), path=binary)
    assert engine.shielded is shielded


@pytest.mark.parametrize("version", ["0.8.4", "0.9.3"])
def test_an_old_llamafile_is_not_run(tmp_path: Path, version: str) -> None:
    binary = install(tmp_path / "old.llamafile", version=version)
    with pytest.raises(EngineError) as caught:
        choose_engine("auto", Sources(cache_dir=tmp_path), path=binary)
    assert caught.value.reference == "engine-too-old"
    assert f"llamafile {version}" in caught.value.message


def test_built_in_arguments_that_ours_name_again_are_said_and_overridden(tmp_path: Path) -> None:
    lines = ("--server", "-m", "/zip/model.gguf", "--host", "0.0.0.0", "--port", "9999", "-c", "128", "...")  # noqa: S104
    binary = install(tmp_path / "engine.llamafile", arguments=lines)
    assert built_in_arguments(binary) == lines
    engine = choose_engine("auto", Sources(cache_dir=tmp_path), path=binary)
    assert any("--port 9999" in note and "come after them" in note for note in engine.notes)
    given = parse([*(line for line in lines if line != "..."), *argv(process())])
    assert (given["--host"], given["--port"], given["--ctx-size"]) == ("127.0.0.1", "0", "512")
    assert given["--model"] == "/m/x.gguf"


@pytest.mark.parametrize(
    "lines",
    [
        ("--api-key", "of-somebody-else"),
        ("--slot-save-path", "/tmp"),  # that is the point
        ("--props",),
        ("--path=/etc",),
        ("--tools", "all"),
        ("--embeddings",),
    ],
    ids=lambda lines: lines[0],
)
def test_built_in_arguments_that_would_stay_in_force_are_refused_before_anything_runs(
    tmp_path: Path, lines: tuple[str, ...]
) -> None:
    binary = install(tmp_path / "engine.llamafile", arguments=("-c", "128", *lines, "..."))
    # It must not even be asked its version: the arguments would count for that, too.
    sources = Sources(cache_dir=tmp_path, probe=lambda *_, **__: pytest.fail("it was started"))
    with pytest.raises(EngineError) as caught:
        choose_engine("auto", sources, path=binary)
    assert caught.value.reference == "engine-arguments"
    assert lines[0].partition("=")[0] in caught.value.message


def test_a_path_with_an_at_sign_is_not_given_to_a_llamafile(tmp_path: Path) -> None:
    engine = choose_engine("auto", Sources(cache_dir=tmp_path), path=install(tmp_path / "engine.llamafile"))
    files = Files(model=Path("/home/me@work/x.gguf"), key=tmp_path, config_home=tmp_path, temp=tmp_path)
    with pytest.raises(EngineError) as caught:
        make_command(engine, process(), files=files, api_key="k", token="t", environ={})
    assert caught.value.reference == "engine-path"


def test_the_folder_one_stands_in_provides_no_program_and_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(tmp_path / "llama-server", "ready")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{os.pathsep}.{os.pathsep}relative")
    assert find_program("llama-server") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("llama-server") == str(tmp_path / "llama-server")
    hostile = {"PATH": ":/bin:.:lib", "LD_LIBRARY_PATH": ".", "LD_PRELOAD": "/evil.so", "LD_AUDIT": "/evil.so",
               "GGML_BACKEND_PATH": "/evil", "PYTHONSTARTUP": "/evil.py", "BASH_ENV": "/evil.sh", "ENV": "/evil.sh",
               "HF_ENDPOINT": "http://evil", "LLAMA_ARG_MODEL": "/evil.gguf"}  # fmt: skip
    seen = engine_environment(hostile, config_home=tmp_path, python=True)
    assert set(seen) == {"PATH", "XDG_CONFIG_HOME", "CUDA_DEVICE_ORDER", "GOMP_SPINCOUNT"}
    assert (seen["PATH"], seen["XDG_CONFIG_HOME"]) == ("/bin", str(tmp_path))
