"""Choices of the user that outlive the app: theme, filters, order. One JSON file in the state folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = "app.json"
_MAX_BYTES = 256 * 1024


def read_choices(state_dir: Path | None = None) -> dict[str, Any]:
    """What was kept; nothing when the file is not there, cannot be read or holds something else."""
    try:
        with _path(state_dir).open("rb") as file:
            kept = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def keep_choices(choices: Mapping[str, Any], state_dir: Path | None = None) -> None:
    """Write them in one step. Raises OSError, and PlannerError for broken settings."""
    from planner.files import replace_file

    path = _path(state_dir)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, json.dumps(choices, indent=1, sort_keys=True).encode())


def _path(state_dir: Path | None) -> Path:
    if state_dir is None:
        from planner.config import load_config

        state_dir = load_config().state_dir
    return state_dir / _FILE
