"""What every test shares: no test sees the folders or the settings of the person who runs it."""

from pathlib import Path

import pytest

_PRIVATE = (
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "PLANNER_ENGINE",
    "PLANNER_ENGINE_PATH",
    "PLANNER_OFFLINE",
)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh home and fresh XDG folders; nothing of the user's environment."""
    for name in _PRIVATE:
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("DATA", "CACHE", "STATE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
