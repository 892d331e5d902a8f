"""Starting, watching and ending one engine, against a fake one that misbehaves in every known way."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import httpx2
import msgspec
import psutil
import pytest

from planner.core.models.model import Role
from planner.errors import EngineError
from planner.serve.engine.engines import Command, Files, make_command
from planner.serve.engine.failure import LaunchError
from planner.serve.engine.memory_report import read_memory_report
from planner.serve.supervision.process import EngineProcess, start
from planner.serve.supervision.readiness import role_probe
from tests.serve.plans import MEASURED_BYTES, fake, process

KEY = "a-key-of-the-engine-that-nobody-may-see"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake engine is a script")


async def launched(folder: Path, mode: str, role: Role = Role.GENERATION) -> EngineProcess:
    key = folder / "engine.key"
    key.write_text(KEY)
    (folder / "config").mkdir(exist_ok=True)
    files = Files(model=folder / "model.gguf", key=key, config_home=folder / "config", temp=folder)
    command = make_command(fake(folder, mode), process(role), files=files, api_key=KEY, token="t", environ=os.environ)
    return await start(command, name="The engine", log=folder / "engine.log", cwd=folder, api_key=KEY)


async def ready(engine: EngineProcess, role: Role = Role.GENERATION, *, stall_s: float = 20) -> str:
    probe = role_probe(role, KEY, embedding_length=384 if role is Role.EMBEDDING else None)
    return (await engine.wait_ready(probe, stall_s=stall_s)).url


@pytest.mark.parametrize("mode", ["ready", "slow", "noisy", "spoof"])
async def test_an_engine_that_comes_up_answers_and_goes_away(tmp_path: Path, mode: str) -> None:
    engine = await launched(tmp_path, mode)
    try:
        url = await ready(engine)
        async with httpx2.AsyncClient(trust_env=False) as client:
            assert (await client.get(url + "/health")).status_code == 200
        report = read_memory_report(engine.lines)
        assert report is not None
        assert report.total_bytes == MEASURED_BYTES
    finally:
        await engine.stop()
    assert engine.returncode == 0
    assert not psutil.pid_exists(engine.pid)


@pytest.mark.parametrize(
    ("mode", "reference", "words"),
    [
        ("crash", "model-unloadable", "not within the file bounds"),
        ("oom", "out-of-memory", "killed, most likely because the machine ran out of memory"),
        ("illegal", "engine-wrong-cpu", "CPU instructions this machine lacks"),
        ("alloc", "out-of-memory", "failed to allocate CPU buffer"),
        ("leaks-key", "engine-failed", "error: failed with key ****"),
    ],
)
async def test_an_engine_that_dies_while_loading_tells_why(
    tmp_path: Path, mode: str, reference: str, words: str
) -> None:
    engine = await launched(tmp_path, mode)
    with pytest.raises(LaunchError) as caught:
        await ready(engine)
    await engine.stop()
    assert caught.value.reference == reference
    assert words in caught.value.message
    assert caught.value.hint
    assert KEY not in caught.value.message
    assert KEY[-4:] not in caught.value.message


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("hang", "never named its address"),
        ("forever-503", "HTTP 503"),
        ("wrong-port", "where nothing answered"),
        ("useless-port", "never named its address"),
    ],
)
async def test_an_engine_that_never_gets_ready_is_given_up_on(tmp_path: Path, mode: str, words: str) -> None:
    engine = await launched(tmp_path, mode)
    try:
        with pytest.raises(LaunchError) as caught:
            await ready(engine, stall_s=1.0)
    finally:
        await engine.stop()
    assert caught.value.reference == "engine-stalled"
    assert words in caught.value.message
    assert not psutil.pid_exists(engine.pid)


async def test_an_embedder_with_other_vectors_than_promised_is_refused(tmp_path: Path) -> None:
    engine = await launched(tmp_path, "short-vectors", Role.EMBEDDING)
    try:
        with pytest.raises(LaunchError, match="3 numbers instead of 384"):
            await ready(engine, Role.EMBEDDING)
    finally:
        await engine.stop()


@pytest.mark.parametrize(
    ("mode", "reference"),
    [
        ("killed-by-request", "out-of-memory"),
        ("illegal-by-request", "engine-wrong-cpu"),
        ("dies-with-open-connection", "out-of-memory"),
    ],
)
async def test_an_engine_that_dies_of_its_first_request_is_not_blamed_on_the_model_file(
    tmp_path: Path, mode: str, reference: str
) -> None:
    engine = await launched(tmp_path, mode)
    try:
        async with asyncio.timeout(60):
            with pytest.raises(LaunchError) as caught:
                await ready(engine)
    finally:
        await engine.stop()
    assert caught.value.reference == reference


async def test_an_engine_that_lives_and_breaks_off_its_answer_is_unfit(tmp_path: Path) -> None:
    engine = await launched(tmp_path, "breaks-off")
    try:
        with pytest.raises(LaunchError) as caught:
            await ready(engine)
    finally:
        await engine.stop()
    assert caught.value.reference == "engine-unfit"
    assert ".." not in caught.value.message


async def test_stopping_takes_along_what_the_engine_started(tmp_path: Path) -> None:
    engine = await launched(tmp_path, "orphan")
    await ready(engine)
    family = psutil.Process(engine.pid).children(recursive=True)
    assert family
    await engine.stop(grace_s=2)
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert not psutil.pid_exists(engine.pid)


async def test_a_frozen_engine_is_noticed_and_ended(tmp_path: Path) -> None:
    engine = await launched(tmp_path, "ready")
    try:
        url = await ready(engine)
        assert not await engine.is_hung(url)
        os.kill(engine.pid, signal.SIGSTOP)
        async with asyncio.timeout(30):
            while not await engine.is_hung(url):
                pass
    finally:
        await engine.stop(grace_s=0.2)
    assert engine.returncode == -signal.SIGKILL


async def test_the_log_is_for_its_owner_alone_and_the_key_is_no_argument(tmp_path: Path) -> None:
    engine = await launched(tmp_path, "ready")
    try:
        await ready(engine)
        assert stat.S_IMODE((tmp_path / "engine.log").stat().st_mode) == 0o600
        everything = " ".join(psutil.Process(engine.pid).cmdline())
        assert KEY not in everything
    finally:
        await engine.stop()


async def test_foreign_settings_and_tokens_do_not_reach_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("LLAMA_API_KEY", "foreign")
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "777")
    engine = await launched(tmp_path, "ready")
    try:
        await ready(engine)
        seen = psutil.Process(engine.pid).environ()
    finally:
        await engine.stop()
    assert not {name for name in seen if name.startswith(("LLAMA_", "HF_"))}
    assert seen["XDG_CONFIG_HOME"] == str(tmp_path / "config")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")
async def test_an_engine_ends_with_its_killed_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tests.serve.test_process import launched, ready\n"
        "async def main():\n"
        f"    engine = await launched(Path({str(tmp_path)!r}), 'ready')\n"
        "    await ready(engine)\n    print(engine.pid, flush=True)\n    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert parent.stdout is not None
    async with asyncio.timeout(60):
        pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    engine = psutil.Process(pid)
    parent.kill()
    await parent.wait()
    psutil.wait_procs([engine], timeout=20)
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("binary", ["missing", ""])
async def test_a_program_that_cannot_be_executed_says_so(tmp_path: Path, binary: str) -> None:
    key = tmp_path / "engine.key"
    key.write_text(KEY)
    files = Files(model=tmp_path / "m", key=key, config_home=tmp_path, temp=tmp_path)
    broken = msgspec.structs.replace(fake(tmp_path, "ready"), binary=str(tmp_path / binary))
    command = make_command(broken, process(), files=files, api_key=KEY, token="t", environ=os.environ)
    engine = await start(command, name="The engine", log=tmp_path / "log", cwd=tmp_path, api_key=KEY)
    with pytest.raises(EngineError) as caught:
        await ready(engine)
    await engine.stop()
    assert caught.value.reference == "engine-not-executable"
    assert caught.value.hint


async def test_a_missing_program_is_an_engine_error(tmp_path: Path) -> None:
    command = Command(argv=(str(tmp_path / "nothing"),), environ={})
    with pytest.raises(LaunchError, match="no program"):
        await start(command, name="x", log=tmp_path / "log", cwd=tmp_path, api_key=KEY)
