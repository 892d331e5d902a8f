"""The embedded engine's process: `python -m planner.serve.engine.embedded_child TOKEN`.

Always a process of its own: the constructor blocks and holds the interpreter's lock, a failed allocation kills the
process, and a native crash takes the interpreter with it. The parameters, the API key among them, come as one JSON
line on stdin (arguments are public); the process ends when stdin does. It prints one line when it is ready:
`planner: listening on http://127.0.0.1:PORT`; everything else in its output is llama.cpp's log.
"""

import contextlib
import json
import os
import sys
from typing import Any

_POOLING = {
    "none": "LLAMA_POOLING_TYPE_NONE",
    "mean": "LLAMA_POOLING_TYPE_MEAN",
    "cls": "LLAMA_POOLING_TYPE_CLS",
    "last": "LLAMA_POOLING_TYPE_LAST",
    "rank": "LLAMA_POOLING_TYPE_RANK",
}
_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def die_with_parent() -> None:
    """Linux: have the kernel end this process when its parent ends, however the parent ends."""
    if sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415  # only this system has the call

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def common_params(module: Any, values: dict[str, Any]) -> Any:
    """llama.cpp's `CommonParams` for our values (`core.launch.launch_plan.embedded_parameters` makes them).

    `module` is the `xllamacpp` module. Every value whose default is wrong, moving or too generous is set.
    """
    params = module.CommonParams()
    params.model.path = values["model"]
    params.model_alias = {values["alias"]}
    params.n_ctx = values["n_ctx"]
    params.n_batch = values["n_batch"]
    params.n_ubatch = values["n_ubatch"]
    params.n_parallel = values["n_parallel"]
    params.n_gpu_layers = values["n_gpu_layers"]
    params.cache_type_k = getattr(module.ggml_type, f"GGML_TYPE_{values['cache_type_k'].upper()}")
    params.cache_type_v = getattr(module.ggml_type, f"GGML_TYPE_{values['cache_type_v'].upper()}")
    flash = "ENABLED" if values["flash_attention"] else "DISABLED"
    params.flash_attn_type = getattr(module.llama_flash_attn_type, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
    if values.get("tensor_split"):
        shares = list(values["tensor_split"])
        params.tensor_split = shares + [0.0] * (len(params.tensor_split) - len(shares))
    if values.get("tensor_overrides"):
        params.tensor_buft_overrides = values["tensor_overrides"]
    params.no_kv_offload = not values.get("kv_offload", True)
    if values.get("threads"):
        params.cpuparams.n_threads = values["threads"]
    pooling = values.get("pooling")
    if values["embedding"] or values["reranking"]:
        params.embedding = True
        pooling = "rank" if values["reranking"] else pooling
        if pooling:
            params.pooling_type = getattr(module.llama_pooling_type, _POOLING[pooling])
    params.api_keys = [values["api_key"]]
    params.hostnames = ["127.0.0.1"]
    params.port = values.get("port", 0)
    params.cors_origins = "localhost"
    params.fit_params = False
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = values.get("checkpoints", 0)
    params.endpoint_slots = False
    params.endpoint_props = False
    params.ui = False
    params.verbosity = 4
    return params


def main() -> int:
    """Serve until stdin ends. Exit code 1 when the server cannot be made; the reason is in llama.cpp's own lines."""
    parent = os.getppid()
    die_with_parent()
    if os.getppid() != parent:
        return 1
    line = sys.stdin.buffer.readline()
    try:
        values = json.loads(line)
    except ValueError:
        return _fail("no parameters on stdin")
    try:
        import xllamacpp  # noqa: PLC0415  # heavy, and may be missing
    except ImportError as error:
        return _fail(f"the xllamacpp package cannot be loaded: {error}")
    try:
        server = xllamacpp.Server(common_params(xllamacpp, values))
    except (RuntimeError, ValueError, AttributeError, TypeError) as error:
        return _fail(f"error: {error}")
    # A disk that takes no more log must not end a server that runs.
    with contextlib.suppress(OSError):
        sys.stdout.write(f"planner: listening on {server.listening_address}\n")
        sys.stdout.flush()
    sys.stdin.buffer.read()
    del server
    return 0


def _fail(text: str) -> int:
    sys.stderr.write(f"planner: {text}\n")
    sys.stderr.flush()
    return 1


if __name__ == "__main__":
    sys.exit(main())
