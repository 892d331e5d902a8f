"""What the probe tests share: the device list, made-up file trees and a fake driver library."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from planner.core.hardware import DeviceSpec
from planner.probe.surroundings import Finished, Surroundings, run_program

DEVICES_JSON = Path(__file__).parents[2] / "catalog" / "devices.json"


@pytest.fixture(scope="session")
def specs() -> tuple[DeviceSpec, ...]:
    return msgspec.json.decode(
        json.dumps(json.loads(DEVICES_JSON.read_bytes())["devices"]), type=tuple[DeviceSpec, ...]
    )


def write_tree(root: Path, files: Mapping[str, str]) -> Path:
    """Files of a recorded tree; the key is the path, a value `-> target` makes a link."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Mapping[str, str]], Surroundings]:
    """A machine that consists of these files alone: nothing can be run, nothing is in the environment."""

    def build(files: Mapping[str, str]) -> Surroundings:
        return Surroundings(root=write_tree(tmp_path / "root", files), environ={}, run=runs_nothing, platform="linux")

    return build


def runs_nothing(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
    del timeout_s, extra_env
    return Finished(None, "", error=f"{argv[0]}: not found")


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compiled `libnvidia-ml.so.1`."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("no C compiler: the fake NVML library cannot be built")
    folder = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).parent / "fake_nvml.c"
    command = [compiler, "-shared", "-fPIC", "-Wall", "-o", str(folder / "libnvidia-ml.so.1"), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return folder


class FakeDriver:
    """Runs the real child process against the fake library; variables steer the library."""

    def __init__(self, library: Path, **variables: str) -> None:
        self.library = library
        self.variables = {f"FAKE_NVML_{name.upper()}": value for name, value in variables.items()}

    def __call__(self, argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        paths = [str(self.library), os.environ.get("LD_LIBRARY_PATH", "")]
        variables = {"LD_LIBRARY_PATH": ":".join(filter(None, paths)), **self.variables}
        return run_program(argv, timeout_s, {**extra_env, **variables})
