"""Who is let in, and what an outsider learns."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from planner.core.models.model import Role
from planner.errors import UsageError
from planner.serve.gateway.context import GatewayConfig
from planner.serve.gateway.errors import clean
from planner.serve.gateway.upstream import Upstreams

if TYPE_CHECKING:
    from tests.serve.gateway.conftest import Stack, StartStack

KEY = "gateway-key-of-the-tests-0123456789"
ENGINE_KEY = "engine-key-of-the-tests-9876543210"


def error_of(response: httpx2.Response) -> dict[str, Any]:
    error = response.json()["error"]
    assert {"message", "type", "code", "param"} <= set(error)
    assert isinstance(error, dict)
    return error


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"planner:{password}".encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"X-Api-Key": KEY},
        {"Authorization": basic(KEY)},
        {"Authorization": "Bearer wrong", "X-Api-Key": KEY},
    ],
)
async def test_key_opens(stack: Stack, headers: dict[str, str]) -> None:
    assert (await stack.bare.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {KEY}x"},
        {"Authorization": f"Bearer {KEY[:-1]}"},
        {"Authorization": KEY},
        {"Authorization": basic("wrong")},
        {"Authorization": "Basic ???"},
        {"X-Api-Key": ENGINE_KEY},
        {"Cookie": f"key={KEY}"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("POST", "/v1/embeddings"), ("GET", "/metrics")])
async def test_anything_else_does_not(stack: Stack, headers: dict[str, str], method: str, path: str) -> None:
    response = await stack.bare.request(method, path, headers=headers)
    assert response.status_code == 401
    assert error_of(response)["code"] == "invalid_api_key"
    assert stack.embedder.seen == []


async def test_unknown_paths_say_nothing_without_a_key(stack: Stack) -> None:
    assert (await stack.bare.get("/v1/secrets")).status_code == 401
    with_key = await stack.client.get("/v1/secrets")
    assert (with_key.status_code, error_of(with_key)["code"]) == (404, "not_found")
    wrong_method = await stack.client.get("/v1/embeddings")
    assert (wrong_method.status_code, error_of(wrong_method)["code"]) == (405, "method_not_allowed")


async def test_health_is_public(stack: Stack) -> None:
    response = await stack.bare.get("/health")
    assert response.status_code == 200
    assert response.json()["roles"] == {"embedding": "ready", "generation": "ready", "reranker": "ready"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:1234", "[::1]", "[::1]:8080", "localhost.:80"])
async def test_own_names_are_answered(stack: Stack, host: str) -> None:
    assert (await stack.client.get("/v1/models", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "evil.example:8080",
        "localhost@evil",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/models"])
async def test_dns_rebinding_is_refused(stack: Stack, host: str, path: str) -> None:
    response = await stack.client.get(path, headers={"Host": host})
    assert response.status_code == 403
    assert error_of(response)["code"] == "host_not_allowed"


async def test_more_hosts_and_origins_can_be_allowed(start_stack: StartStack) -> None:
    stack = await start_stack(allowed_hosts=("localhost", "box.lan:9000"), allowed_origins=("https://app.example",))
    for host, status in (("box.lan:9000", 200), ("box.lan:9001", 403), ("box.lan", 403), ("localhost", 200)):
        assert (await stack.client.get("/v1/models", headers={"Host": host})).status_code == status
    headers = {"Host": "localhost", "Origin": "https://app.example"}
    assert (await stack.client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173"])
async def test_pages_of_this_machine_may_ask(stack: Stack, origin: str) -> None:
    response = await stack.client.get("/v1/models", headers={"Origin": origin})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == origin
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:80@evil.example",
        "file://",
        "",
    ],
)
async def test_other_pages_may_not(stack: Stack, origin: str) -> None:
    for method, path in (("GET", "/v1/models"), ("GET", "/health"), ("POST", "/v1/chat/completions")):
        response = await stack.client.request(method, path, headers={"Origin": origin})
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
    assert stack.generator.seen == []


async def test_preflight_needs_no_key_and_answers_only_this_machine(stack: Stack) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    ours = await stack.bare.options("/v1/embeddings", headers={"Origin": "http://localhost:3000", **ask})
    assert ours.status_code == 204
    assert ours.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "authorization" in ours.headers["access-control-allow-headers"].lower()
    theirs = await stack.bare.options("/v1/embeddings", headers={"Origin": "https://evil.example", **ask})
    assert theirs.status_code == 403
    assert not [name for name in theirs.headers if name.startswith("access-control")]


async def test_a_refused_page_of_this_machine_can_read_why(stack: Stack) -> None:
    response = await stack.bare.get("/v1/models", headers={"Origin": "http://localhost:3000"})
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_body_size_is_capped_declared_or_not(start_stack: StartStack) -> None:
    stack = await start_stack(max_body_bytes=1000)
    body = json.dumps({"input": "x" * 2000}).encode()

    async def pieces() -> Any:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    for content in (body, pieces()):
        response = await stack.client.post("/v1/embeddings", content=content)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"
    assert stack.embedder.seen == []
    assert (await stack.embed(input="x")).status_code == 200


async def test_a_body_that_does_not_come_ends_in_a_timeout(start_wire: StartStack) -> None:
    stack = await start_wire(body_timeout_s=0.05)
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    reader, writer = await asyncio.open_connection("127.0.0.1", int(stack.url.rpartition(":")[2]))
    writer.write(head.encode())
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"input": NaN}',
        b'{"input": "\xff\xfe"}',
        b'{"input": "\\ud800"}',
        b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"input": 1e999}',
        b"input=hello",
    ],
)
@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/chat/completions", "/embedding", "/v1/rerank"])
async def test_what_is_not_a_json_object_is_a_400(stack: Stack, path: str, content: bytes) -> None:
    response = await stack.client.post(path, content=content)
    assert response.status_code == 400
    assert error_of(response)["code"] in {"invalid_json", "missing_field"}


async def test_compressed_bodies_are_not_unpacked(stack: Stack) -> None:
    response = await stack.client.post("/v1/embeddings", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert response.status_code == 415


async def test_no_secret_in_any_answer_or_log(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    """Also when the engine itself repeats its key and the paths of the machine."""
    caplog.set_level(logging.DEBUG)
    chatty = f"key {ENGINE_KEY} of {KEY} failed in /home/ann/models/a.gguf, C:\\Users\\ann\\b and ann.gguf at 3/4"
    answers = [await stack.bare.get("/v1/models"), await stack.client.get("/v1/models")]
    for status in (400, 401, 404, 500, 503, 418):
        failure = {"error": {"code": status, "message": chatty, "type": "x"}}
        stack.embedder.fails_with = stack.generator.fails_with = (status, failure)
        answers += [await stack.embed(input="x"), await stack.chat(), await stack.chat(stream=True)]
    answers += [await stack.client.get("/metrics"), await stack.bare.get("/health")]
    told = "".join(answer.text + str(answer.headers) for answer in answers) + caplog.text
    for secret in (ENGINE_KEY, KEY, "/home", "models/a", "Users", ".gguf"):
        assert secret not in told
    assert "3/4" in told


async def test_an_engine_that_refuses_our_key_is_the_gateways_fault(stack: Stack) -> None:
    engine = stack.upstreams.get(Role.EMBEDDING)
    assert engine is not None
    import msgspec

    stack.upstreams.set(msgspec.structs.replace(engine, api_key="another-key-entirely"))
    response = await stack.embed(input="x")
    assert response.status_code == 502
    assert "another-key" not in response.text


def test_the_key_is_not_in_the_settings_text_and_cannot_be_trivial() -> None:
    assert KEY not in repr(GatewayConfig(api_key=KEY, upstreams=Upstreams()))
    for key in ("", "short", "with\nnewline-in-it", "ключ-ключ-ключ"):
        with pytest.raises(UsageError):
            GatewayConfig(api_key=key, upstreams=Upstreams())


def test_cleaned_text_keeps_its_meaning() -> None:
    assert clean("cannot open '/opt/x y/model.gguf': no such file") == "cannot open '(path) (path)': no such file"
    assert clean("a\x1b[31mb\r\nc") == "a [31mb c"
    assert clean("tokens/s and 3/4 stay") == "tokens/s and 3/4 stay"
    assert len(clean("x" * 60_000 + ".gguf" * 1000)) <= 400
