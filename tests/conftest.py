"""What every test shares: no test sees the folders or the settings of the person who runs it."""

from pathlib import Path

import pytest
from hypothesis import settings

# The same examples every time, and no deadline: a busy machine is not a failure. `--hypothesis-profile=default`
# searches afresh.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

_PRIVATE = (
    "COLUMNS",
    "LINES",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
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
