"""`planner inspect`: the contract with scripts, the page for people, and every way to point it at something wrong."""

import json
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from planner.cli.app import run

U32, STRING, ARRAY, F32, Q8_0 = 4, 8, 9, 0, 8

CONTRACT = {
    "format", "architecture", "parameters", "quant", "bytes", "layers", "embedding_length", "head_count",
    "head_count_kv", "context_length", "vocab", "pooling", "tensors", "embedded",
}  # fmt: skip

Inspect = Callable[..., tuple[int, str, str]]


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def gguf_bytes(arch: str = "llama", *, tokens: int = 3000, **changes: Any) -> bytes:
    """A small model: one Q8_0 token table, one layer, a vocabulary that is counted but not kept."""
    values: dict[str, Any] = {
        "general.architecture": arch,
        "general.name": "Tiny",
        f"{arch}.block_count": 1,
        f"{arch}.context_length": 2048,
        f"{arch}.embedding_length": 64,
        f"{arch}.feed_forward_length": 128,
        f"{arch}.attention.head_count": 4,
        f"{arch}.attention.head_count_kv": 2,
        "general.file_type": 7,
        **{key.replace("__", "."): value for key, value in changes.items()},
    }
    keys = [text(key) + _value(value) for key, value in values.items()]
    keys.append(
        text("tokenizer.ggml.tokens")
        + struct.pack("<IIQ", ARRAY, STRING, tokens)
        + b"".join(text(f"t{index}") for index in range(tokens))
    )
    tensors = [
        text("token_embd.weight") + struct.pack("<IQQIQ", 2, 64, 32, Q8_0, 0),
        text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 64, 64, F32, 2176),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(2176 + 64 * 64 * 4)


def _value(value: str | int) -> bytes:
    return struct.pack("<I", STRING) + text(value) if isinstance(value, str) else struct.pack("<II", U32, value)


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "PLANNER_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def inspect(capsys: pytest.CaptureFixture[str]) -> Inspect:
    """Runs the command: exit code, stdout, stderr."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = run(["inspect", *map(str, arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_bytes())
    return path


def llamafile(path: Path, members: dict[str, bytes]) -> Path:
    path.write_bytes(b"MZqFpD='\n" + bytes(4000))
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_json_follows_the_contract(inspect: Inspect, model: Path) -> None:
    code, out, err = inspect(model, "--json")
    body = json.loads(out)
    assert (code, err) == (0, "")
    assert body.keys() >= CONTRACT
    expected = {
        "format": "gguf", "architecture": "llama", "parameters": 32 * 64 + 64 * 64, "quant": "Q8_0", "layers": 1,
        "embedding_length": 64, "head_count": 4, "head_count_kv": 2, "context_length": 2048, "vocab": 3000,
        "pooling": None, "tensors": 2, "embedded": [], "bytes": model.stat().st_size,
        "tensor_bytes": 2176 + 64 * 64 * 4, "token_embedding_bytes": 2176, "tied_embeddings": True,
    }  # fmt: skip
    assert {key: body[key] for key in expected} == expected


def test_the_page_for_people_is_aligned_and_names_the_facts(inspect: Inspect, model: Path) -> None:
    code, out, err = inspect(model)
    lines = [line for line in out.splitlines()[1:] if line.startswith("  ") and "!" not in line]
    assert (code, err) == (0, "")
    assert len({re.match(r" +\S+ +", line).end() for line in lines}) == 1  # type: ignore[union-attr]  # all match
    for fact in ("llama, 1 layer", "Q8_0", "4 heads, 2 KV heads of length 16", "2,048 tokens", "3,000 tokens"):
        assert fact in out


def test_a_llamafile_names_what_it_embeds(inspect: Inspect, tmp_path: Path, model: Path) -> None:
    path = llamafile(tmp_path / "a.llamafile", {"tiny.gguf": model.read_bytes(), ".args": b"-m\n/zip/tiny.gguf\n"})
    code, out, _ = inspect(path, "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["format"], body["architecture"], body["quant"]) == ("llamafile", "llama", "Q8_0")
    assert body["embedded"] == [{"name": "tiny.gguf", "bytes": model.stat().st_size, "stored": True}]
    assert body["arguments"] == ["-m", "/zip/tiny.gguf"]
    assert body["bytes"] == path.stat().st_size


def test_a_llamafile_without_weights_has_no_architecture(inspect: Inspect, tmp_path: Path) -> None:
    path = llamafile(tmp_path / "engine", {"README": b"no weights"})
    code, out, _ = inspect(path, "--json")
    body = json.loads(out)
    assert code == 0
    assert body.keys() >= CONTRACT
    assert (body["format"], body["architecture"], body["embedded"]) == ("llamafile", None, [])
    assert inspect(path)[0] == 0


def test_several_models_inside_must_be_named(inspect: Inspect, tmp_path: Path) -> None:
    path = llamafile(tmp_path / "a.llamafile", {"one.gguf": gguf_bytes("qwen3"), "two.gguf": gguf_bytes("clip")})
    code, _, err = inspect(path)
    assert code == 2
    assert "one.gguf, two.gguf" in err
    assert "--member" in err
    code, out, _ = inspect(path, "--member", "one.gguf", "--json")
    assert (code, json.loads(out)["architecture"]) == (0, "qwen3")


@pytest.mark.parametrize(
    "target", ["missing.gguf", ".", "hf:no-slash", "hf:owner/name", "hf:o/n/../../x", "ftp://x/y"]
)
def test_a_target_that_cannot_be_right_is_a_usage_error(
    inspect: Inspect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = inspect(target, "--json")
    assert code == 2
    assert json.loads(out)["error"]["hint"]


@pytest.mark.parametrize(
    "content",
    [b"", b"GGUF", b"<html>log in</html>", b"MZqFpD='\n" + bytes(100), gguf_bytes()[:-100], b"PK\3\4" + bytes(50)],
)
def test_a_file_that_is_not_what_it_claims_is_bad_data(inspect: Inspect, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(content)
    code, out, _ = inspect(path, "--json")
    body = json.loads(out)
    assert code == 4
    assert "odd.gguf" in body["error"]["message"]


def test_a_lone_part_says_so(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "big-00001-of-00003.gguf"
    path.write_bytes(gguf_bytes())
    code, out, _ = inspect(path, "--json")
    body = json.loads(out)
    assert code == 0
    assert body["shard"] == {"number": 1, "count": 3}
    assert body["missing_parts"] == ["big-00002-of-00003.gguf", "big-00003-of-00003.gguf"]
    assert "part 1 of 3" in inspect(path)[1]


def test_implausible_numbers_are_shown_with_a_warning(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    path.write_bytes(gguf_bytes(llama__block_count=2**32 - 1, llama__attention__head_count=0))
    code, out, _ = inspect(path, "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["layers"], body["head_count"], body["plausible"]) == (2**32 - 1, 0, False)
    assert "llama.block_count" in inspect(path)[1]


def test_control_characters_do_not_reach_the_terminal(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    evil = "na\x1b]0;owned\x07me\x9b2J\r\nsecond line"
    path.write_bytes(gguf_bytes("evil\x1b[31m", general__name=evil))
    for arguments in ((path,), (path, "--json")):
        code, out, err = inspect(*arguments)
        assert code == 0
        assert not set(out + err) & {"\x1b", "\x07", "\x9b", "\r"}
        assert "\\u001b" not in out
    assert "owned" in inspect(path)[1]


# Remote


def serve(server: HTTPServer, data: bytes) -> list[Request]:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["Range"])
        assert match is not None
        start, end = int(match[1]), min(int(match[2]), len(data) - 1)
        return Response(data[start : end + 1], 206, {"Content-Range": f"bytes {start}-{end}/{len(data)}"})

    server.expect_request(re.compile(".*")).respond_with_handler(answer)
    return seen


def test_a_web_address_is_read_by_ranges_without_the_weights(inspect: Inspect, httpserver: HTTPServer) -> None:
    data = gguf_bytes() + bytes(3_000_000)
    seen = serve(httpserver, data)
    code, out, _ = inspect(httpserver.url_for("/tiny.gguf"), "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["architecture"], body["bytes"]) == ("llama", len(data))
    assert len(seen) <= 2


def test_a_remote_llamafile_is_read_too(inspect: Inspect, httpserver: HTTPServer, tmp_path: Path) -> None:
    path = llamafile(
        tmp_path / "a", {"pad.bin": bytes(900_000), "tiny.gguf": gguf_bytes(), "end.bin": bytes(900_000)}
    )
    serve(httpserver, path.read_bytes())
    code, out, _ = inspect(httpserver.url_for("/a.llamafile"), "--json")
    assert (code, json.loads(out)["architecture"]) == (0, "llama")


def test_the_hub_is_asked_with_the_token(
    inspect: Inspect, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", httpserver.url_for(""))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = serve(httpserver, gguf_bytes())
    assert inspect("hf:owner/name/sub/tiny-Q8_0.gguf", "--json")[0] == 0
    assert inspect("hf:owner/name@abc123/tiny-Q8_0.gguf", "--json")[0] == 0
    assert [request.path for request in seen] == [
        "/owner/name/resolve/main/sub/tiny-Q8_0.gguf",
        "/owner/name/resolve/abc123/tiny-Q8_0.gguf",
    ]
    assert {request.headers["Authorization"] for request in seen} == {"Bearer hf_secret"}


def test_the_token_is_for_the_hub_only(
    inspect: Inspect, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    seen = serve(httpserver, gguf_bytes())
    assert inspect(httpserver.url_for("/tiny.gguf"))[0] == 0
    assert all("Authorization" not in request.headers for request in seen)


def test_a_file_that_is_not_there_is_a_remote_error(inspect: Inspect, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/gone.gguf").respond_with_data("no", status=404)
    code, out, _ = inspect(httpserver.url_for("/gone.gguf"), "--json")
    assert (code, json.loads(out)["error"]["reference"]) == (5, "not-found")


@pytest.mark.parametrize("target", ["hf:owner/name/tiny.gguf", "http://127.0.0.1:9/tiny.gguf"])
def test_offline_opens_no_connection(inspect: Inspect, target: str) -> None:
    code, out, _ = inspect(target, "--offline", "--json")
    assert (code, json.loads(out)["error"]["reference"]) == (5, "offline")


def test_plain_http_to_another_machine_is_refused(inspect: Inspect) -> None:
    code, out, _ = inspect("http://example.org/tiny.gguf", "--json")
    assert (code, json.loads(out)["error"]["reference"]) == (5, "insecure-url")


def test_the_tensors_are_shown_on_demand(inspect: Inspect, model: Path) -> None:
    _, out, _ = inspect(model, "--tensors")
    assert re.search(r"^NAME +SHAPE +TYPE +BYTES$", out, re.MULTILINE)
    assert re.search(r"^blk\.0\.attn_q\.weight +64 x 64 +F32 +16,384$", out, re.MULTILINE)
    body = json.loads(inspect(model, "--tensors", "--json")[1])
    assert body["tensor_table"][0] == {"name": "token_embd.weight", "shape": [64, 32], "type": "Q8_0", "bytes": 2176}
    assert "tensor_table" not in json.loads(inspect(model, "--json")[1])


def test_the_mix_of_types_the_tokenizer_and_the_template_are_told(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "mix.gguf"
    changes: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.chat_template": "{{ x }}",
    }
    path.write_bytes(gguf_bytes(**changes))
    body = json.loads(inspect(path, "--json")[1])
    assert body["tensor_type_counts"] == {"Q8_0": 1, "F32": 1}
    assert body["bits_per_weight"] == pytest.approx((2176 + 16384) * 8 / (64 * 32 + 64 * 64), abs=1e-3)
    assert (body["tokenizer"], body["tokenizer_pre"], body["chat_template"]) == ("gpt2", "smollm", True)
    _, out, _ = inspect(path)
    assert "gpt2, split as smollm" in out
    assert "has a chat template" in out
    assert "{{" not in out


def test_what_a_llamafile_would_do_by_itself_is_a_danger(inspect: Inspect, tmp_path: Path) -> None:
    path = tmp_path / "open.llamafile"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.gguf", gguf_bytes())
        archive.writestr(".args", "-m\nmodel.gguf\n--host\n0.0.0.0\n")
    body = json.loads(inspect(path, "--json")[1])
    assert body["warnings"] == ["--host 0.0.0.0: listens for the whole network, not for this machine alone."]
    assert "! Danger: --host 0.0.0.0" in inspect(path)[1]
