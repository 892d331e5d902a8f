"""What an engine sees of the environment: an allow-list.

`LLAMA_API_KEY` or an `api-key` in a config file would be accepted beside our key, `LLAMA_ARG_*` changes every
setting we do not name, and `HF_TOKEN` is none of an engine's business (docs/engines.md).
"""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

_ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "CUDA_VISIBLE_DEVICES",
        "HIP_VISIBLE_DEVICES",
        "ROCR_VISIBLE_DEVICES",
        "GGML_VK_VISIBLE_DEVICES",
        "HSA_OVERRIDE_GFX_VERSION",
        "LD_LIBRARY_PATH",
        # Windows cannot start a program without these.
        "SYSTEMROOT",
        "TEMP",
        "TMP",
    }
)
_SEARCHED = frozenset({"PATH", "LD_LIBRARY_PATH", "PYTHONPATH"})
"""Lists of folders that programs, libraries and modules are taken from."""
_ALLOWED_FOR_PYTHON = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})


def engine_environment(
    environ: Mapping[str, str], *, config_home: Path, python: bool = False, temp_dir: Path | None = None
) -> dict[str, str]:
    """The environment of an engine. `config_home` is an empty folder of ours; `python` adds what our child needs.

    `temp_dir` replaces `TMPDIR`: a llamafile unpacks its loader there, and a noexec folder would break it.
    """
    names = _ALLOWED | _ALLOWED_FOR_PYTHON if python else _ALLOWED
    kept = {name: value for name, value in environ.items() if name in names or name.startswith("LC_")}
    for name in _SEARCHED & kept.keys():
        # An empty or relative entry means the folder one happens to stand in, and whoever filled that.
        kept[name] = os.pathsep.join(entry for entry in kept[name].split(os.pathsep) if Path(entry).is_absolute())
        if not kept[name]:
            del kept[name]
    kept["XDG_CONFIG_HOME"] = str(config_home)
    # The probe numbers cards as the driver does; CUDA's own default is fastest first, and a plan for unlike cards
    # would land on the wrong one.
    kept["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    kept["GOMP_SPINCOUNT"] = str(spin_count(platform.machine()))
    if temp_dir is not None:
        kept["TMPDIR"] = str(temp_dir)
    return kept


def spin_count(machine: str) -> int:
    """How often a thread looks for those it waits for before it gives the processor up: for some 50 µs.

    By default it is so often that two busy engines on one processor take the time from each other and all but stop
    (docs/engines.md); much less, and one engine alone is slower. GNU's OpenMP pauses between two looks on x86, for 20
    to 45 ns, and on no other processor that matters here (recalled, not measured).
    """
    return 2000 if machine.lower() in {"x86_64", "amd64", "i386", "i686"} else 30_000


def system_config_file(platform: str = sys.platform, root: Path = Path("/")) -> Path | None:
    """The system-wide llama.cpp settings, if they exist: external engines read them and no flag turns that off."""
    if platform == "win32":
        return None
    path = root / "etc/llama.cpp/config.ini"
    return path if path.is_file() else None
