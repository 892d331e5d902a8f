"""Without the shipped catalog: the user's own models are enough."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import planner
from tests.cli.test_up import CATALOG


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The package without its data, and a catalog of the user's."""
    source = Path(planner.__file__).parent
    shutil.copytree(source, tmp_path / "bare/planner", ignore=shutil.ignore_patterns("_catalog", "__pycache__"))
    (tmp_path / "mine.json").write_text(json.dumps(CATALOG))
    return tmp_path


def run(folder: Path, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "bare")},
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_users_models_can_be_listed_estimated_and_planned(bare: Path) -> None:
    mine = ("--catalog", "mine.json")
    models = run(bare, "models", "--json", *mine)
    assert models.returncode == 0, models.stderr
    listed = {model["id"] for model in json.loads(models.stdout)["models"]}
    assert listed == {"test/tiny-embedder", "test/tiny-writer", "test/other-writer"}
    assert "catalog is missing" in models.stderr
    for arguments in (("estimate", "tiny-writer"), ("recommend",)):
        planned = run(bare, *arguments, "--vram", "8", "--json", *mine)
        assert planned.returncode == 0, planned.stdout + planned.stderr
    request = {"model": "tiny-writer", "gpu": [{"vram_bytes": 8 * 2**30, "bandwidth_gbps": 360.0}]}
    answered = run(bare, "estimate", "--jsonl", "-", *mine, said=json.dumps(request) + "\n")
    assert answered.returncode == 0, answered.stderr


def test_without_any_model_the_way_out_is_named(bare: Path) -> None:
    done = run(bare, "models", "--json")
    assert done.returncode == 4
    error = json.loads(done.stdout)["error"]
    assert error["reference"] == "catalog-missing"
    assert "--catalog" in error["hint"]
    checked = run(bare, "catalog", "check", "mine.json", "--json")
    assert json.loads(checked.stdout)["models"] == 3
    assert run(bare, "catalog", "check").returncode == 4
