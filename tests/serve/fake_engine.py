"""A stand-in for llama-server: its `--help`, its log lines and its HTTP, and many ways to misbehave.

Run as `fake_engine.py MODE ARGUMENTS…`; `install` makes an executable of it that hides the mode.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FLAGS = (
    "--model --alias --host --port --api-key-file --cors-origins --no-slots --no-webui --offline --fit --parallel "
    "--cache-ram --n-gpu-layers --ctx-size --batch-size --ubatch-size --cache-type-k --cache-type-v --flash-attn "
    "--log-verbosity --threads --device --embeddings --pooling --jinja --reranking --list-devices --version --help"
)
SWITCHES = {"--no-slots", "--no-webui", "--offline", "--embeddings", "--jinja", "--reranking"}
SMALL_CONTEXT = 256
"""Up to here the mode `oom-unless-small` comes up."""
GOOD_VECTORS = 40
"""How many vectors the modes `nan` and `wrong-dims` give before theirs turn bad: enough for start and checks."""
BUFFERS = """\
0.00.353.398 I load_tensors:   CPU_Mapped model buffer size =    20.00 MiB
0.00.356.985 I llama_context:        CPU  output buffer size =     0.25 MiB
0.00.357.116 I llama_kv_cache:        CPU KV buffer size =    10.00 MiB
0.00.754.512 I sched_reserve:        CPU compute buffer size =     4.75 MiB
"""


def install(path: Path, mode: str) -> Path:
    """An executable at `path` that behaves as `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!{sys.executable} -IS\nimport os, sys\n"
        f"os.execv(sys.executable, [sys.executable, '-IS', {str(Path(__file__))!r}, {mode!r}, *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return path


def say(text: str) -> None:
    sys.stderr.write(text if text.endswith("\n") else text + "\n")
    sys.stderr.flush()


def main(mode: str, arguments: list[str]) -> int:
    if "--version" in arguments:
        say(
            {
                "old-build": "version: 9000 (abc1234)",
                "custom": "version: 0.6.0-dev (build 0, commit unknown)",
                "unnumbered": "version: 0.5.0 (build 0, commit unknown)",
            }.get(mode, "version: 11434 (abc1234)")
        )
        return 0
    if "--help" in arguments:
        flags = FLAGS.replace("--api-key-file ", "") if mode == "old-flags" else FLAGS
        sys.stdout.write("usage: llama-server\n" + "\n".join(f"  {flag}   does it" for flag in flags.split()) + "\n")
        return 0
    if "--list-devices" in arguments:
        sys.stdout.write("Available devices:\n  (none)\n")
        return 0
    if mode == "dies-of-signal-in-help":
        return 0
    return serve(mode, arguments)


def serve(mode: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("-m", dest="model")
    for flag in FLAGS.split():
        if flag not in ("--model", "--help", "--version", "--list-devices"):
            parser.add_argument(flag, action="store_true" if flag in SWITCHES else "store")
    options = parser.parse_args(arguments)
    if mode == "refuses-flag" and "--offline" in arguments:
        say("error: invalid argument: --offline")
        return 1
    key = Path(options.api_key_file).read_text().strip()
    say(f"0.00.003.526 I srv  init_listene: api_keys: ****{key[-4:]}")
    if mode == "oom-unless-small" and int(options.ctx_size) > SMALL_CONTEXT:
        os.kill(os.getpid(), signal.SIGKILL)
    before_loading(mode, key)
    say(BUFFERS)
    handler = type(
        "Handler", (Handler,), {"key": key, "mode": mode, "embeds": options.embeddings, "ranks": options.reranking}
    )
    server = ThreadingHTTPServer((options.host, int(options.port)), handler)
    server.daemon_threads = True
    port = server.server_address[1]
    if mode == "orphan":
        # Another program of its own that ignores a polite request to end.
        code = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)"
        subprocess.Popen([sys.executable, "-IS", "-c", code])
    if mode == "wrong-port":
        port += 1 if port < 65535 else -1
    if mode == "useless-port":
        port = 99999
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if mode not in ("silent", "exposed"):
        say(f"0.00.804.462 I srv          init: listening on http://127.0.0.1:{port}")
    if mode == "exposed":
        # What a setting of somebody else's may do, whatever host was asked for.
        other = socket.create_server(("0.0.0.0", 0))  # noqa: S104  # that is the point
        say(f"listening on http://127.0.0.1:{port} and {other.getsockname()}")
    server.serve_forever(poll_interval=0.05)
    return 0


def before_loading(mode: str, key: str) -> None:  # noqa: C901  # one arm per way to misbehave
    match mode:
        case "slow":
            for step in range(6):
                say(f"loading model tensors, step {step}")
                time.sleep(0.1)
        case "crash":
            say("llama_model_load: error loading model: tensor 'blk.0' data is not within the file bounds")
            say("srv    load_model: failed to load model, '/models/x.gguf'")
            sys.exit(1)
        case "hang":
            time.sleep(600)
        case "oom":
            os.kill(os.getpid(), signal.SIGKILL)
        case "illegal":
            os.kill(os.getpid(), signal.SIGILL)
        case "alloc":
            say("alloc_tensor_range: failed to allocate CPU buffer of size 99999999")
            sys.exit(1)
        case "noisy":
            for _ in range(40):
                say("noise " * 20_000)
        case "leaks-key":
            say(f"error: failed with key {key} and Authorization: Bearer {key}")
            sys.exit(1)
        case "spoof":
            say("llama_model_loader: general.name str = listening on http://127.0.0.1:1")
            say("llama_model_loader: general.author str = listening on http://evil.example:80")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    key = ""
    mode = ""
    embeds = False
    ranks = False
    made = 0

    @property
    def given(self) -> int:
        """Vectors given so far, by all connections of this engine together."""
        return type(self).made

    @given.setter
    def given(self, count: int) -> None:
        type(self).made = count

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: object, content_type: str = "application/json") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        if self.path == "/health":
            loading = self.mode == "forever-503"
            self.answer(503 if loading else 200, {"status": "loading" if loading else "ok"})
        else:
            self.answer(404, {"error": {"message": "no", "code": 404}})

    def before_answering(self) -> None:
        match self.mode:
            case "killed-by-request" | "illegal-by-request":
                os.kill(os.getpid(), signal.SIGKILL if self.mode == "killed-by-request" else signal.SIGILL)
                time.sleep(600)  # another thread may be the one that is told; this one must not answer meanwhile
            case "dies-with-open-connection":
                # A process of its own keeps the connection open: nobody ever answers, and nobody hangs up.
                code = "import time; time.sleep(600)"
                subprocess.Popen([sys.executable, "-IS", "-c", code], pass_fds=[self.connection.fileno()])
                os.kill(os.getpid(), signal.SIGKILL)
            case "breaks-off":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        self.before_answering()
        if self.mode == "breaks-off":
            return
        if self.path == "/die":
            os._exit(3)
        if self.path == "/freeze":
            self.answer(200, {})
            os.kill(os.getpid(), signal.SIGSTOP)
            return
        if self.headers.get("Authorization") != f"Bearer {self.key}":
            self.answer(401, {"error": {"message": "Invalid API Key", "code": 401}})
        elif self.path == "/tokenize":
            self.answer(200, {"tokens": tokens_of(body["content"])})
        elif self.path == "/v1/embeddings" and self.embeds:
            self.embed(body)
        elif self.path == "/v1/rerank" and self.ranks:
            asked = vector(body["query"], 384)
            scores = [float(vector(text, 384) == asked) for text in body["documents"]]
            self.answer(200, {"results": [{"index": i, "relevance_score": s} for i, s in enumerate(scores)]})
        elif self.path == "/v1/chat/completions" and not self.embeds and not self.ranks:
            self.chat(body)
        else:
            self.answer(501, {"error": {"message": "not supported", "code": 501}})

    def embed(self, body: dict[str, Any]) -> None:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        length = 3 if self.mode == "short-vectors" else 384
        data = [{"index": i, "embedding": vector(text, length)} for i, text in enumerate(texts)]
        self.given += len(data)
        if self.mode == "nan" and self.given > GOOD_VECTORS:
            data = [{"index": i, "embedding": [None] * length} for i, _ in enumerate(texts)]
        if self.mode == "wrong-dims" and self.given > GOOD_VECTORS:
            data = [{"index": i, "embedding": vector(text, 5)} for i, text in enumerate(texts)]
        used = sum(len(str(text).split()) for text in texts)
        self.answer(200, {"model": "x", "object": "list", "data": data, "usage": {"prompt_tokens": used}})

    def chat(self, body: dict[str, Any]) -> None:
        said = [] if self.mode == "mute" and body.get("max_tokens") != 1 else ["Hello", " there"]
        timings = {"predicted_n": 24, "predicted_per_second": 50.0, "prompt_n": 200, "prompt_per_second": 500.0}
        usage = {"prompt_tokens": 5, "completion_tokens": len(said)}
        if body.get("stream") and self.mode == "dies-of-stream":
            os._exit(3)
        if not body.get("stream"):
            message = {"role": "assistant", "content": "".join(said)}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            self.answer(200, {"choices": [choice], "usage": usage, "timings": timings})
            return
        events: list[dict[str, Any]] = [{"choices": [{"index": 0, "delta": {"content": word}}]} for word in said]
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "timings": timings})
        events.append({"choices": [], "usage": usage, "timings": timings})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]
        self.answer(200, "".join(lines).encode(), "text/event-stream")


def tokens_of(content: Any) -> list[int]:
    if isinstance(content, list):
        return [token for part in content for token in (tokens_of(part) if isinstance(part, str) else [part])]
    return [len(word) for word in str(content).split()]


SUBJECTS = (("cat", "kitten"), ("honey",), ("suitcase", "luggage"), ("rust", "corroding"))
"""What the fake's vectors mean: each subject is a direction, and all else one more."""


def vector(text: object, length: int) -> list[float]:
    words = str(text).lower()
    found = [0.0] * length
    subject = next((i for i, names in enumerate(SUBJECTS) if any(name in words for name in names)), length - 1)
    found[min(subject, length - 1)] = 1.0
    return found


if __name__ == "__main__":
    threading.stack_size(256 * 1024)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
