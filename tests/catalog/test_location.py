import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from planner.catalog.location import data_dir
from planner.errors import CatalogError

ROOT = Path(__file__).resolve().parents[2]


def test_a_wheel_carries_its_data_inside_the_package(tmp_path: Path) -> None:
    (tmp_path / "planner/_catalog/models").mkdir(parents=True)
    (tmp_path / "catalog/models").mkdir(parents=True)
    assert data_dir(tmp_path / "planner") == tmp_path / "planner/_catalog"


def test_an_editable_install_reads_the_repository(tmp_path: Path) -> None:
    (tmp_path / "catalog/models").mkdir(parents=True)
    assert data_dir(tmp_path / "planner") == tmp_path / "catalog"


def test_no_data_at_all_is_said_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()  # a folder of that name alone is not a catalog
    with pytest.raises(CatalogError) as caught:
        data_dir(tmp_path / "planner")
    assert caught.value.reference == "catalog-missing"
    assert str(tmp_path / "catalog") in caught.value.message
    assert "_catalog" in caught.value.message


def test_the_built_wheel_finds_its_catalog_without_the_repository(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        check=True,
        timeout=100,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    unpacked = tmp_path / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    program = (
        "import planner; from planner.catalog.loader import load; c = load(); "
        "print(planner.__file__); print(c.folder); print(len(c.models)); print(len(c.devices)); print(*c.notes)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    module, folder, models, devices, notes = answer.stdout.split("\n")[:5]
    assert Path(module).is_relative_to(unpacked)
    assert Path(folder) == unpacked / "planner/_catalog"
    assert int(models) > 20
    assert int(devices) > 20
    assert notes == ""
