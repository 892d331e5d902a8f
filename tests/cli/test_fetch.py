"""`planner fetch` as it is typed: the JSON contract, exit codes, and real processes that are killed and meet."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from planner.cli.progress import ProgressLine
from planner.fetch.progress import Phase
from tests.fetch.lying_hub import FILE, Lie, LyingHub

if TYPE_CHECKING:
    from tests.cli.conftest import Planner

MB = 10**6


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    server = LyingHub()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", os.environ["HOME"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    import huggingface_hub

    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", f"{os.environ['HOME']}/token")
    yield server
    huggingface_hub.close_session()
    server.close()


@pytest.fixture
def payload(hub: LyingHub) -> bytes:
    data = b"GGUF\x03\x00\x00\x00" + b"".join(hashlib.sha256(bytes([n % 251])).digest() for n in range(300_000))
    hub.files[FILE] = data
    return data


def entry(name: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": name,
        "family": "llama",
        "role": "generation",
        "parameters": 1000,
        "context_length": 128,
        "licence": {"spdx": "MIT", "commercial": "yes"},
        "variants": [
            {
                "quant": quant,
                "artifacts": [{"source": "hub", "repo": "acme/tiny-GGUF", **file}],
                "file_bytes": 9_600_008,
            }
            for quant, file in files.items()
        ],
    }


WriteCatalog = Callable[..., str]


@pytest.fixture
def catalog(tmp_path: Path) -> WriteCatalog:
    """Writes a catalog with the model acme/tiny (Q4_K_M, the given pins) and returns its path."""

    def write(**pins: Any) -> str:
        path = tmp_path / "tiny.json"
        models = [entry("acme/tiny", {"Q8_0": {"file": "tiny-Q8_0.gguf"}, "Q4_K_M": {"file": FILE, **pins}})]
        path.write_text(json.dumps({"schema": 1, "family": "llama", "models": models}))
        return str(path)

    return write


def test_the_json_says_where_the_file_is_and_that_it_was_checked(
    planner: "Planner", catalog: WriteCatalog, payload: bytes
) -> None:
    path = catalog()
    done = planner("fetch", "acme/tiny", "--catalog", path, "--json")
    assert done.code == 0, done.err
    (file,) = done.json["artifacts"]
    assert Path(file["path"]).read_bytes() == payload
    assert file == {
        "path": file["path"],
        "bytes": len(payload),
        "sha256": hashlib.sha256(payload).hexdigest(),
        "source": "hub",
        "verified": True,
        "bytes_transferred": len(payload),
    }
    again = planner("fetch", "acme/tiny:q4_k_m", "--catalog", path, "--json", "--offline")
    assert again.json["artifacts"] == [{**file, "bytes_transferred": 0}]
    listed = planner("fetch", "--list", "--json")
    (noted,) = listed.json["artifacts"]
    about = {name: noted.pop(name) for name in ("model", "quant", "origin", "revision", "fetched_at")}
    assert noted == {**file, "bytes_transferred": 0}
    assert about["origin"].startswith("acme/tiny-GGUF@")


def test_people_get_the_path_on_stdout_and_the_rest_on_stderr(
    planner: "Planner", catalog: WriteCatalog, payload: bytes
) -> None:
    done = planner("fetch", "tiny", "--catalog", catalog())
    assert done.code == 0
    assert Path(done.out.strip()).read_bytes() == payload
    assert "checked" in done.err
    assert "tiny:Q4_K_M" in done.err


def test_what_there_is_can_be_listed(planner: "Planner", catalog: WriteCatalog, payload: bytes) -> None:
    path = catalog()
    before = planner("fetch", "tiny", "--list", "--catalog", path, "--json").json
    assert [row["quant"] for row in before["variants"]] == ["Q8_0", "Q4_K_M"]
    assert all(row["artifacts"] == [] for row in before["variants"])
    planner("fetch", "tiny", "--catalog", path)
    table = planner("fetch", "tiny", "--list", "--catalog", path)
    assert "hub: acme/tiny-GGUF" in table.out
    assert [line.split()[0] for line in table.out.splitlines() if " yes " in line] == ["Q4_K_M"]


@pytest.mark.parametrize(
    ("arguments", "code", "reference"),
    [
        (["no-such-model"], 2, "unknown-model"),
        (["tiny:Q3_K_S"], 2, "unknown-quant"),
        ([], 2, "missing-model"),
        (["tiny", "--offline"], 5, "offline"),
        (["tiny:Q8_0"], 5, "not-found"),
    ],
)
def test_bad_questions_have_their_exit_code(  # noqa: PLR0917  # fixtures and columns
    planner: "Planner", catalog: WriteCatalog, payload: bytes, arguments: list[str], code: int, reference: str
) -> None:
    done = planner("fetch", *arguments, "--catalog", catalog(), "--json")
    assert (done.code, done.json["error"]["reference"]) == (code, reference)
    assert done.json["error"]["message"]
    assert done.json["error"]["hint"]


@pytest.mark.parametrize("pins", [{"bytes": 5}, {"sha256": "0" * 64}, {"revision": "f" * 40}, {}])
def test_a_remote_that_lies_is_exit_5_and_leaves_nothing(  # noqa: PLR0917  # fixtures and columns
    planner: "Planner", catalog: WriteCatalog, hub: LyingHub, payload: bytes, tmp_path: Path, pins: dict[str, Any]
) -> None:
    hub.always = Lie(flip_bit=True)
    done = planner("fetch", "tiny", "--catalog", catalog(**pins), "--json")
    assert (done.code, done.json["error"]["reference"]) == (5, "integrity")
    assert list(tmp_path.rglob("tiny-*.gguf")) == []


@pytest.mark.parametrize("file", ["../../outside.gguf", "/etc/outside.gguf", "C:/outside.gguf", "a/../../b.gguf"])
def test_a_path_that_leaves_the_store_is_exit_4(
    planner: "Planner", catalog: WriteCatalog, hub: LyingHub, file: str
) -> None:
    done = planner("fetch", "tiny", "--catalog", catalog(file=file), "--json")
    assert done.code == 4
    assert hub.requests == []


def test_a_link_that_leaves_the_store_is_exit_4(
    planner: "Planner", catalog: WriteCatalog, payload: bytes, tmp_path: Path
) -> None:
    path = catalog()
    first = planner("fetch", "tiny", "--catalog", path, "--json").json["artifacts"][0]["path"]
    folder = Path(first).parent
    outside = tmp_path / "outside"
    folder.rename(outside)
    folder.symlink_to(outside)
    done = planner("fetch", "tiny", "--catalog", path, "--json")
    assert (done.code, done.json["error"]["reference"]) == (4, "path-outside-store")


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.gguf", "/etc/evil.gguf", "C:\\evil.gguf", "C:evil.gguf", "\\\\host\\share\\evil.gguf", "con.gguf",
        "a/aux.gguf", "a/./b.gguf", "evil.gguf ", "evil\x00.gguf", "member@evil.gguf",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_touched(
    planner: "Planner", hub: LyingHub, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "evil.json"
    model = entry("acme/tiny", {"Q4_K_M": {"file": name}})
    path.write_text(json.dumps({"schema": 1, "family": "llama", "models": [model]}))
    before = sorted(tmp_path.rglob("*"))
    done = planner("fetch", "acme/tiny", "--catalog", str(path), "--json")
    assert (done.code, done.json["error"]["reference"]) == (4, "catalog-invalid")
    assert hub.requests == []
    assert sorted(tmp_path.rglob("*")) == before


def test_without_the_hub_the_variant_from_the_package_index_is_pointed_out(
    planner: "Planner", hub: LyingHub, tmp_path: Path
) -> None:
    model = entry("acme/tiny", {"Q4_K_M": {"file": FILE}, "Q4_1": {"file": "tiny.gguf"}})
    model["variants"][1]["artifacts"] = [
        {"source": "package", "package": "tiny-model", "version": "1.0", "file": "tiny_model/tiny.gguf"}
    ]
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"schema": 1, "family": "llama", "models": [model]}))
    done = planner("fetch", "tiny", "--catalog", str(path), "--json")
    assert done.code == 5
    assert "planner fetch tiny:Q4_1" in done.json["error"]["hint"]


def test_plain_http_to_another_machine_is_refused(
    planner: "Planner", catalog: WriteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    done = planner("fetch", "tiny", "--catalog", catalog(), "--json")
    assert (done.code, done.json["error"]["reference"]) == (2, "insecure-endpoint")


@contextlib.contextmanager
def running(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """`planner …` as a process of its own, gone at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "planner", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def until(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    """Wait for something that `process` brings about; fail with its own words when it ends instead."""
    end = time.monotonic() + 20
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(f"it did not come to that: {process.communicate(timeout=5)}")
        time.sleep(0.02)


def partial_bytes(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in tmp_path.rglob("*.partial"))


def test_a_killed_download_goes_on_in_the_next_process(
    catalog: WriteCatalog, hub: LyingHub, payload: bytes, tmp_path: Path
) -> None:
    path = catalog()
    hub.lies = [Lie(stall_after=4 * MB)]
    with running("fetch", "tiny", "--catalog", path) as process:
        until(lambda: partial_bytes(tmp_path) >= 4 * MB, process)
        process.kill()
    with running("fetch", "tiny", "--catalog", path, "--json") as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    (file,) = json.loads(out)["artifacts"]
    assert file["bytes_transferred"] == len(payload) - 4 * MB
    assert hub.gets()[-1].headers["range"] == f"bytes={4 * MB}-"
    assert Path(file["path"]).read_bytes() == payload


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_during_a_stall_keeps_the_bytes_and_says_how_to_go_on(
    catalog: WriteCatalog, hub: LyingHub, payload: bytes, tmp_path: Path
) -> None:
    hub.lies = [Lie(stall_after=2 * MB)]
    with running("fetch", "tiny", "--catalog", catalog()) as process:
        until(lambda: partial_bytes(tmp_path) >= 2 * MB, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "planner fetch acme/tiny:Q4_K_M" in err
    assert "Traceback" not in err
    assert partial_bytes(tmp_path) == 2 * MB


def test_two_processes_fetch_one_file_once(
    catalog: WriteCatalog, hub: LyingHub, payload: bytes, tmp_path: Path
) -> None:
    path = catalog()
    hub.lies = [Lie(stall_after=1 * MB)]
    with running("fetch", "tiny", "--catalog", path, "--json") as first:
        until(lambda: partial_bytes(tmp_path) >= 1 * MB, first)
        with running("fetch", "tiny", "--catalog", path, "--json") as second:
            until(lambda: len(hub.gets("/api/")) == 2, second)
            assert second.stderr is not None
            # On a busy machine the line that says what takes long comes first.
            lines = (second.stderr.readline() for _ in range(2))
            assert any("Another planner" in line for line in lines)
            hub.released.set()
            outputs = [process.communicate(timeout=30) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    moved = [json.loads(out)["artifacts"][0]["bytes_transferred"] for out, _ in outputs]
    assert moved == [len(payload), 0]


def test_a_dead_holder_of_the_lock_does_not_block(
    catalog: WriteCatalog, hub: LyingHub, payload: bytes, tmp_path: Path, planner: "Planner"
) -> None:
    path = catalog()
    hub.lies = [Lie(stall_after=1 * MB)]
    with running("fetch", "tiny", "--catalog", path) as process:
        until(lambda: partial_bytes(tmp_path) >= 1 * MB, process)
        process.kill()
    assert planner("fetch", "tiny", "--catalog", path, "--json").code == 0


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_there_is_a_line_a_percent_but_no_flood(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Ticks()
    with ProgressLine("tiny:Q8_0", interactive=False, clock=clock) as line:
        for done in range(101):
            clock.now = 6.0 * done
            line.update(Phase.DOWNLOADING, done * MB, 100 * MB)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 100
    assert lines[39] == "tiny:Q8_0: downloading 40 % of 100 MB  0.2 MB/s  6:00 min left"
    with ProgressLine("fast", interactive=False, clock=clock) as line:
        for done in range(101):
            clock.now += 0.1
            line.update(Phase.DOWNLOADING, done * MB, 100 * MB)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "fast: downloading 100 % of 100 MB"


def test_on_a_terminal_one_line_shows_share_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Ticks()
    with ProgressLine("tiny:Q8_0", interactive=True, clock=clock) as line:
        # 500 MB were there already: they are no part of the rate.
        for second in range(11):
            clock.now = float(second)
            line.update(Phase.DOWNLOADING, 500 * MB + second * 10 * MB, 1000 * MB)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    last = text.rsplit("\r", 1)[1]
    assert "60 %" in last
    assert "10.0 MB/s" in last
    assert "40 s left" in last


def test_an_unknown_total_is_shown_as_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine("x", interactive=True) as line:
        line.update(Phase.DOWNLOADING, 30 * MB, None)
    assert "30 MB" in capsys.readouterr().err
    with ProgressLine("x", interactive=False) as line:
        for done in range(50):
            line.update(Phase.DOWNLOADING, done * MB, None)
            line.update(Phase.CHECKING, done * MB, 50 * MB)
    assert capsys.readouterr().err.splitlines() == ["x: downloading"]
