"""What the probe tests share: the device list, made-up file trees and a fake driver library."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from planner.core.machines.hardware import Device, DeviceSpec
from planner.probe.nvidia.gpus import probe_nvidia
from planner.probe.surroundings import Finding, Finished, Surroundings, run_program
from planner.units import GIB

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
        root = write_tree(tmp_path / "root", files)
        return Surroundings(root=root, environ={}, run=runs_nothing, platform="linux", which=lambda name: None)

    return build


def runs_nothing(argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
    del timeout_s, extra_env
    return Finished(None, "", error=f"{argv[0]}: not found")


@pytest.fixture(scope="session")
def fake_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a compiled `libnvidia-ml.so.1`."""
    return compile_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one that lacks the functions newer drivers brought."""
    return compile_nvml(tmp_path_factory.mktemp("old_nvml"), "-DOLD_DRIVER")


def compile_nvml(folder: Path, *flags: str) -> Path:
    """The fake driver library, compiled into a folder."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("no C compiler: the fake NVML library cannot be built")
    source = Path(__file__).parent / "fake_nvml.c"
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-Wall", "-Wextra", *flags, "-o", str(target), str(source)],
        check=True,
        timeout=60,
    )
    return folder


class FakeDriver:
    """Runs the real child process against the fake library; variables steer the library.

    One that was run before the same way is not run again: what it printed is remembered.
    """

    _remembered: ClassVar[dict[object, Finished]] = {}

    def __init__(self, library: Path, **variables: str) -> None:
        self.library = library
        self.variables = {f"FAKE_NVML_{name.upper()}": value for name, value in variables.items()}

    def __call__(self, argv: Sequence[str], timeout_s: float, extra_env: Mapping[str, str]) -> Finished:
        paths = [str(self.library), os.environ.get("LD_LIBRARY_PATH", "")]
        variables = {**extra_env, "LD_LIBRARY_PATH": ":".join(filter(None, paths)), **self.variables}
        key = (tuple(argv), timeout_s, tuple(sorted(variables.items())))
        if key not in self._remembered:
            self._remembered[key] = run_program(argv, timeout_s, variables)
        return self._remembered[key]


class Ask:
    """Asks about the NVIDIA cards of a machine that has nothing but a fake driver library."""

    def __init__(self, specs: tuple[DeviceSpec, ...], library: Path, root: Path) -> None:
        self.specs, self.library, self.root = specs, library, root

    def __call__(
        self,
        *,
        environ: Mapping[str, str] | None = None,
        host_memory: int | None = 64 * GIB,
        timeout_s: float = 20.0,
        **variables: str,
    ) -> Finding:
        here = Surroundings(
            root=self.root, environ=environ or {}, run=FakeDriver(self.library, **variables), platform="linux"
        )
        return probe_nvidia(here, self.specs, host_memory_bytes=host_memory, timeout_s=timeout_s)


@pytest.fixture
def ask(specs: tuple[DeviceSpec, ...], fake_nvml: Path, tmp_path: Path) -> Ask:
    return Ask(specs, fake_nvml, tmp_path)


def usable(finding: Finding) -> list[Device]:
    return [device for device in finding.devices if device.usable]
