"""A stand-in for llamafile 0.10: its flags and no other, its habits, and the real engine underneath.

`install` writes a file that begins and ends like a llamafile: a shell finds a script in it, and an archive reader the
`.args` at its end. It hands on to this program, which speaks the documented flags (docs/engines.md), refuses every
other as llama.cpp does, puts the built-in arguments before the given ones, and serves with the `xllamacpp` wheel.
What its flags mean is written down here once more, on purpose: it must not believe planner about them.
"""

import io
import re
import signal
import sys
import zipfile
from pathlib import Path
from typing import Any, NoReturn

VERSION = "0.10.6"
MAGIC = "MZqFpD='\n'\n"
WRAPPER = {"--server": 0, "--chat": 0, "--cli": 0, "--gpu": 1, "--nologo": 0, "--ascii": 0, "--nothink": 0,
           "--unsecure": 0, "--confine-reads": 0}  # fmt: skip
"""llamafile's own; llama-server knows none of them."""
SERVER = {
    "-m --model": 1, "-a --alias": 1, "--host": 1, "--port": 1, "--api-key": 1, "--api-key-file": 1,
    "--cors-origins": 1, "--slots": 0, "--no-slots": 0, "--webui": 0, "--no-webui": 0, "--offline": 0,
    "-fit --fit": 1, "-np --parallel": 1, "-cram --cache-ram": 1, "-ctxcp --ctx-checkpoints --swa-checkpoints": 1,
    "-ngl --gpu-layers --n-gpu-layers": 1, "-c --ctx-size": 1, "-b --batch-size": 1, "-ub --ubatch-size": 1,
    "-ctk --cache-type-k": 1, "-ctv --cache-type-v": 1, "-fa --flash-attn": 1, "-lv --verbosity --log-verbosity": 1,
    "-t --threads": 1, "-tb --threads-batch": 1, "-dev --device": 1, "-ts --tensor-split": 1, "-sm --split-mode": 1,
    "-mg --main-gpu": 1, "-ncmoe --n-cpu-moe": 1, "-nkvo --no-kv-offload": 0, "--embedding --embeddings": 0,
    "--rerank --reranking": 0, "--pooling": 1, "--jinja": 0, "--no-jinja": 0, "--chat-template": 1, "--metrics": 0,
    "--props": 0, "--slot-save-path": 1, "--no-mmap": 0, "--mmap": 0, "--mlock": 0, "--no-repack": 0, "--temp": 1,
    "--top-k": 1, "--top-p": 1, "--min-p": 1, "-s --seed": 1, "-n --predict --n-predict": 1, "--threads-http": 1,
    "-to --timeout": 1, "-kvu --kv-unified": 0, "--swa-full": 0, "-h --help --usage": 0, "--version": 0,
}  # fmt: skip
"""What its server takes: the names of a flag, and how many values follow."""
GPUS = {"auto", "nvidia", "cublas", "amd", "rocm", "rocblas", "hip", "apple", "metal", "vulkan", "vk", "disable",
        "disabled"}  # fmt: skip
MISSING_GPUS = GPUS - {"auto", "disable", "disabled"}
FLAGS = {name: (names.split()[-1], count) for names, count in SERVER.items() for name in names.split()}
FLAGS |= {name: (name, count) for name, count in WRAPPER.items()}


class RefusedError(Exception):
    """The message it ends with, as llama.cpp prints it."""


def install(path: Path, *, arguments: tuple[str, ...] = (), version: str = VERSION) -> Path:
    """A llamafile at `path`; `arguments` are built in, as lines of `.args`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    script = f'{MAGIC}exec {sys.executable} -P {Path(__file__)} "$0" {version} "$@"\nexit 126\n'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
        zipped.writestr("readme", "a stand-in")
        if arguments:
            zipped.writestr(".args", "\n".join(arguments) + "\n")
    path.write_bytes(script.encode() + archive.getvalue())
    path.chmod(0o755)
    return path


def parse(arguments: list[str]) -> dict[str, str]:
    """Flag (its last name) → value; of two equal ones the last counts. Raises RefusedError."""
    found: dict[str, str] = {}
    rest = iter(arguments)
    for word in rest:
        if word not in FLAGS:
            raise RefusedError(f"error: invalid argument: {word}")
        name, count = FLAGS[word]
        found[name] = next(rest, "") if count else "on"
        if count and not found[name]:
            raise RefusedError(f"error: missing argument for {word}")
    if found.get("--gpu", "auto").lower() not in GPUS:
        raise RefusedError(f"error: --gpu {found['--gpu']} is not one of {' '.join(sorted(GPUS))}")
    return found


def built_in(binary: str) -> list[str]:
    with zipfile.ZipFile(binary) as zipped:
        if ".args" not in zipped.namelist():
            return []
        return [line for line in zipped.read(".args").decode().splitlines() if line and line != "..."]


def end(text: str, code: int = 1) -> NoReturn:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  # a program of its own
    sys.exit(code)


def main(binary: str, version: str, arguments: list[str]) -> None:
    arguments = [*built_in(binary), *arguments]
    try:
        given = parse(arguments)
    except RefusedError as error:
        end(str(error))
    if "--version" in given:
        end(f"llamafile v{version}", 0)
    if "--usage" in given:
        names = SERVER if "--server" in given else {"--server --chat --cli": 0}
        end("\n".join(f"{', '.join(line.split())}   does it" for line in [*names, *WRAPPER]), 0)
    if "--server" not in given:
        end("a terminal interface would start here")
    if given.get("--gpu", "auto").lower() in MISSING_GPUS:
        gpu = given["--gpu"]
        end(f"error: support for --gpu {gpu} was explicitly requested, but it wasn't available")
    serve(given)


def serve(given: dict[str, str]) -> None:
    import xllamacpp

    made = settings(xllamacpp, given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server = xllamacpp.Server(made)
    except RuntimeError as error:
        end(str(error))
    print(f"srv  llama_server: listening on {server.listening_address}", file=sys.stderr, flush=True)  # noqa: T201
    signal.pause()


def settings(module: Any, given: dict[str, str]) -> Any:
    """The flags as llama.cpp's parameters. Defaults are the server's own, generous ones."""
    made = module.CommonParams()
    made.model.path = given["--model"]
    if "--alias" in given:
        made.model_alias = {given["--alias"]}
    made.hostnames = [given.get("--host", "127.0.0.1")]
    made.port = int(given.get("--port", "8080"))
    made.n_ctx = int(given.get("--ctx-size", "0"))
    made.n_batch = int(given.get("--batch-size", "2048"))
    made.n_ubatch = int(given.get("--ubatch-size", "512"))
    made.n_parallel = int(given.get("--parallel", "-1"))
    made.n_gpu_layers = int(given.get("--n-gpu-layers", "0"))
    made.fit_params = given.get("--fit", "on") == "on"
    made.cache_ram_mib = int(given.get("--cache-ram", "8192"))
    made.endpoint_slots = "--no-slots" not in given
    made.ui = "--no-webui" not in given
    made.cors_origins = given.get("--cors-origins", "*")
    made.verbosity = int(given.get("--log-verbosity", "3"))
    keys = [given["--api-key"]] if "--api-key" in given else []
    if "--api-key-file" in given:
        keys += [line for line in Path(given["--api-key-file"]).read_text().split() if not re.match("#", line)]
    made.api_keys = keys
    if "--threads" in given:
        made.cpuparams.n_threads = int(given["--threads"])
    for name, flag in (("cache_type_k", "--cache-type-k"), ("cache_type_v", "--cache-type-v")):
        setattr(made, name, getattr(module.ggml_type, f"GGML_TYPE_{given.get(flag, 'f16').upper()}"))
    if "--embeddings" in given or "--reranking" in given:
        made.embedding = True
        pooling = "rank" if "--reranking" in given else given.get("--pooling")
        if pooling:
            made.pooling_type = getattr(module.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    return made


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
