"""A Hub on loopback for tests of commands, and the settings that lead to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.config import load_config
from tests.fetch.lying_hub import LyingHub


def hub_for_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingHub]:
    """The body of a fixture: a running hub that commands take for the Hub."""
    import huggingface_hub

    hub = LyingHub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    yield hub
    hub.close()
    huggingface_hub.close_session()


def own_files() -> dict[str, Path]:
    """The files of the user's catalog by name."""
    return {path.name: path for path in load_config().own_catalog_dir.glob("*")}
