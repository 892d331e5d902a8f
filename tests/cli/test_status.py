"""`status --watch`, and who can reach what: `--no-gateway`, `--host`, TLS, shielded engines."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.cli.test_up import PAIR, Shell, pids_of, shell, until  # noqa: F401  # the fixture
from tests.serve.fake_engine import install

CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def listening(pids: list[int]) -> set[str]:
    return {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }


def headers(deployment: dict[str, str]) -> dict[str, str]:
    return {"Authorization": f"Bearer {Path(deployment['api_key_file']).read_text().strip()}"}


def test_watching_tells_every_change_on_a_line_of_its_own(shell: Shell) -> None:  # noqa: F811
    watching = shell.begin("status", "--watch", "--json")
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline()) == {"deployments": []}
    shell.json(*shell.up(), "--detach")
    states = []
    while "running" not in states:
        states += [d["state"] for d in json.loads(watching.stdout.readline())["deployments"]]
    shell.json("stop")
    while json.loads(watching.stdout.readline())["deployments"]:
        pass
    code, _, err = shell.end(watching, signal.SIGINT)
    assert code == 130, err


def test_watching_without_a_terminal_prints_no_escapes(shell: Shell) -> None:  # noqa: F811
    watching = shell.begin("status", "--watch")
    assert watching.stdout is not None
    assert watching.stdout.readline() == "Nothing is running. Start a pair with: planner up\n"
    _, out, _ = shell.end(watching, signal.SIGINT)
    assert "\x1b" not in out


def test_without_a_gateway_each_engine_is_reached_with_the_clients_key_at_an_address_that_stays(
    shell: Shell,  # noqa: F811
) -> None:
    deployment = shell.json(*shell.up(), "--detach", "--no-gateway")["deployment"]
    assert (deployment["state"], deployment["gateway_url"], deployment["public_url"]) == ("running", None, None)
    assert listening(pids_of(deployment)) == {"127.0.0.1"}
    generation = next(p for p in deployment["processes"] if p["role"] == "generation")
    with httpx2.Client(trust_env=False) as client:
        url = f"{generation['url']}/v1/chat/completions"
        assert client.post(url, json=CHAT).status_code == 401
        assert client.post(url, json=CHAT, headers=headers(deployment)).status_code == 200
    os.kill(generation["pid"], signal.SIGKILL)

    def back() -> bool:
        (now,) = shell.json("status")["deployments"]
        process = next(p for p in now["processes"] if p["role"] == "generation")
        return bool(now["state"] == "running" and process["restarts"] == 1 and process["url"] == generation["url"])

    until(back, "the engine comes back at its address")
    shown = shell.run("status").stdout
    assert f"generation: {generation['url']}/v1" in shown
    assert "generation: started again 1 time" in shown
    # With a gateway it would be another deployment.
    assert shell.run(*shell.up(), "--detach").returncode == 6


@pytest.mark.parametrize("wish", [("--no-gateway",), ("--host", "0.0.0.0")], ids=lambda wish: wish[0])  # noqa: S104
def test_an_engine_below_the_least_safe_build_runs_only_shielded(shell: Shell, wish: tuple[str, ...]) -> None:  # noqa: F811
    shell.engine = install(shell.folder / "old/llama-server", "old-build")
    done = shell.run(*shell.up(), "--detach", "--json", *wish)
    assert done.returncode == 6
    error = json.loads(done.stdout)["error"]
    assert error["reference"] == "engine-shielded"
    assert wish[0] in error["message"]
    told = shell.run(*shell.up(), "--detach")
    assert told.returncode == 0, told.stderr
    assert "It runs shielded" in told.stderr
    assert "Shielded: llama-server 9000" in told.stdout
    (deployment,) = shell.json("status")["deployments"]
    assert deployment["shielded"] is True
    assert "Shielded: llama-server 9000" in shell.run("status").stdout
    doctor = subprocess.run(
        shell.command("doctor"), env={**os.environ, "PLANNER_ENGINE_PATH": str(shell.engine)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "runs shielded" in doctor.stdout


@pytest.mark.parametrize(
    "wish",
    [
        ("--no-gateway", "--host", "0.0.0.0"),  # noqa: S104
        ("--no-gateway", "--allow-host", "box"),
        ("--tls-cert", "a.pem", "--tls-key", "b.pem"),
        ("--host", "0.0.0.0", "--tls-cert", "a.pem"),  # noqa: S104
        ("--host", "0.0.0.0", "--tls-cert", "missing.pem", "--tls-key", "missing.pem"),  # noqa: S104
    ],
)
def test_doors_that_cannot_be_right_exit_2(shell: Shell, wish: tuple[str, ...]) -> None:  # noqa: F811
    done = shell.run(*shell.up(), "--detach", "--json", *wish)
    assert done.returncode == 2, done.stdout
    assert json.loads(done.stdout)["error"]["hint"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1,IP:127.0.0.2", "-keyout", key, "-out", cert],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return cert, key


def test_a_host_opens_a_socket_of_its_own_and_says_what_that_means(shell: Shell) -> None:  # noqa: F811
    done = shell.run(*shell.up(*PAIR), "--detach", "--host", "0.0.0.0", "--allow-host", "box.lan")  # noqa: S104
    assert done.returncode == 0, done.stderr
    assert "open to everybody who can reach http://box.lan:" in done.stderr
    assert "Without TLS" in done.stderr
    (deployment,) = shell.json("status")["deployments"]
    public = deployment["public_url"].replace("box.lan", "127.0.0.1")
    assert public != deployment["gateway_url"]
    supervisor, *engines = pids_of(deployment)
    assert listening(engines) == {"127.0.0.1"}
    assert listening([supervisor]) == {"127.0.0.1", "0.0.0.0"}  # noqa: S104
    with httpx2.Client(trust_env=False) as client:
        for address in (public, deployment["gateway_url"]):
            url = f"{address}/v1/models"
            assert client.get(url).status_code == 401
            assert client.get(url, headers=headers(deployment)).status_code == 200
            named = {**headers(deployment), "Host": "box.lan"}
            assert client.get(url, headers=named).status_code == 200
            foreign = {**headers(deployment), "Host": "evil.example"}
            assert client.get(url, headers=foreign).status_code == 403


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="needs a second loopback address")
def test_with_a_certificate_the_open_socket_speaks_tls_and_this_machines_own_does_not(
    shell: Shell,  # noqa: F811
    certificate: tuple[Path, Path],
) -> None:
    cert, key = certificate
    files = ("--tls-cert", str(cert), "--tls-key", str(key))
    deployment = shell.json(*shell.up(), "--detach", "--host", "0.0.0.0", *files)["deployment"]  # noqa: S104
    assert deployment["public_url"].startswith("https://")
    port = deployment["public_url"].rpartition(":")[2]
    context = ssl.create_default_context(cafile=str(cert))
    with httpx2.Client(trust_env=False, verify=context) as client:
        url = f"https://127.0.0.1:{port}/v1/models"
        assert client.get(url, headers=headers(deployment)).status_code == 200
        with pytest.raises(httpx2.HTTPError):
            client.get(url.replace("https", "http"))
        assert client.get(f"{deployment['gateway_url']}/health").status_code == 200
