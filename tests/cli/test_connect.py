"""`planner connect` and `planner key`, beside a deployment that this very process claims to supervise."""

import json
import os
import subprocess
from pathlib import Path

import msgspec
import psutil
import pytest

from planner.config import load_config
from planner.core.launch.supervise import DeploymentState
from planner.core.models.model import Prompts, Role
from planner.serve.connect import CLIENTS, Target, connect_lines
from planner.serve.state import DeploymentSpec, Home
from tests.cli.conftest import Planner
from tests.serve.plans import spec
from tests.tui.world import server

KEY = "a-key-that-nobody-else-has-0123456789"


def prompted(wanted: DeploymentSpec) -> DeploymentSpec:
    prompts = Prompts(query="Instruct: {task}\nQuery: ", document="it's a passage: ")
    processes = []
    for process in wanted.processes:
        plan = process.plan
        if plan.role is Role.EMBEDDING:
            plan = msgspec.structs.replace(plan, model=msgspec.structs.replace(plan.model, prompts=prompts))
        processes.append(msgspec.structs.replace(process, plan=plan))
    return msgspec.structs.replace(wanted, processes=tuple(processes))


@pytest.fixture
def running(tmp_path: Path) -> Home:
    """A deployment with an embedder that wants prompts, which looks alive."""
    home = Home(load_config().deployments_dir, "default")
    home.make()
    home.gateway_key.write_text(KEY + "\n")
    home.write_plan(prompted(spec(tmp_path)))
    record = msgspec.structs.replace(
        server(),
        api_key_file=str(home.gateway_key),
        supervisor_pid=os.getpid(),
        supervisor_create_time=psutil.Process().create_time(),
        supervisor_token="",
    )
    home.write_state(record)
    return home


def test_the_clients_are_listed(planner: Planner) -> None:
    done = planner("connect", "--json")
    assert [client["name"] for client in done.json["clients"]] == list(CLIENTS)
    assert all(name in planner("connect").out for name in CLIENTS)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("client", CLIENTS)
def test_settings_name_address_and_models_and_show_the_key_only_when_told_to(planner: Planner, client: str) -> None:
    done = planner("connect", client)
    assert done.code == 0, done.err
    assert "http://127.0.0.1:8484" in done.out
    assert KEY not in done.out
    assert "gateway.key" in done.out
    if client not in {"curl", "shell"}:
        assert "test/embedding-model" in done.out
    if client != "curl":
        assert KEY in planner("connect", client, "--show-key").out
    assert planner("connect", client, "--json").json["text"] == done.out


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("client", ["openai", "langchain", "llamaindex"])
@pytest.mark.parametrize("key", [(), ("--show-key",)])
def test_what_is_for_python_is_python(planner: Planner, client: str, key: tuple[str, ...]) -> None:
    compile(planner("connect", client, *key).out, client, "exec")


@pytest.mark.usefixtures("running")
@pytest.mark.skipif(os.name == "nt", reason="there is no sh")
def test_what_is_for_a_shell_can_be_read_by_one_prompts_included(planner: Planner) -> None:
    text = planner("connect", "open-webui").out.replace("open-webui serve\n", "")
    shown = subprocess.run(
        ["/bin/sh", "-c", text + 'printf "%s|%s" "$RAG_EMBEDDING_CONTENT_PREFIX" "$RAG_OPENAI_API_KEY"'],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert shown.stdout == f"it's a passage: |{KEY}"


@pytest.mark.usefixtures("running")
def test_prompts_are_asked_for_where_a_client_can_and_told_where_it_cannot(planner: Planner) -> None:
    assert '"input_type": "query"' in planner("connect", "openai").out
    assert "class PromptedEmbeddings" in planner("connect", "langchain").out
    assert json.dumps("it's a passage: ") in planner("connect", "llamaindex").out


def test_other_machines_get_the_address_that_is_open_to_them(planner: Planner, running: Home) -> None:
    assert planner("connect", "openai", "--public").code == 2
    record = running.read_state()
    assert record is not None
    running.write_state(msgspec.structs.replace(record, public_url="https://box.lan:9000"))
    assert "https://box.lan:9000/v1" in planner("connect", "openai", "--public").out
    assert "127.0.0.1:8484" in planner("connect", "openai").out


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("only", ["embedder", "generator"])
def test_one_model_alone_is_enough(client: str, only: str) -> None:
    record = server()
    role = {"embedder": "embedding", "generator": "generation"}[only]
    processes = tuple(process for process in record.processes if process.role == role)
    target = Target(record=msgspec.structs.replace(record, processes=processes))
    target = msgspec.structs.replace(target, **{only: "acme/only"})
    text = "\n".join(connect_lines(client, target))
    assert "None" not in text
    assert "http://127.0.0.1:8484" in text


def test_words_that_name_no_client_and_nothing_that_runs_are_told(planner: Planner) -> None:
    assert (planner("connect", "netscape").code, planner("connect", "openai").code) == (2, 3)
    assert "openai" in planner("connect", "netscape").err


def test_one_that_is_still_starting_is_waited_for_instead_of_started_again(planner: Planner, running: Home) -> None:
    record = running.read_state()
    assert record is not None
    running.write_state(msgspec.structs.replace(record, state=DeploymentState.STARTING))
    for command in (("connect", "openai"), ("connect", "openai", "--name", "default"), ("bench",)):
        refused = planner(*command)
        assert refused.code == 3
        assert "“default” does not answer yet" in refused.err
        assert "planner up" not in refused.err


@pytest.mark.usefixtures("running")
def test_a_client_gets_a_key_of_its_own_and_loses_it(planner: Planner) -> None:
    made = planner("key", "add", "notebook", "--json").json
    assert len(made["key"]) >= 32
    assert [key["name"] for key in planner("key", "list", "--json").json["keys"]] == ["notebook"]
    assert made["key"] not in planner("key", "list").out
    assert planner("key", "add", "notebook").code == 2
    assert planner("key", "remove", "notebook").code == 0
    assert planner("key", "remove", "notebook").code == 3
    assert planner("key", "list").out.startswith("No client has a key")


def test_keys_that_cannot_be_written_are_told_with_what_to_do(planner: Planner, running: Home) -> None:
    (running.path / ".clients.json.lock").mkdir()
    refused = planner("key", "add", "notebook", "--json")
    assert refused.code == 2
    assert refused.json["error"]["reference"] == "state-not-writable"
    assert "Is a directory" in refused.json["error"]["message"]


def test_without_a_gateway_a_key_opens_nothing_and_nothing_is_measured(planner: Planner, running: Home) -> None:
    record = running.read_state()
    assert record is not None
    running.write_state(msgspec.structs.replace(record, gateway_url=None))
    assert "opens nothing until" in planner("key", "add", "notebook").err
    refused = planner("bench")
    assert refused.code == 2
    assert "without a gateway" in refused.err


def test_keys_need_a_deployment(planner: Planner) -> None:
    assert planner("key", "add", "notebook").code == 3
    assert planner("key", "list", "--deployment", "../x").code == 2
