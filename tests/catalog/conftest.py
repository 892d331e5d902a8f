import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def entry() -> Callable[..., dict[str, Any]]:
    """Make a small valid catalog entry."""

    def make(identity: str = "me/tiny", **changes: Any) -> dict[str, Any]:
        base = {
            "id": identity,
            "family": "mine",
            "role": "generation",
            "parameters": 1000,
            "context_length": 2048,
            "licence": {"spdx": "MIT", "commercial": "yes"},
        }
        return {**base, **changes}

    return make


@pytest.fixture
def text() -> Callable[..., str]:
    """Make the text of a catalog file with the given entries."""

    def make(*entries: dict[str, Any]) -> str:
        return json.dumps({"schema": 1, "family": "mine", "models": list(entries)})

    return make


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a file below the test's folder and return its path."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write
