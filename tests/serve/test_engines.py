"""The command an engine is started with: right flags, no secret, nothing from outside."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from planner.core.launch.launch_plan import EngineKind, embedded_parameters, engine_argv
from planner.core.machines.hardware import Backend
from planner.core.memory.cautions import CHECKPOINTS
from planner.core.memory.estimate import DeviceMemory
from planner.core.models.model import Pooling, Role
from planner.errors import EngineError
from planner.serve.engine.capabilities import parse_flags
from planner.serve.engine.embedded_child import common_params
from planner.serve.engine.engines import Engine, Files, longest_input, make_command
from planner.serve.engine.environment import engine_environment, spin_count, system_config_file
from tests.serve.fake_engine import FLAGS
from tests.serve.plans import process

KEY = "the-key"
FILES = Files(model=Path("/m/x.gguf"), key=Path("/d/engine.key"), config_home=Path("/d/config"), temp=Path("/d/tmp"))


def argv(kind: EngineKind, role: Role, flags: str = FLAGS, **changes: Any) -> list[str]:
    plan = msgspec.structs.replace(process(role), **changes)
    return list(
        engine_argv(
            kind,
            plan,
            binary="/bin/engine",
            model_path="/m/x.gguf",
            key_file="/d/engine.key",
            flags=parse_flags(flags),
        )
    )


def value(arguments: list[str], flag: str) -> str:
    return arguments[arguments.index(flag) + 1]


def test_every_default_that_moves_is_named() -> None:
    made = argv(EngineKind.LLAMA_SERVER, Role.GENERATION)
    assert made[:3] == ["/bin/engine", "-m", "/m/x.gguf"]
    assert value(made, "--host") == "127.0.0.1"
    assert value(made, "--port") == "0"
    assert value(made, "--fit") == "off"
    assert value(made, "--cache-ram") == "0"
    assert value(made, "--n-gpu-layers") == "0"
    assert value(made, "--device") == "none"
    assert value(made, "--ctx-size") == "512"
    assert value(made, "--cors-origins") == "localhost"
    assert {"--no-slots", "--no-webui", "--offline", "--jinja"} <= set(made)
    assert "--embeddings" not in made


def test_an_embedder_is_told_its_pooling() -> None:
    made = argv(EngineKind.LLAMA_SERVER, Role.EMBEDDING)
    assert "--embeddings" in made
    assert value(made, "--pooling") == "mean"
    assert "--jinja" not in made


def test_without_a_known_pooling_the_file_decides() -> None:
    model = msgspec.structs.replace(process(Role.EMBEDDING).model, pooling=None)
    assert "--pooling" not in argv(EngineKind.LLAMA_SERVER, Role.EMBEDDING, model=model)


def test_only_the_cards_that_take_layers_are_named() -> None:
    plan = process(Role.GENERATION)
    rows = tuple(DeviceMemory(name, 1, 1, 1, 1, 4, 8) for name in ("cuda:0", "cuda:2", "host"))
    memory = msgspec.structs.replace(plan.estimate.memory, devices=rows)
    estimate = msgspec.structs.replace(plan.estimate, memory=memory)
    changes = {"backend": Backend.CUDA, "n_gpu_layers": 13, "estimate": estimate, "tensor_split": (7.0, 0.0, 6.0)}
    flags = FLAGS + " --device --tensor-split"
    made = argv(EngineKind.LLAMA_SERVER, Role.GENERATION, flags, **changes)
    assert value(made, "--device") == "CUDA0,CUDA2"
    assert value(made, "--tensor-split") == "7,6"
    made = argv(EngineKind.LLAMA_SERVER, Role.GENERATION, flags, **{**changes, "backend": Backend.ROCM})
    assert "--device" not in made
    assert value(made, "--tensor-split") == "7,0,6"


def test_cards_are_numbered_as_the_probe_numbers_them() -> None:
    made = engine_environment({"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}, config_home=Path("/c"))
    assert made["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_threads_of_two_busy_engines_do_not_spin_the_processor_away() -> None:
    made = engine_environment({"GOMP_SPINCOUNT": "infinity"}, config_home=Path("/c"))
    assert int(made["GOMP_SPINCOUNT"]) in range(1000, 100_000)
    assert spin_count("AMD64") == spin_count("x86_64") < spin_count("aarch64")


def test_a_flag_its_help_does_not_name_is_not_passed() -> None:
    made = argv(EngineKind.LLAMA_SERVER, Role.GENERATION, flags="--host --port --api-key-file --ctx-size")
    assert {part for part in made if part.startswith("--")} == {"--host", "--port", "--api-key-file", "--ctx-size"}


def test_a_llamafile_goes_through_sh_and_names_the_gpu_it_means() -> None:
    made = argv(EngineKind.LLAMAFILE, Role.GENERATION)
    assert made[:5] == ["/bin/sh", "/bin/engine", "--server", "--gpu", "disable"]
    made = argv(EngineKind.LLAMAFILE, Role.GENERATION, backend=Backend.CUDA, n_gpu_layers=13)
    assert value(made, "--gpu") == "nvidia"
    assert "--device" not in made


def test_threads_are_bounded_when_the_plan_says_so() -> None:
    assert "--threads" not in argv(EngineKind.LLAMA_SERVER, Role.GENERATION)
    assert value(argv(EngineKind.LLAMA_SERVER, Role.GENERATION, threads=3), "--threads") == "3"


def test_the_embedded_engine_gets_its_key_on_stdin_only() -> None:
    engine = Engine(kind=EngineKind.EMBEDDED, version="1")
    environ = {"PATH": "/bin", "HF_TOKEN": "hf", "PYTHONPATH": "/p", "LLAMA_ARG_HOST": "0.0.0.0"}  # noqa: S104
    command = make_command(engine, process(Role.EMBEDDING), files=FILES, api_key=KEY, token="tok", environ=environ)
    assert command.argv[:4] == (sys.executable, "-P", "-m", "planner.serve.engine.embedded_child")
    assert KEY not in " ".join(command.argv) + repr(command.environ)
    assert command.stdin is not None
    assert json.loads(command.stdin)["api_key"] == KEY
    ours = {"XDG_CONFIG_HOME", "CUDA_DEVICE_ORDER", "GOMP_SPINCOUNT"}
    assert set(command.environ) == {"PATH", "PYTHONPATH"} | ours


class Names:
    """Stands for an enum of the wheel: any name is itself."""

    def __getattr__(self, name: str) -> str:
        return name


def wheel() -> Any:
    """The shape of the `xllamacpp` module."""

    def params() -> Any:
        return SimpleNamespace(
            model=SimpleNamespace(path=""), cpuparams=SimpleNamespace(n_threads=-1), tensor_split=[0.0] * 4
        )

    return SimpleNamespace(
        CommonParams=params, ggml_type=Names(), llama_flash_attn_type=Names(), llama_pooling_type=Names()
    )


@pytest.mark.parametrize("role", list(Role))
def test_the_embedded_engine_is_closed_to_everybody_else(role: Role) -> None:
    plan = msgspec.structs.replace(process(role), threads=3, tensor_split=(0.5, 0.5))
    command = make_command(
        Engine(kind=EngineKind.EMBEDDED, version="1"), plan, files=FILES, api_key=KEY, token="t", environ={}
    )
    assert command.stdin is not None
    made = common_params(wheel(), json.loads(command.stdin))
    assert (made.hostnames, made.port, made.api_keys, made.cors_origins) == (["127.0.0.1"], 0, [KEY], "localhost")
    assert (made.ui, made.endpoint_slots, made.endpoint_props, made.fit_params, made.cache_ram_mib) == (
        False,
        False,
        False,
        False,
        0,
    )
    assert made.n_ctx_checkpoints == CHECKPOINTS
    assert made.model.path == "/m/x.gguf"
    assert made.cpuparams.n_threads == 3
    assert made.tensor_split == [0.5, 0.5, 0.0, 0.0]
    expected = {
        Role.EMBEDDING: "LLAMA_POOLING_TYPE_MEAN",
        Role.RERANKER: "LLAMA_POOLING_TYPE_RANK",
        Role.GENERATION: None,
    }[role]
    assert getattr(made, "pooling_type", None) == expected
    assert getattr(made, "embedding", False) is (role is not Role.GENERATION)


def test_the_environment_is_an_allow_list() -> None:
    outside = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "LC_ALL": "C",
        "CUDA_VISIBLE_DEVICES": "1",
        "HF_TOKEN": "secret",
        "LLAMA_API_KEY": "foreign",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "XDG_CONFIG_HOME": "/home/me/.config",
        "PYTHONPATH": "/p",
        "LD_PRELOAD": "/evil.so",
        "HTTPS_PROXY": "http://user:password@proxy",
    }
    seen = engine_environment(outside, config_home=Path("/empty"), temp_dir=Path("/t"))
    ours = {"XDG_CONFIG_HOME", "TMPDIR", "CUDA_DEVICE_ORDER", "GOMP_SPINCOUNT"}
    assert set(seen) == {"PATH", "HOME", "LC_ALL", "CUDA_VISIBLE_DEVICES"} | ours
    assert (seen["XDG_CONFIG_HOME"], seen["TMPDIR"]) == ("/empty", "/t")


def test_the_system_wide_settings_are_noticed(tmp_path: Path) -> None:
    assert system_config_file("linux", tmp_path) is None
    (tmp_path / "etc/llama.cpp").mkdir(parents=True)
    (tmp_path / "etc/llama.cpp/config.ini").write_text("api-key = x")
    assert system_config_file("linux", tmp_path) == tmp_path / "etc/llama.cpp/config.ini"


def test_only_a_causal_model_that_pools_last_takes_more_than_a_micro_batch() -> None:
    plan = process(Role.EMBEDDING)
    plan = msgspec.structs.replace(plan, settings=msgspec.structs.replace(plan.settings, ubatch=128))
    assert longest_input(plan) == 128
    assert longest_input(process(Role.GENERATION)) == 512
    assert plan.model.pooling is Pooling.MEAN


def test_experts_that_stay_on_the_host_are_named_to_every_engine() -> None:
    plan = msgspec.structs.replace(process(layers=13), n_cpu_moe=3)
    flags = frozenset({"--n-cpu-moe", "--ctx-size"})
    known = engine_argv(
        EngineKind.LLAMA_SERVER, plan, binary="llama-server", model_path="m", key_file="k", flags=flags
    )
    assert value(list(known), "--n-cpu-moe") == "3"
    with pytest.raises(EngineError, match="does not know --n-cpu-moe"):
        engine_argv(
            EngineKind.LLAMA_SERVER, plan, binary="old", model_path="m", key_file="k", flags=flags - {"--n-cpu-moe"}
        )
    pattern = str(embedded_parameters(plan, model_path="m", api_key="k")["tensor_overrides"]).removesuffix("=CPU")
    assert [bool(re.match(pattern, f"blk.{layer}.ffn_up_exps.weight")) for layer in (0, 2, 3, 20)] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not re.match(pattern, "blk.0.attn_q.weight")


def test_a_cache_that_stays_on_the_host_is_said() -> None:
    plan = process(layers=13)
    plan = msgspec.structs.replace(plan, settings=msgspec.structs.replace(plan.settings, kv_offload=False))
    flags = frozenset({"--no-kv-offload"})
    given = engine_argv(EngineKind.LLAMA_SERVER, plan, binary="b", model_path="m", key_file="k", flags=flags)
    assert "--no-kv-offload" in given
    assert embedded_parameters(plan, model_path="m", api_key="k")["kv_offload"] is False
