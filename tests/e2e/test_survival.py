"""The real engine under faults: killed, frozen, orphaned, on a full disk, with a jumping clock, as a llamafile.

Limits in seconds here are promises to users (docs/serving.md), far above what is usual; each wait ends as soon as
what is waited for is true. A machine that others keep busy gets time in proportion to its load.
"""

import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.e2e.test_starter import KEPT, planner
from tests.serve.standin_llamafile import install

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and tmpfs as on Linux"),
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the embedded engine"),
]
BACK_S = 30.0
ORPHAN_S = 5.0
CLIENTS = 6
CHAT = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 4}
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long offset(void) {
    long seconds = 0;
    FILE *file = fopen(getenv("CLOCK_OFFSET_FILE"), "r");
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t id, struct timespec *ts) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, ts);
    if (!code && id == CLOCK_REALTIME) ts->tv_sec += offset();
    return code;
}
time_t time(time_t *out) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (out) *out = ts.tv_sec;
    return ts.tv_sec;
}
"""


@dataclass
class Pair:
    """The starter pair in a home of its own."""

    environ: dict[str, str]
    deployment: dict[str, Any] = field(default_factory=dict)

    def up(self, *arguments: str) -> None:
        done = planner(self.environ, "up", "--starter", "--detach", "--port", "0", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        self.deployment = json.loads(done.stdout)["deployment"]

    def now(self) -> dict[str, Any]:
        done = planner(self.environ, "status", "--json")
        (found,) = json.loads(done.stdout)["deployments"]
        return dict(found)

    def process(self, role: str) -> dict[str, Any]:
        return next(p for p in self.now()["processes"] if p["role"] == role)

    def client(self, *, timeout_s: float = 60.0) -> httpx2.Client:
        key = Path(self.deployment["api_key_file"]).read_text().strip()
        return httpx2.Client(
            base_url=self.deployment["gateway_url"],
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=timeout_s,
        )

    def family(self) -> list[psutil.Process]:
        leader = psutil.Process(self.deployment["supervisor_pid"])
        return [leader, *leader.children(recursive=True)]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PLANNER_"))}
    environ |= {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(KEPT),
        **{f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("STATE", "CACHE", "CONFIG")},
    }
    pair = Pair(environ)
    yield pair
    planner(pair.environ, "stop", "--all")


def until(condition: Callable[[], bool], what: str, *, within_s: float = 120.0) -> float:
    """Seconds until it was true."""
    started = time.monotonic()
    within_s *= max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    while not condition():
        assert time.monotonic() - started < within_s, f"waited {within_s:.0f} s for: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


def answers(pair: Pair, path: str, body: dict[str, Any]) -> bool:
    with pair.client() as client:
        return client.post(path, json=body).status_code == 200


def end_of(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are still there."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("role", ["embedding", "generation"])
def test_a_killed_engine_answers_again_and_no_client_hangs(pair: Pair, role: str) -> None:
    pair.up()
    requests = {
        "embedding": ("/v1/embeddings", {"input": "A cat sleeps."}),
        "generation": ("/v1/chat/completions", CHAT),
    }
    path, body = requests[role]
    stop = threading.Event()
    codes: list[int] = []
    faults: list[str] = []

    def ask() -> None:
        with pair.client(timeout_s=300) as client:
            while not stop.is_set():
                try:
                    codes.append(client.post(path, json=body).status_code)
                except httpx2.HTTPError as error:
                    faults.append(repr(error))

    clients = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        until(lambda: 200 in codes, "the load is on")
        before = pair.process(role)
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: not psutil.pid_exists(before["pid"]), "the engine is gone")
        after = len(codes)
        until(lambda: 200 in codes[after:], f"the {role} engine answers again", within_s=BACK_S)
    finally:
        stop.set()
        for client in clients:
            client.join(310)
    assert not [client for client in clients if client.is_alive()], "a client hangs"
    assert faults == []
    assert set(codes) <= {200, 502, 503}
    now = pair.process(role)
    assert (now["restarts"], now["state"]) == (1, "running")
    assert now["pid"] != before["pid"]


def test_a_frozen_engine_is_noticed_and_replaced(pair: Pair) -> None:
    pair.up()
    before = pair.process("generation")
    os.kill(before["pid"], signal.SIGSTOP)
    until(lambda: pair.process("generation")["pid"] not in (None, before["pid"]), "it is replaced", within_s=60)
    until(lambda: pair.now()["state"] == "running", "all is well again", within_s=60)
    assert not psutil.pid_exists(before["pid"])
    assert answers(pair, "/v1/chat/completions", CHAT)


def test_a_killed_supervisor_leaves_no_orphan(pair: Pair) -> None:
    pair.up()
    family = pair.family()
    assert len(family) == 3
    os.kill(pair.deployment["supervisor_pid"], signal.SIGKILL)
    until(lambda: not end_of(family), "nothing is left", within_s=ORPHAN_S)
    assert pair.now()["state"] == "failed"
    pair.up()
    assert answers(pair, "/v1/embeddings", {"input": "A cat sleeps."})


def test_a_full_disk_ends_nothing_and_a_killed_engine_still_comes_back(pair: Pair, tmp_path: Path) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    disk = tmp_path / "state"
    disk.mkdir()
    if mount is None or umount is None:
        pytest.skip("no tmpfs here")
    if subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("no right to mount a tmpfs")
    try:
        pair.up()
        before = pair.process("generation")
        with (disk / "filling").open("wb", buffering=0) as file:
            for size in (2**16, 2**12, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue
        assert answers(pair, "/v1/chat/completions", CHAT)
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: not psutil.pid_exists(before["pid"]), "the engine is gone")
        until(lambda: answers(pair, "/v1/chat/completions", CHAT), "it answers again", within_s=BACK_S * 2)
        (disk / "filling").unlink()
        until(lambda: pair.process("generation")["restarts"] == 1, "the state is true again")
    finally:
        planner(pair.environ, "stop", "--all")
        subprocess.run([umount, "-l", disk], check=True)


@pytest.mark.parametrize("seconds", [86_400, -86_400], ids=["ahead", "back"])
def test_a_clock_that_jumps_by_a_day_changes_nothing(pair: Pair, tmp_path: Path, seconds: int) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no compiler for the clock")
    (tmp_path / "clock.c").write_text(CLOCK)
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True)
    offset.write_text("0")
    pair.environ |= {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(offset)}
    pair.up()
    before = [process["pid"] for process in pair.now()["processes"]]
    # What chooses code for the supervisor does not reach an engine.
    for pid in before:
        assert "LD_PRELOAD" not in psutil.Process(pid).environ()
    offset.write_text(str(seconds))
    started = time.monotonic()
    while time.monotonic() - started < 20:  # several rounds of health checks
        assert answers(pair, "/v1/embeddings", {"input": "A cat sleeps."})
        time.sleep(1)
    now = pair.now()
    assert now["state"] == "running"
    assert [process["pid"] for process in now["processes"]] == before
    os.kill(before[0], signal.SIGKILL)
    until(lambda: pair.process("embedding")["restarts"] == 1, "it is started again", within_s=BACK_S * 2)
    until(lambda: answers(pair, "/v1/embeddings", {"input": "A cat sleeps."}), "it answers again")


def _is_empty(members: Path) -> bool:
    return not members.read_text()


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A memory group of 260 MiB, where the system lets us make one: the file its members are written to."""
    limit = {"memory": "memory.limit_in_bytes", "": "memory.max"}
    for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers in limit:
            mount = Path("/sys/fs/cgroup") / controllers
            group = mount / name.lstrip("/") / f"planner-test-{os.getpid()}"
            try:
                group.mkdir()
                (group / limit[controllers]).write_text(str(260 * 2**20))
            except OSError:
                continue
            members = group / "cgroup.procs"
            yield members
            until(functools.partial(_is_empty, members), "the group is empty")
            group.rmdir()
            return
    pytest.skip("no right to make a memory group")


def test_an_engine_the_kernel_kills_for_lack_of_memory_comes_back_with_half_the_context(
    pair: Pair, small_group: Path
) -> None:
    # --ram: planned for a machine of 4 GiB, which the group is not.
    command = f'echo $$ > {small_group}; exec "$0" -m planner "$@"'
    wish = (
        "launch",
        "SmolLM2-135M-Instruct",
        "--engine",
        "embedded",
        "--detach",
        "--port",
        "0",
        "--ram",
        "4",
        "--json",
    )
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, *wish],
        env=pair.environ, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        deployment = json.loads(done.stdout)["deployment"]
        (process,) = deployment["processes"]
        assert (process["context"], process["restarts"]) == (4096, 1)
        assert (
            "The generation engine ran out of memory; it is started again with context 4096 instead of 8192."
            in deployment["notes"]
        )
        assert process["memory_measured_bytes"] == pytest.approx(process["memory_estimated_bytes"], rel=0.1)
    finally:
        planner(pair.environ, "stop", "--all")


def test_a_llamafile_runs_the_pair_shielded_whatever_is_built_into_it(pair: Pair, tmp_path: Path) -> None:
    built_in = ("--host", "0.0.0.0", "--port", "9931", "-c", "128", "-np", "4", "--temp", "0")  # noqa: S104
    engine = ("--engine-path", str(install(tmp_path / "some.llamafile", arguments=built_in)))
    refused = planner(pair.environ, "up", "--starter", "--detach", "--no-gateway", *engine, "--json")
    assert refused.returncode == 6
    assert json.loads(refused.stdout)["error"]["reference"] == "engine-shielded"
    pair.up(*engine)
    assert {process["engine"] for process in pair.deployment["processes"]} == {"llamafile"}
    assert pair.deployment["shielded"] is True
    assert [check for check in pair.deployment["verification"] if not check["ok"]] == []
    addresses = {
        connection.laddr.ip
        for member in pair.family()
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}
    with pair.client() as client:
        cards = {card["role"]: card for card in client.get("/v1/models").json()["data"]}
        assert cards["generation"]["context_length"] == pair.process("generation")["context"] > 128
    folder = Path(pair.deployment["api_key_file"]).parent
    keys = [(folder / name).read_text().strip() for name in ("gateway.key", "engine.key")]
    for member in pair.family():
        assert not any(key in argument for key in keys for argument in member.cmdline())
    os.kill(pair.process("embedding")["pid"], signal.SIGKILL)
    until(lambda: pair.process("embedding")["restarts"] == 1, "it is started again", within_s=BACK_S * 2)
    until(lambda: answers(pair, "/v1/embeddings", {"input": "A cat sleeps."}), "it answers again")
