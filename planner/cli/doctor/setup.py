"""Sections about the installation: planner itself, packages, settings, environment, proxies."""

import importlib.metadata
import json
import re
import sys
import sysconfig
import tomllib
from collections.abc import Mapping
from pathlib import Path

from planner import __version__
from planner.cli.doctor.private import proxy_host
from planner.cli.doctor.report import Context, Found, Problem

_SHOWN = frozenset(
    {
        "PLANNER_ENGINE", "PLANNER_OFFLINE", "PLANNER_DEBUG", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES", "HSA_OVERRIDE_GFX_VERSION", "ONEAPI_DEVICE_SELECTOR",
        "LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "NO_COLOR", "OMP_NUM_THREADS", "PYTHONUTF8",
        "PYTHONIOENCODING",
    }
)  # fmt: skip
"""Variables whose values are harmless; of all others it is only said that they are set."""
_NAMED = re.compile(
    r"(PLANNER|HF|HUGGING_?FACE|LLAMA|GGML|CUDA|NVIDIA|HIP|ROCR|HSA|VK|XDG_(CONFIG|DATA|STATE|CACHE)|SSL_CERT)_\w+|"
    r"PYTHONPATH|PYTHONHOME|VIRTUAL_ENV|CONDA_PREFIX|LD_LIBRARY_PATH|LD_PRELOAD|DYLD_\w+|REQUESTS_CA_BUNDLE|TMPDIR"
)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_FALSE = frozenset({"0", "off", "no", "false"})
_FROM_ENVIRONMENT = {
    "offline": ("PLANNER_OFFLINE", "HF_HUB_OFFLINE"),
    "hf_endpoint": ("HF_ENDPOINT",),
    "engine": ("PLANNER_ENGINE",),
    "engine_path": ("PLANNER_ENGINE_PATH",),
}
_SETTINGS = ("data_dir", "cache_dir", "state_dir", "offline", "hf_endpoint", "engine", "engine_path", "catalogs")


def planner(context: Context) -> Found:
    """Version of planner and how it was installed."""
    del context
    return Found({"version": __version__, "installed": _installed()})


def _installed() -> str:
    """The kind of installation, without its place."""
    prefix = Path(sys.prefix)
    if "pipx" in prefix.parts:
        place = "pipx"
    elif "uv" in prefix.parts and "tools" in prefix.parts:
        place = "uv tool"
    elif sys.prefix != sys.base_prefix:
        place = "a virtual environment"
    elif (prefix / "conda-meta").is_dir():
        place = "a conda environment"
    else:
        own = Path(__file__).is_relative_to(sysconfig.get_path("purelib"))
        place = "the system's Python" if own else "a folder of the user"
    try:
        told = json.loads(importlib.metadata.distribution("planner").read_text("direct_url.json") or "{}")
    except importlib.metadata.PackageNotFoundError:
        return f"not installed: run from its source, with {place}"
    except ValueError:
        told = {}
    editable = isinstance(told, dict) and bool(told.get("dir_info", {}).get("editable"))
    return f"{'editable' if editable else 'package'}, in {place}"


def packages(context: Context) -> Found:
    """Versions of what planner depends on."""
    del context
    try:
        required = importlib.metadata.requires("planner") or []
    except importlib.metadata.PackageNotFoundError:
        return Found({"error": "planner is not installed as a package, so its needs are not known."})
    versions: dict[str, str | None] = {}
    problems = []
    for line in required:
        match = re.match(r"[A-Za-z0-9._-]+", line)
        extra = re.search(r"""extra\s*==\s*['"]([\w-]+)['"]""", line)
        if match is None or (extra is not None and extra[1] not in {"embedded", "convert"}):
            continue
        try:
            versions[match[0]] = importlib.metadata.version(match[0])
        except importlib.metadata.PackageNotFoundError:
            versions[match[0]] = None
            if extra is None and ";" not in line:
                problems.append(Problem(f"{match[0]} is not installed.", f"Install it: pip install {match[0]}"))
    return Found(versions, tuple(problems))


def settings(context: Context) -> Found:
    """Every setting with its value and where it comes from."""
    path = context.config.config_dir / "config.toml"
    facts: dict[str, object] = {"file": str(path), "file_exists": path.exists()}
    if context.config_error is not None:
        error = context.config_error
        return Found(
            {**facts, "error": error.message}, (Problem(error.message, error.hint or f"Correct or remove {path}."),)
        )
    in_file = _keys(path)
    for name in _SETTINGS:
        value = getattr(context.config, name)
        facts[name] = {
            "value": [str(item) for item in value] if isinstance(value, tuple) else _plain(value),
            "source": _source(name, context, in_file),
        }
    problems = []
    engine_path = context.config.engine_path
    if engine_path is not None and not engine_path.is_file():
        problems.append(Problem(f"The engine {engine_path} does not exist.", "Correct engine_path."))
    return Found(facts, tuple(problems))


def _plain(value: object) -> object:
    """A setting as a JSON value."""
    return value if value is None or isinstance(value, bool | int) else str(value)


def _keys(path: Path) -> frozenset[str]:
    """The settings a readable file has."""
    try:
        return frozenset(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return frozenset()


def _source(name: str, context: Context, in_file: frozenset[str]) -> str:
    """Flag, variable, file or default: whoever had the last word."""
    if name in context.flags:
        return "command line"
    for variable in _FROM_ENVIRONMENT.get(name, ()):
        value = context.environ.get(variable, "")
        if value and (name != "offline" or (context.config.offline and value.lower() not in _FALSE)):
            return variable
    if name in in_file:
        return "config.toml"
    folder = {"data_dir": "XDG_DATA_HOME", "cache_dir": "XDG_CACHE_HOME", "state_dir": "XDG_STATE_HOME"}.get(name)
    return folder if folder is not None and context.environ.get(folder) else "default"


def environment(context: Context) -> Found:
    """Variables that matter: harmless ones with their values, the others as "set"."""
    names = sorted(name for name in context.environ if name in _SHOWN or _NAMED.fullmatch(name))
    return Found({name: context.environ[name] if name in _SHOWN else "set" for name in names})


def proxies(context: Context) -> Found:
    """Host and port of the proxies, never who logs in there."""
    return Found(_proxies(context.environ))


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in _PROXIES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            found[name] = "set" if name == "no_proxy" else proxy_host(value)
    return found
